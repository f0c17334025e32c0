//! A terminal without a screen: what somebody types into it, and what a program shows there.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use tokio::sync::watch;

/// What the Enter key sends.
pub const ENTER_KEY: &str = "\r";

/// A program at a terminal.
pub struct Terminal {
    pub child: Child,
    keys: File,
    /// The program's end, kept open.
    line: OwnedFd,
    shown: watch::Receiver<String>,
}

impl Terminal {
    pub fn start(command: &mut Command) -> Self {
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
    pub async fn shows(&mut self, text: &str, times: usize) {
        let mut shown = self.shown.clone();
        shown.wait_for(|all| all.matches(text).count() >= times).await.unwrap();
    }

    pub fn types(&mut self, text: &str) {
        self.keys.write_all(text.as_bytes()).unwrap();
    }

    pub fn shown(&self) -> String {
        self.shown.borrow().clone()
    }

    pub fn echoes(&self) -> bool {
        tcgetattr(&self.line).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    pub fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }

    pub async fn ends(mut self) -> (Option<i32>, String) {
        let mut child = self.child;
        let code = tokio::task::spawn_blocking(move || child.wait().unwrap().code()).await.unwrap();
        drop(self.line);
        // the screen ends with the last who holds the line
        while self.shown.changed().await.is_ok() {}
        let shown = self.shown.borrow().clone();
        (code, shown)
    }
}
