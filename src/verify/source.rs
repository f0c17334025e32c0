//! Where an archive is read from. Names use `/`, whatever the system's.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use retaind_evidence::names;

/// Levels of directories that are walked. An archive has 4.
const DEPTH_MAX: usize = 16;

/// A file of an archive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// From the archive's root.
    pub path: String,
    /// Its length.
    pub bytes: u64,
}

/// An archive. Reading it changes nothing.
pub trait Source {
    /// How a report names it.
    fn name(&self) -> String;

    /// Everything in it, sorted by path. A path that occurs twice was found in two places.
    ///
    /// # Errors
    /// The source cannot be listed in full: a part of the list is never given.
    fn list(&self) -> io::Result<Vec<Listed>>;

    /// A reader from the first byte on.
    ///
    /// # Errors
    /// The file is gone or may not be read.
    fn open(&self, path: &str) -> io::Result<Box<dyn Read + '_>>;
}

/// Directories that are one archive together.
#[derive(Debug, Clone)]
pub struct Directories {
    /// Each with the prefix of its paths: empty, or `_evidence/`.
    roots: Vec<(PathBuf, String)>,
}

impl Directories {
    /// `archives`: flat, or with `messages`, `attachments` and `_evidence`. `evidence`: directories of entries that are elsewhere.
    pub fn new(archives: &[PathBuf], evidence: &[PathBuf]) -> Self {
        let of = |paths: &[PathBuf], prefix: &str| {
            paths.iter().map(|path| (path.clone(), prefix.to_owned())).collect::<Vec<_>>()
        };
        let mut roots = of(archives, "");
        // where the messages are a volume of their own, the bot keeps its entries in it
        let within = archives.iter().map(|archive| archive.join("messages").join(names::FOLDER));
        let within: Vec<PathBuf> = within.filter(|path| path.is_dir()).collect();
        let entries = format!("{}/", names::FOLDER);
        roots.extend(of(&within, &entries));
        roots.extend(of(evidence, &entries));
        Self { roots }
    }
}

impl Source for Directories {
    fn name(&self) -> String {
        let paths: Vec<String> = self.roots.iter().map(|(path, _)| path.display().to_string()).collect();
        paths.join(", ")
    }

    fn list(&self) -> io::Result<Vec<Listed>> {
        let mut found = Vec::new();
        for (root, prefix) in &self.roots {
            walk(root, prefix, 0, &mut found)?;
        }
        found.sort();
        Ok(found)
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn Read + '_>> {
        for (root, prefix) in &self.roots {
            let Some(inside) = path.strip_prefix(prefix.as_str()) else { continue };
            match File::open(root.join(inside)) {
                Ok(file) => return Ok(Box::new(file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Symbolic links are not followed: they would let an archive name files outside.
fn walk(folder: &Path, prefix: &str, depth: usize, found: &mut Vec<Listed>) -> io::Result<()> {
    if depth > DEPTH_MAX {
        return Err(io::Error::other(format!("`{}` is nested deeper than {DEPTH_MAX} directories", folder.display())));
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (kind, name) = (entry.file_type()?, entry.file_name());
        let path = format!("{prefix}{}", name.to_string_lossy());
        if kind.is_dir() {
            walk(&entry.path(), &format!("{path}/"), depth + 1, found)?;
        } else if kind.is_file() {
            found.push(Listed { path, bytes: entry.metadata()?.len() });
        }
    }
    Ok(())
}

/// All bytes of a small file.
///
/// # Errors
/// It cannot be read, or has more than `limit` bytes.
pub(crate) fn read(source: &dyn Source, path: &str, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let ceiling = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    source.open(path)?.take(ceiling).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {limit} bytes")));
    }
    Ok(bytes)
}
