//! The prompt at a terminal, driven through a pseudo-terminal as somebody would who types.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use tokio::sync::watch;

use super::{banners, run};
use crate::support::{Harness, PASSWORD};

const ENTER: &str = "Enter the password:";
const AGAIN: &str = "Re-enter the password:";

/// A program at a terminal.
struct Terminal {
    child: Child,
    keys: File,
    /// The program's end, kept open.
    line: OwnedFd,
    shown: watch::Receiver<String>,
}

impl Terminal {
    fn start(command: &mut Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let line = rustix::fs::open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let end = || Stdio::from(line.try_clone().unwrap());
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let mut screen = File::from(master.try_clone().unwrap());
        let (tell, shown) = watch::channel(String::new());
        thread::spawn(move || {
            let mut bytes = [0u8; 1024];
            while let Ok(read @ 1..) = screen.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..read]).replace('\r', "");
                tell.send_modify(|all| all.push_str(&text));
            }
        });
        Self { child, keys: File::from(master), line, shown }
    }

    /// Waits until it has shown `text` so many times.
    async fn shows(&mut self, text: &str, times: usize) {
        let mut shown = self.shown.clone();
        shown.wait_for(|all| all.matches(text).count() >= times).await.unwrap();
    }

    fn types(&mut self, text: &str) {
        self.keys.write_all(text.as_bytes()).unwrap();
    }

    fn shown(&self) -> String {
        self.shown.borrow().clone()
    }

    fn echoes(&self) -> bool {
        tcgetattr(&self.line).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }

    async fn ends(mut self) -> (Option<i32>, String) {
        let mut child = self.child;
        let code = tokio::task::spawn_blocking(move || child.wait().unwrap().code()).await.unwrap();
        drop(self.line);
        // the screen ends with the last who holds the line
        while self.shown.changed().await.is_ok() {}
        let shown = self.shown.borrow().clone();
        (code, shown)
    }
}

fn at_terminal(harness: &Harness) -> Command {
    let mut command = run(harness, "");
    command.env_remove("WICKRIO_BOT_PASSWORD");
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_is_asked_twice_at_the_first_start_once_later_and_shows_nothing_that_is_typed() {
    let harness = Harness::start();
    let mut terminal = Terminal::start(&mut at_terminal(&harness));
    terminal.shows(ENTER, 1).await;
    // somebody who has just attached sees nothing, and presses Enter
    terminal.types("\n");
    terminal.shows(ENTER, 2).await;
    terminal.types("a slip of the finger\n");
    terminal.shows(AGAIN, 1).await;
    terminal.types(&format!("{PASSWORD}\n"));
    terminal.shows("The passwords differ.", 1).await;
    terminal.shows(ENTER, 3).await;
    terminal.types(&format!("{PASSWORD}\n"));
    terminal.shows(AGAIN, 2).await;
    assert!(!terminal.echoes());
    terminal.types(&format!("{PASSWORD}\n"));
    terminal.shows("receives from the network", 1).await;
    assert!(terminal.echoes(), "the terminal is as it was");
    terminal.signal("-TERM");
    let (code, shown) = terminal.ends().await;
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains(PASSWORD) && !shown.contains("slip"), "{shown}");
    let made = banners(&shown).pop().unwrap();

    let mut terminal = Terminal::start(&mut at_terminal(&harness));
    terminal.shows(ENTER, 1).await;
    terminal.types(&format!("{made}\n"));
    terminal.shows("receives from the network", 1).await;
    assert!(!terminal.shown().contains(AGAIN) && !terminal.shown().contains(&made), "{}", terminal.shown());
    terminal.signal("-TERM");
    assert_eq!(terminal.ends().await.0, Some(0));

    let mut terminal = Terminal::start(&mut at_terminal(&harness));
    terminal.shows(ENTER, 1).await;
    terminal.types("not the password\n");
    let (code, shown) = terminal.ends().await;
    assert_eq!(code, Some(78), "{shown}");
    assert!(shown.contains("failedlogin_bad_credentials"), "{shown}");
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_while_the_terminal_is_asked_ends_the_bot_and_leaves_the_terminal_as_it_was() {
    let harness = Harness::start();
    let mut terminal = Terminal::start(&mut at_terminal(&harness));
    terminal.shows(ENTER, 1).await;
    terminal.signal("-TERM");
    terminal.shows("Shutting down", 1).await;
    terminal.child.wait().unwrap();
    assert!(terminal.echoes());
    let (code, shown) = terminal.ends().await;
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("provisioning_user_ended"), "{shown}");
    // Ctrl-D: the end of what is typed
    let mut terminal = Terminal::start(&mut at_terminal(&harness));
    terminal.shows(ENTER, 1).await;
    terminal.types("\u{4}");
    let (code, shown) = terminal.ends().await;
    assert_eq!(code, Some(78), "{shown}");
    assert!(shown.contains("WICKRIO_BOT_PASSWORD"), "{shown}");
    harness.stop().await;
}
