//! Asks for a password at the terminal.
//!
//! The terminal may be one that nobody looks at yet: a container is started, and somebody attaches to it later. So an
//! empty line asks again, which shows the prompt to who has just come. What is typed is not shown, is read past every
//! buffer of the standard library, and is wiped. However the asking ends, the terminal shows again what is typed.

use std::io::{self, Write};
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::stdio::stdin;
use rustix::termios::{LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcsetattr};
use thiserror::Error;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use retaind_protocol::limits::PASSWORD_BYTES_MAX;
use retaind_report::logs;
use retaind_task as task;

const ENTER: &str = "Enter the password:";
const ENTER_AGAIN: &str = "Re-enter the password:";

/// Why there is no password.
#[derive(Debug, Error)]
pub(crate) enum NoPassword {
    /// Told to stop meanwhile.
    #[error("the bot was told to stop before a password was entered")]
    Stopped,
    /// The other end of the terminal is gone.
    #[error(
        "the terminal ended before a password was entered: start the bot with `-i` and `-t`, or set `WICKRIO_BOT_PASSWORD`"
    )]
    Ended,
    /// The terminal does not work.
    #[error("the password cannot be asked for at the terminal")]
    Terminal(#[from] io::Error),
}

/// How often a password has to be typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// What opens the state shows whether it is right.
    Once,
    /// A state is begun with it: a slip of the finger would be for ever.
    Twice,
}

/// Is there a terminal to ask at?
pub(crate) fn is_possible() -> bool {
    isatty(stdin()) && isatty(io::stdout().as_fd())
}

/// Asks until a password is entered.
pub(crate) async fn ask(entry: Entry, stop: &CancellationToken) -> Result<Zeroizing<String>, NoPassword> {
    // a line of the log that was written before the question stands before it
    logs::flush();
    let _silence = Silence::begin()?;
    let (tell, mut told) = oneshot::channel();
    // it may wait for ever in the system, so that nothing may wait for it
    task::thread("prompt", move || {
        // who asked may have been told to stop
        tell.send(dialogue(entry)).ok();
    })?;
    tokio::select! {
        answer = &mut told => answer.unwrap_or(Err(NoPassword::Ended)),
        () = stop.cancelled() => Err(NoPassword::Stopped),
    }
}

fn dialogue(entry: Entry) -> Result<Zeroizing<String>, NoPassword> {
    loop {
        let first = question(ENTER)?;
        match entry {
            Entry::Once => return Ok(first),
            Entry::Twice if question(ENTER_AGAIN)? == first => return Ok(first),
            Entry::Twice => say("The passwords differ.\n")?,
        }
    }
}

/// One line that is not empty.
fn question(prompt: &str) -> Result<Zeroizing<String>, NoPassword> {
    loop {
        say(prompt)?;
        let line = read_line()?;
        // the end of the line was not shown either
        say("\n")?;
        match line {
            Typed::Text(text) if text.is_empty() => {}
            Typed::Text(text) => return Ok(text),
            Typed::Unusable(why) => say(why)?,
        }
    }
}

enum Typed {
    Text(Zeroizing<String>),
    Unusable(&'static str),
}

/// As the terminal gives it: a line at a time.
fn read_line() -> Result<Typed, NoPassword> {
    let mut line = Zeroizing::new(Vec::with_capacity(PASSWORD_BYTES_MAX));
    let mut byte = Zeroizing::new([0u8; 1]);
    let mut is_long = false;
    loop {
        match rustix::io::read(stdin(), byte.as_mut_slice()) {
            Ok(0) => return Err(NoPassword::Ended),
            Ok(_) if matches!(*byte, [b'\n' | b'\r']) => break,
            Ok(_) if line.len() < PASSWORD_BYTES_MAX => line.extend_from_slice(byte.as_slice()),
            Ok(_) => is_long = true,
            Err(Errno::INTR) => {}
            // the other end of a terminal is gone
            Err(Errno::IO) => return Err(NoPassword::Ended),
            Err(error) => return Err(io::Error::from(error).into()),
        }
    }
    if is_long {
        return Ok(Typed::Unusable("The password is too long.\n"));
    }
    match std::str::from_utf8(&line) {
        Ok(text) => Ok(Typed::Text(Zeroizing::new(text.to_owned()))),
        Err(_) => Ok(Typed::Unusable("The password is not UTF-8 text.\n")),
    }
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// What is typed is not shown as long as this lives.
struct Silence(Termios);

impl Silence {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        // a line at a time, also if whoever used the terminal before wanted it otherwise
        silent.local_modes.insert(LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(stdin(), OptionalActions::Now, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        if let Err(error) = tcsetattr(stdin(), OptionalActions::Now, &self.0) {
            tracing::warn!(%error, "the terminal does not show what is typed any more: `reset` helps");
        }
    }
}
