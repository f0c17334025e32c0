//! Where the records and the attachments of an archive are.
//!
//! An archive is a directory, flat or with `messages/` and `attachments/` beneath it, several of them, one file, or standard
//! input. Nothing is ever written to it. No symbolic link below a given directory is followed: what a link in an archive names
//! is not the archive's. Names of attachments come from records, so from senders: only a single path component is looked up.
//!
//! What is passed over is counted and can be listed ([`Archive::passed_over`]): nothing is left out in silence.

mod error;
mod lines;
mod names;
mod spool;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

pub use self::error::SourceError;
pub use self::lines::{Block, LINE_BYTES_MAX, Piece, Pieces};
pub use self::spool::unnamed;
use crate::record::{LineFault, Record};

/// Which part of the archive a message file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sealing {
    /// Complete: begun at this time, with this number.
    Sealed {
        /// Reception of its first record.
        begun: Timestamp,
        /// Counts up.
        number: u64,
    },
    /// Left by a bot whose state was lost; its last line may be torn.
    Recovered {
        /// Counts up.
        number: u64,
    },
    /// Still being written, or of a name that says nothing.
    Open,
}

/// A message file.
#[derive(Debug)]
pub struct MessageFile {
    /// Its name, without a path; `-` for standard input.
    pub name: String,
    /// Its path; empty for standard input.
    pub path: PathBuf,
    /// Bytes when it was listed.
    pub bytes: u64,
    /// What its name says.
    pub sealing: Sealing,
    /// Standard input's copy, which has no name any more.
    spooled: Option<File>,
}

impl MessageFile {
    /// Opens it for reading from its beginning.
    pub fn open(&self) -> Result<File, SourceError> {
        match &self.spooled {
            Some(file) => file.try_clone().and_then(|mut file| file.rewind().map(|()| file)),
            None => File::open(&self.path),
        }
        .map_err(|source| SourceError::Read { path: self.shown(), source })
    }

    /// Its path as messages show it.
    pub fn shown(&self) -> String {
        if self.path.as_os_str().is_empty() { self.name.clone() } else { self.path.display().to_string() }
    }
}

/// Where a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Index in [`Archive::files`].
    pub file: u32,
    /// Number of the line, counted from 1.
    pub line: u64,
    /// Byte of the file that it begins at.
    pub offset: u64,
    /// Bytes without its line feed.
    pub bytes: u32,
}

/// A line that is not a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Where.
    pub place: Place,
    /// Why.
    pub fault: LineFault,
}

/// A line that was read.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A record.
    Record(Place, Box<Record>),
    /// Not a record.
    Bad(BadLine),
}

/// Where to look besides the given paths.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// Further directories of attachments.
    pub attachments: Vec<PathBuf>,
    /// Directory of temporary files; the system's if empty.
    pub work: Option<PathBuf>,
}

impl Places {
    /// The directory of temporary files.
    pub fn work(&self) -> PathBuf {
        self.work.clone().unwrap_or_else(std::env::temp_dir)
    }
}

/// An archive: its message files in order, and where its attachments are.
#[derive(Debug)]
pub struct Archive {
    files: Vec<MessageFile>,
    attachments: Vec<PathBuf>,
    evidence: Vec<PathBuf>,
    passed_over: Vec<PathBuf>,
    places: Places,
}

impl Archive {
    /// Lists it. `paths`: directories, files, or `-`.
    pub fn open(paths: &[PathBuf], places: Places) -> Result<Self, SourceError> {
        let mut archive =
            Self { files: Vec::new(), attachments: Vec::new(), evidence: Vec::new(), passed_over: Vec::new(), places };
        for path in paths {
            archive.add(path)?;
        }
        archive.attachments.extend(archive.places.attachments.clone());
        let mut seen = BTreeSet::new();
        archive.files.retain(|file| file.spooled.is_some() || seen.insert(file.path.clone()));
        archive.files.sort_by_cached_key(|file| {
            let folder = file.path.parent().map(Path::to_owned).unwrap_or_default();
            // files of one base name belong together, in the order in which they were written
            (folder, names::base(&file.name).to_owned(), file.sealing, file.name.clone())
        });
        if archive.files.is_empty() {
            let shown: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
            return Err(SourceError::NoMessages { path: shown.join("`, `") });
        }
        if u32::try_from(archive.files.len()).is_err() {
            return Err(SourceError::TooManyFiles { limit: u32::MAX });
        }
        Ok(archive)
    }

