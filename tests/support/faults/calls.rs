//! A program whose system calls are counted, or one of whose calls fails: `calls.py` in its name.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// One fault: the `k`-th `call` on `object`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// As in `fdatasync`.
    pub call: String,
    /// As in `state/bot.db-wal`, or `socket`.
    pub object: String,
    /// From 1.
    pub k: u64,
    /// As in `calls.py`: an errno, `after:EIO`, `short`, `end`, `kill`.
    pub kind: &'static str,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} {} of `{}`", self.kind, self.call, self.k, self.object)
    }
}

/// What fits a call: what its manual page names and a machine in trouble gives, and that it is done and an error told all the
/// same where that can be, and a kill in its place.
pub fn kinds(call: &str, object: &str) -> &'static [&'static str] {
    match (call, object) {
        ("write" | "writev" | "sendto" | "sendmsg", "socket") => &["ECONNRESET", "EPIPE", "ETIMEDOUT", "kill"],
        ("read" | "recvfrom" | "recvmsg", "socket") => &["ECONNRESET", "ETIMEDOUT", "end", "kill"],
        ("connect", "socket") => &["ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH", "EACCES", "kill"],
        ("socket", _) => &["EMFILE", "ENOBUFS", "kill"],
        ("write" | "writev", "output") => &["EPIPE", "EIO", "ENOSPC", "kill"],
        (_, "socket" | "output") => &[],
        ("write" | "pwrite64" | "writev", _) => {
            &["EIO", "ENOSPC", "EDQUOT", "EROFS", "EINTR", "short", "after:EIO", "kill"]
        }
        ("fsync" | "fdatasync", _) => &["EIO", "ENOSPC", "EDQUOT", "EROFS", "EINTR", "after:EIO", "kill"],
        ("open" | "openat", _) => {
            &["EIO", "ENOSPC", "EDQUOT", "EROFS", "EACCES", "EMFILE", "EINTR", "after:EIO", "kill"]
        }
        ("rename" | "renameat" | "renameat2" | "unlink" | "unlinkat" | "mkdir" | "mkdirat" | "rmdir", _) => {
            &["EIO", "ENOSPC", "EDQUOT", "EROFS", "EACCES", "after:EIO", "kill"]
        }
        ("ftruncate" | "fallocate", _) => &["EIO", "ENOSPC", "EDQUOT", "EROFS", "EINTR", "after:EIO", "kill"],
        // neither waits, so neither is interrupted
        ("flock" | "fcntl", _) => &["EIO", "ENOLCK", "kill"],
        ("read" | "pread64", _) => &["EIO", "EINTR", "kill"],
        ("mmap", _) => &["ENOMEM", "kill"],
        ("fchmod" | "fchmodat" | "chmod" | "fchown", _) => &["EIO", "EPERM", "EROFS", "kill"],
        ("getdents64" | "statfs" | "fstatfs", _) => &["EIO", "kill"],
        // every other one asks about a name
        _ => &["EIO", "EACCES", "kill"],
    }
}

/// A command that runs below `home`, traced.
#[derive(Debug, Clone)]
pub struct Tracer {
    python: PathBuf,
}

impl Tracer {
    /// `Err`: why nothing can be traced here.
    pub fn find() -> Result<Self, String> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).map(|folder| folder.join("python3")).find(|python| python.exists());
        let this = Self { python: found.ok_or("there is no `python3` in the path")? };
        let report = tempfile::NamedTempFile::new().unwrap();
        let mut nothing = this.command(Path::new("/nowhere"), report.path(), None, &Command::new("/bin/true"));
        let tried = nothing.output().map_err(|error| error.to_string())?;
        if tried.status.success() {
            return Ok(this);
        }
        Err(format!("programs cannot be traced here: {}", String::from_utf8_lossy(&tried.stderr)))
    }

    /// `command`, its calls counted, or with one `fault`; what happened is told in the file `report` at its end.
    pub fn command(&self, home: &Path, report: &Path, fault: Option<&Fault>, command: &Command) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/faults/calls.py");
        let mut traced = Command::new(&self.python);
        // -B: no compiled files beside the script, -S: it needs no packages and begins sooner
        traced.args(["-B", "-S"]).arg(script).arg(home).arg(report);
        match fault {
            None => traced.arg("count"),
            Some(Fault { call, object, k, kind }) => traced.args([call.as_str(), object, &k.to_string(), kind]),
        };
        traced.arg("--").arg(command.get_program()).args(command.get_args());
        traced.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        traced
    }
}

/// What `calls.py` told.
#[derive(Debug)]
pub struct Told {
    /// Calls by `CALL OBJECT`.
    pub counts: BTreeMap<String, u64>,
    /// The thread that the fault struck.
    pub thread: Option<String>,
}

/// Reads a report.
pub fn told(report: &Path) -> Told {
    let told: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let counts = told["counts"].as_object().unwrap();
    let counts = counts.iter().map(|(key, count)| (key.clone(), count.as_u64().unwrap())).collect();
    Told { counts, thread: told["thread"].as_str().map(str::to_owned) }
}
