//! Log files: `retaind.log` and up to four older ones, `retaind.log.1` the newest of them.
//!
//! Invariants: there are never more than [`FILES_MAX`] files of [`FILE_BYTES_MAX`]; a file is larger only if a single line
//! is. Only the bot's user may read them. Nothing here ends the bot or makes it wait: only the thread of a [`super::queue`]
//! writes. A file that cannot be written is reported once on standard error (the log itself would come back here), and tried
//! again after [`RETRY_AFTER`]; standard output has every line all the same, and what the files miss is counted.
//!
//! A line is never synced: a killed bot has its log but for what was still queued, a lost power may cost its last seconds.
//! What a kill or a full disk has torn is ended with a line feed by the next open, so that the following line stands alone.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use thiserror::Error;

use super::queue::{Lost, Outlet};

/// Files, the one that is written among them.
pub(crate) const FILES_MAX: usize = 5;
/// Bytes after which the next file begins: with the others, what a small volume has room for beside the archive.
pub const FILE_BYTES_MAX: u64 = 10 * 1024 * 1024;
/// Name of the file that is written.
pub(crate) const FILE_NAME: &str = "retaind.log";
/// Pause before a file that could not be written is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(60);
/// Only the bot's user reads its log; whoever wants another mode makes the directory first.
const DIRECTORY_MODE: u32 = 0o700;
/// Of each file.
const FILE_MODE: u32 = 0o600;

/// Why no log file can be written.
#[derive(Debug, Error)]
#[error(
    "log file `{}` cannot be written, the log is on standard output only: give its directory to the user that runs the bot, or set `RETAIND_LOGS` to another one or to `off`: {why}",
    path.display()
)]
pub struct LogFileError {
    path: PathBuf,
    // printed here: the one who reads a log sees no chain
    why: io::Error,
}

/// The log files of one directory. One owner writes them: the queue's thread.
#[derive(Debug)]
pub struct LogFiles {
    path: PathBuf,
    file_bytes_max: u64,
    state: State,
}

impl LogFiles {
    /// Continues the files of `directory`, which is made if it is missing.
    pub fn open(directory: &Path) -> Result<Self, LogFileError> {
        Self::with_limit(directory, FILE_BYTES_MAX)
    }

    fn with_limit(directory: &Path, file_bytes_max: u64) -> Result<Self, LogFileError> {
        let path = directory.join(FILE_NAME);
        let made = DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory);
        match made.and_then(|()| Open::at(&path)) {
            Ok(open) => Ok(Self { path, file_bytes_max, state: State::Open(open) }),
            Err(why) => Err(LogFileError { path, why }),
        }
    }

    /// Closes the file and opens the one that now has the name: for programs that move log files away.
    fn reopen(&mut self) -> Result<(), LogFileError> {
        match Open::at(&self.path) {
            Ok(open) => {
                self.state = State::Open(open);
                Ok(())
            }
            Err(why) => {
                self.state = State::Away { since: Instant::now() };
                Err(LogFileError { path: self.path.clone(), why })
            }
        }
    }
}

impl Outlet for LogFiles {
    fn put(&mut self, line: &[u8]) -> Result<(), Lost> {
        self.write(line, Instant::now())
    }

    fn renew(&mut self) {
        match self.reopen() {
            Ok(()) => tracing::info!("log file opened anew"),
            Err(error) => tracing::warn!("{error}"),
        }
    }
}

#[derive(Debug)]
enum State {
    Open(Open),
    /// It has been told that there is none.
    Away {
        since: Instant,
    },
}

#[derive(Debug)]
struct Open {
    file: File,
    length: u64,
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        // the directory may be one that others write to: a link is not followed, and a pipe not waited for
        let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or_default();
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(FILE_MODE).custom_flags(flags);
        let mut file = options.open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file; move it away"));
        }
        let mut length = metadata.len();
        let mut last = [b'\n'];
        if let Some(end) = length.checked_sub(1) {
            file.read_exact_at(&mut last, end)?;
        }
        if last != [b'\n'] {
            file.write_all(b"\n")?;
            length = length.saturating_add(1);
        }
        Ok(Self { file, length })
    }
}

impl LogFiles {
    fn write(&mut self, line: &[u8], now: Instant) -> Result<(), Lost> {
        let told = match self.state {
            State::Open(_) => false,
            State::Away { since } if now.saturating_duration_since(since) < RETRY_AFTER => return Err(Lost::Again),
            State::Away { .. } => true,
        };
        self.append(line).map_err(|why| {
            self.state = State::Away { since: now };
            if told { Lost::Again } else { Lost::First(LogFileError { path: self.path.clone(), why }.to_string()) }
        })
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let added = u64::try_from(line.len()).unwrap_or(u64::MAX);
        let full = |open: &Open, max: u64| open.length > 0 && open.length.saturating_add(added) > max;
        let max = self.file_bytes_max;
        let mut open = match std::mem::replace(&mut self.state, State::Away { since: Instant::now() }) {
            State::Open(open) => open,
            State::Away { .. } => Open::at(&self.path)?,
        };
        if full(&open, max) {
            drop(open);
            self.shift()?;
            open = Open::at(&self.path)?;
        }
        open.file.write_all(line)?;
        open.length = open.length.saturating_add(added);
        self.state = State::Open(open);
        Ok(())
    }