    fn add(&mut self, path: &Path) -> Result<(), SourceError> {
        if path.as_os_str() == "-" {
            let file = spool::keep(&mut std::io::stdin().lock(), &self.places.work())?;
            self.files.push(file);
            return Ok(());
        }
        let opening = |source| SourceError::Open { path: path.display().to_string(), source };
        let metadata = fs::metadata(path).map_err(opening)?;
        if !metadata.is_dir() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.files.push(MessageFile {
                sealing: names::sealing(&name),
                name,
                path: path.to_owned(),
                bytes: metadata.len(),
                spooled: None,
            });
            self.attachments.extend(path.parent().map(Path::to_owned));
            return Ok(());
        }
        let (messages, attachments) = (path.join("messages"), path.join("attachments"));
        self.list(path, 0)?;
        if messages.is_dir() && !messages.is_symlink() {
            self.list(&messages, 1)?;
        }
        if attachments.is_dir() && !attachments.is_symlink() {
            self.attachments.push(attachments.clone());
            self.attachments.extend(subfolders(&attachments));
        }
        self.attachments.push(path.to_owned());
        self.evidence.push(path.join("_evidence"));
        Ok(())
    }

    /// Message files in `folder`, and in its `date=` folders to this depth.
    fn list(&mut self, folder: &Path, depth: u8) -> Result<(), SourceError> {
        let reading = |source| SourceError::Read { path: folder.display().to_string(), source };
        for entry in fs::read_dir(folder).map_err(reading)? {
            let entry = entry.map_err(reading)?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(reading)?);
            let Ok(name) = entry.file_name().into_string() else {
                self.passed_over.push(path);
                continue;
            };
            if kind.is_dir() {
                if depth > 0 && name.starts_with("date=") {
                    self.list(&path, depth.saturating_sub(1))?;
                }
            } else if names::is_message_file(&name) {
                if kind.is_file() {
                    let bytes = entry.metadata().map_err(reading)?.len();
                    let sealing = names::sealing(&name);
                    self.files.push(MessageFile { name, path, bytes, sealing, spooled: None });
                } else {
                    self.passed_over.push(path);
                }
            }
        }
        Ok(())
    }

    /// An archive of lines that cannot be read twice: they are kept in a file without a name.
    pub fn from_reader(input: &mut dyn Read, places: Places) -> Result<Self, SourceError> {
        let mut archive = Self {
            files: Vec::new(),
            attachments: places.attachments.clone(),
            evidence: Vec::new(),
            passed_over: Vec::new(),
            places,
        };
        let file = spool::keep(input, &archive.places.work())?;
        archive.files.push(file);
        Ok(archive)
    }

    /// Its message files, in the order in which they were written.
    pub fn files(&self) -> &[MessageFile] {
        &self.files
    }

    /// Directories that may have entries of evidence.
    pub fn evidence(&self) -> &[PathBuf] {
        &self.evidence
    }

    /// What was not read although it looks like a message file: symbolic links, names that are not UTF-8.
    pub fn passed_over(&self) -> &[PathBuf] {
        &self.passed_over
    }

    /// Directory of temporary files.
    pub fn work(&self) -> PathBuf {
        self.places.work()
    }

    /// Bytes of all message files when they were listed.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The file of a place.
    pub fn file(&self, place: Place) -> Option<&MessageFile> {
        self.files.get(usize::try_from(place.file).ok()?)
    }

    /// `receivedMessages.txt:17`
    pub fn shown(&self, place: Place) -> String {
        format!("{}:{}", self.file(place).map_or("?", |file| &file.name), place.line)
    }

    /// The path of an attachment by its `localfilename`; none if the name is a path or the file is not there.
    pub fn attachment(&self, name: &str) -> Option<PathBuf> {
        if !names::is_component(name) {
            return None;
        }
        let candidates = self.attachments.iter().map(|folder| folder.join(name));
        candidates.into_iter().find(|path| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file()))
    }

    /// The lines of one file, a block at a time.
    pub fn pieces(&self, file: u32) -> Result<Pieces, SourceError> {
        let index = usize::try_from(file).unwrap_or(usize::MAX);
        let Some(message_file) = self.files.get(index) else {
            return Err(SourceError::Read { path: file.to_string(), source: io::ErrorKind::NotFound.into() });
        };
        Ok(Pieces::new(message_file.open()?, file, message_file.shown()))
    }

    /// Indexes of all files.
    pub fn indexes(&self) -> std::ops::Range<u32> {
        0..u32::try_from(self.files.len()).unwrap_or(u32::MAX)
    }

    /// Every record and bad line, in order, in flat memory.
    pub fn entries(&self) -> impl Iterator<Item = Result<Entry, SourceError>> + '_ {
        self.indexes().flat_map(|file| {
            let (lines, failed) = match self.pieces(file) {
                Ok(pieces) => (Some(pieces.into_entries()), None),
                Err(error) => (None, Some(Err(error))),
            };
            failed.into_iter().chain(lines.into_iter().flatten())
        })
    }

    /// The bytes of the line at a place.
    pub fn line(&self, place: Place) -> Result<Vec<u8>, SourceError> {
        let mut bytes = vec![0; usize::try_from(place.bytes).unwrap_or(usize::MAX)];
        let Some(message_file) = self.file(place) else {
            return Err(SourceError::Changed { path: place.file.to_string(), line: place.line });
        };
        let read = match &message_file.spooled {
            Some(file) => file.read_exact_at(&mut bytes, place.offset),
            None => File::open(&message_file.path).and_then(|file| file.read_exact_at(&mut bytes, place.offset)),
        };
        read.map_err(|source| SourceError::Read { path: message_file.shown(), source })?;
        Ok(bytes)
    }

    /// The record at a place that was read before.
    pub fn record(&self, place: Place) -> Result<Record, SourceError> {
        Record::parse(&self.line(place)?).map_err(|_| SourceError::Changed {
            path: self.file(place).map(MessageFile::shown).unwrap_or_default(),
            line: place.line,
        })
    }
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let is_folder = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let mut folders: Vec<PathBuf> =
        entries.filter_map(Result::ok).filter(is_folder).map(|entry| entry.path()).collect();
    folders.sort();
    folders
}
