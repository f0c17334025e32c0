//! The directory of an export. A file is written under another name, hashed on its way, and appears by a rename.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;

use crate::error::Error;

const BUFFER_BYTES: usize = 1 << 16;

/// A file of the export that is complete.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Written {
    /// From the export's directory.
    pub path: String,
    pub bytes: u64,
    /// In hex.
    pub sha256: String,
}

/// The directory, and what is complete in it.
#[derive(Debug)]
pub(crate) struct Output {
    root: PathBuf,
    written: Vec<Written>,
}

impl Output {
    /// Makes the directory with mode 0700, or takes an empty one.
    pub(crate) fn create(root: &Path) -> Result<Self, Error> {
        directory(root)?;
        let mut entries = fs::read_dir(root).map_err(Error::write(root))?;
        if entries.next().is_some() {
            return Err(Error::NotEmpty { path: root.display().to_string() });
        }
        Ok(Self { root: root.to_owned(), written: Vec::new() })
    }

    /// Begins a file. `name` is made by this program, with `/` between folders.
    pub(crate) fn part(&self, name: &str) -> Result<Part, Error> {
        let path = self.root.join(name);
        let folder = path.parent().unwrap_or(&self.root);
        directory(folder)?;
        let unfinished = folder.join(format!(".part-{}", path.file_name().unwrap_or_default().to_string_lossy()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished);
        let file = file.map_err(Error::write(&unfinished))?;
        Ok(Part {
            name: name.to_owned(),
            path,
            unfinished,
            file: BufWriter::with_capacity(BUFFER_BYTES, file),
            hash: Context::new(&SHA256),
            bytes: 0,
        })
    }

    /// The file appears.
    pub(crate) fn finish(&mut self, part: Part) -> Result<Written, Error> {
        let Part { name, path, unfinished, file, hash, bytes } = part;
        let done = file.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all());
        done.and_then(|()| fs::rename(&unfinished, &path)).map_err(Error::write(&path))?;
        let written = Written { path: name, bytes, sha256: HEXLOWER.encode(hash.finish().as_ref()) };
        self.written.push(written.clone());
        Ok(written)
    }

    /// Every complete file, by its path.
    pub(crate) fn written(&mut self) -> &[Written] {
        self.written.sort();
        &self.written
    }
}

fn directory(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(Error::write(path))
}

/// A file that is being written.
pub(crate) struct Part {
    name: String,
    path: PathBuf,
    unfinished: PathBuf,
    file: BufWriter<File>,
    hash: Context,
    bytes: u64,
}

impl Part {
    /// Writes all of it; the error names the file.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.write_all(bytes).map_err(Error::write(&self.path))
    }

    /// For errors of what writes to it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Write for Part {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hash.update(bytes.get(..count).unwrap_or_default());
        self.bytes = self.bytes.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
