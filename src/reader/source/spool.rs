//! Files without a name, for what has to be read twice or put in order.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::{MessageFile, Sealing, SourceError};

/// Most bytes of standard input that are kept.
const INPUT_BYTES_MAX: u64 = 1 << 40;
/// Bytes copied at once.
const COPY_BYTES: usize = 1 << 20;

/// Standard input as a message file.
pub(super) fn keep(input: &mut dyn Read, work: &Path) -> Result<MessageFile, SourceError> {
    let keeping = |source| SourceError::Spool { path: work.display().to_string(), source };
    let mut file = unnamed(work).map_err(keeping)?;
    let mut buffer = vec![0; COPY_BYTES];
    let mut bytes: u64 = 0;
    loop {
        let read = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(SourceError::Read { path: "-".to_owned(), source }),
        };
        bytes = bytes.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        if bytes > INPUT_BYTES_MAX {
            return Err(keeping(io::ErrorKind::FileTooLarge.into()));
        }
        file.write_all(buffer.get(..read).unwrap_or_default()).map_err(keeping)?;
    }
    let (name, path, sealing) = ("-".to_owned(), PathBuf::new(), Sealing::Open);
    Ok(MessageFile { name, path, bytes, sealing, spooled: Some(file) })
}

/// A file that only this process has: mode 0600, removed from its directory at once.
pub fn unnamed(folder: &Path) -> io::Result<File> {
    for attempt in 0..u32::MAX {
        let path = folder.join(format!(".retaind-{}-{attempt}", std::process::id()));
        match fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => return fs::remove_file(&path).map(|()| file),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}
