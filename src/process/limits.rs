//! What the system gives this process, looked at before anything is begun.
//!
//! A bot that runs out of file descriptors fails wherever it happens to need the next one, with as many different errors.
//! So it takes as many as it may have, and says at once if that is too few.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

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
