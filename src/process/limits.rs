//! What the system gives this process, looked at before anything is begun; and what it may give away of it.
//!
//! A bot that runs out of file descriptors fails wherever it happens to need the next one, with as many different errors.
//! So it takes as many as it may have, and says at once if that is too few.

use rustix::fs::Mode;
#[cfg(target_os = "linux")]
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

use super::Failure;

/// Files and connections that a bot with an embedded network and a handful of devices has open, several times over: state,
/// message file, lanes to S3, downloads, health, threads' pipes.
const OPEN_FILES_MIN: u64 = 256;
/// More are of no use: the embedded network takes 16,384 connections.
const OPEN_FILES_WANTED: u64 = 65_536;

/// Raises the limit of open files as far as is permitted; refuses one that is too low to work with.
pub(crate) fn raise_open_files() -> Result<(), Failure> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let soft = current.unwrap_or(u64::MAX);
    let wanted = maximum.unwrap_or(u64::MAX).min(OPEN_FILES_WANTED).max(soft);
    // not permitted: what there is has to do
    let raised = wanted > soft && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok();
    let open = if raised { wanted } else { soft };
    if open < OPEN_FILES_MIN {
        return Err(Failure::configuration(format!(
            "the process may have only {open} files open (`ulimit -Hn`), the bot needs {OPEN_FILES_MIN}: raise the limit \
             (`docker run --ulimit nofile={OPEN_FILES_WANTED}`, `LimitNOFILE=` of a systemd unit)"
        )));
    }
    Ok(())
}

/// Leaves nothing of this process's memory on a disk, and nothing that it writes to others: no core dumps (which hold keys and
/// messages), no debugger of the same user, files for their owner alone. What the system does not let it do is in the log.
pub fn keep_to_itself() {
    umask(Mode::RWXG | Mode::RWXO);
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "core dumps cannot be turned off");
    }
    #[cfg(target_os = "linux")]
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "the process cannot be protected from debuggers");
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn nothing_of_the_process_gets_out() {
        keep_to_itself();
        assert_eq!(getrlimit(Resource::Core), Rlimit { current: Some(0), maximum: Some(0) });
        #[cfg(target_os = "linux")]
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        let path = std::env::temp_dir().join(format!("retaind-mode-{}", std::process::id()));
        let file = File::create(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