    /// Each file takes the next number, over the oldest one.
    fn shift(&self) -> io::Result<()> {
        for number in (1..FILES_MAX).rev() {
            let from = if number == 1 { self.path.clone() } else { self.numbered(number.saturating_sub(1)) };
            match fs::rename(from, self.numbered(number)) {
                Ok(()) => {}
                // there are not so many yet, or somebody has moved one away
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn numbered(&self, number: usize) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const SMALL: u64 = 100;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    fn put(logs: &mut LogFiles, line: &str) {
        logs.put(format!("{line}\n").as_bytes()).unwrap();
    }

    fn lines(path: &Path) -> Vec<String> {
        fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn files_rotate_by_size_are_private_and_never_more_than_five() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("bot/logs");
        let mut logs = LogFiles::with_limit(&directory, SMALL).unwrap();
        for number in 0..100 {
            put(&mut logs, &format!("line {number:03} of some length"));
        }
        let files = ["retaind.log", "retaind.log.1", "retaind.log.2", "retaind.log.3", "retaind.log.4"];
        assert_eq!(names(&directory), files);
        let mut kept = Vec::new();
        for file in files.iter().rev() {
            let path = directory.join(file);
            let metadata = fs::metadata(&path).unwrap();
            assert!(metadata.len() <= SMALL, "{file} has {} bytes", metadata.len());
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
            kept.extend(lines(&path));
        }
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        let first = 100 - kept.len();
        let expected: Vec<String> = (first..100).map(|number| format!("line {number:03} of some length")).collect();
        assert_eq!(kept, expected, "the newest lines, without a gap");
    }

    #[test]
    fn a_line_longer_than_a_file_is_kept_whole_and_alone() {
        let home = tempfile::tempdir().unwrap();
        let mut logs = LogFiles::with_limit(home.path(), SMALL).unwrap();
        let long = "x".repeat(300);
        for line in ["short", &long, "short"] {
            put(&mut logs, line);
        }
        assert_eq!(lines(&home.path().join("retaind.log.1")), [long]);
        assert_eq!(names(home.path()).len(), 3);
    }

    #[test]
    fn a_file_that_was_moved_away_is_let_go_at_a_reopen() {
        let home = tempfile::tempdir().unwrap();
        let (path, moved) = (home.path().join(FILE_NAME), home.path().join("moved"));
        let mut logs = LogFiles::open(home.path()).unwrap();
        put(&mut logs, "one");
        fs::rename(&path, &moved).unwrap();
        put(&mut logs, "two");
        logs.reopen().unwrap();
        put(&mut logs, "three");
        assert_eq!((lines(&moved), lines(&path)), (vec!["one".into(), "two".into()], vec!["three".into()]));
    }

    #[test]
    fn a_torn_last_line_does_not_spoil_the_next() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(FILE_NAME), "whole\ntor").unwrap();
        let mut logs = LogFiles::open(home.path()).unwrap();
        put(&mut logs, "next");
        assert_eq!(lines(&home.path().join(FILE_NAME)), ["whole", "tor", "next"]);
    }

    #[test]
    fn what_is_no_file_is_refused_and_nothing_behind_a_link_is_written() {
        let home = tempfile::tempdir().unwrap();
        let (path, other) = (home.path().join(FILE_NAME), home.path().join("other"));
        symlink(&other, &path).unwrap();
        let error = LogFiles::open(home.path()).unwrap_err().to_string();
        assert!(error.contains("`RETAIND_LOGS`"), "{error}");
        assert!(!other.exists());
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        LogFiles::open(home.path()).unwrap_err();
        LogFiles::open(Path::new("/proc/no/such/place")).unwrap_err();
    }

    #[test]
    fn a_file_that_cannot_be_written_is_told_once_and_tried_again() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("logs");
        let mut logs = LogFiles::with_limit(&directory, SMALL).unwrap();
        let start = Instant::now();
        logs.write(&[b'\n'; 90], start).unwrap();
        fs::rename(&directory, home.path().join("elsewhere")).unwrap();
        // the next line needs a new file, and there is no place for one
        assert!(matches!(logs.write(&[b'\n'; 90], start), Err(Lost::First(_))));
        assert!(matches!(logs.write(&[b'\n'; 90], start), Err(Lost::Again)));
        assert!(matches!(logs.write(&[b'\n'; 90], start + RETRY_AFTER), Err(Lost::Again)));
        assert!(matches!(logs.state, State::Away { .. }));
        fs::create_dir(&directory).unwrap();
        logs.write(b"back\n", start + RETRY_AFTER * 2).unwrap();
        assert_eq!(lines(&directory.join(FILE_NAME)), ["back"]);
    }
}
