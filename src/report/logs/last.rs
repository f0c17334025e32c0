//! Last words: what a process says on standard error when it ends or panics, and that its log is written by then.
//!
//! Invariant: nothing here waits longer than [`LAST_TIME`]. Standard error may be the same pipe as standard output, and
//! nobody may read it.

use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use retaind_core::text;
use retaind_task as task;

/// How long the end of a process waits for its last lines to be written: within the two seconds between the end of the
/// default grace time and Docker's kill.
pub(super) const LAST_TIME: Duration = Duration::from_secs(1);

/// Says `text` on standard error, and waits until it is there.
pub fn say(text: String) {
    let text = String::from_utf8_lossy(&text::line(text.as_bytes())).into_owned();
    // whoever does not read in time has chosen to
    written(text).recv_timeout(LAST_TIME).ok();
}

/// Says `text` on standard error, and waits for nothing.
pub(super) fn report(text: String) {
    drop(written(text));
}

/// Something comes when it is written, or nothing ever will.
fn written(text: String) -> mpsc::Receiver<()> {
    let (tell, told) = mpsc::sync_channel(1);
    let write = move || {
        // there is no other place to say that this one is gone
        io::stderr().write_all(text.as_bytes()).ok();
        // nobody may be waiting
        tell.send(()).ok();
    };
    // no thread is left: then the words are lost, but the exit code is not
    task::thread("last words", write).ok();
    told
}

/// From now on a panic is an event of the log, which is written before anything else happens, and its text is on standard
/// error as it was before. The event has no text of the panic: that of a library may quote what it was working on.
pub fn hear_panics() {
    panic::set_hook(Box::new(|info| {
        let current = thread::current();
        let thread = task::current().or(current.name()).unwrap_or("without a name");
        match info.location() {
            Some(place) => tracing::error!(thread, %place, "a defect: this thread panicked; report it with the log"),
            None => tracing::error!(thread, "a defect: this thread panicked; report it with the log"),
        }
        super::finish();
        say(words(thread, info));
    }));
}

fn words(thread: &str, info: &PanicHookInfo<'_>) -> String {
    // empty unless `RUST_BACKTRACE` asks for it
    let trace = std::backtrace::Backtrace::capture();
    if trace.status() == std::backtrace::BacktraceStatus::Captured {
        format!("\nthread '{thread}' {info}\n{trace}\n")
    } else {
        format!("\nthread '{thread}' {info}\n")
    }
}
