//! The program as a process: started, listened to, signalled, killed.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use data_encoding::BASE64;
use retaind::protocol::endpoint::Endpoint;
use tokio::sync::watch;

use super::{BOT, CHOSEN, PASSWORD};

/// `retaind ARGUMENTS` with no environment but what the test gives it: text for [`Program::says`], and neither files nor a
/// port that another test's bot would meet. A test that wants them puts them into its own directory, and on port 0.
pub fn retaind(arguments: &[&str]) -> Command {
    retaind_at(built(), arguments)
}

/// The program that these tests were built with. Only tests and benches have one.
pub fn built() -> &'static Path {
    Path::new(option_env!("CARGO_BIN_EXE_retaind").unwrap_or("retaind"))
}

/// How image and unit have glibc's allocator keep less and give more back.
pub const ALLOCATOR: [(&str, &str); 3] =
    [("MALLOC_ARENA_MAX", "4"), ("MALLOC_TRIM_THRESHOLD_", "1048576"), ("MALLOC_MMAP_THRESHOLD_", "262144")];

/// The same of a program that lies elsewhere.
pub fn retaind_at(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs([
        ("RUST_LOG", "info"),
        ("RETAIND_LOG_FORMAT", "text"),
        ("RETAIND_LOGS", "off"),
        ("RETAIND_HEALTH", "off"),
    ]);
    command
}

/// `retaind run` with everything below `home`, also its log files.
pub fn run(home: &Path) -> Command {
    run_at(built(), home)
}

/// The same of a program that lies elsewhere.
pub fn run_at(program: &Path, home: &Path) -> Command {
    let mut command = retaind_at(program, &["run"]);
    command
        .env("WICKRIO_BOT_NAME", BOT)
        .env("WICKRIO_BOT_PASSWORD", PASSWORD)
        // in force from the first start on, so that each later one finds what it is started with
        .env("WICKRIO_ROTATE_PASSWORD", CHOSEN)
        .env("WICKRIO_COMP_MESGDEST", home.join("messages"))
        .env("WICKRIO_COMP_FILEDEST", home.join("attachments"))
        .env("RETAIND_STATE", home.join("state"))
        .env("RETAIND_LOGS", home.join("logs"));
    command
}

/// The same, on a network that is another process (or the test's).
pub fn run_on(home: &Path, network: &Endpoint) -> Command {
    run_on_at(built(), home, network)
}

/// The same of a program that lies elsewhere.
pub fn run_on_at(program: &Path, home: &Path, network: &Endpoint) -> Command {
    let authority = home.join("ca.pem");
    write_pem(&authority, &network.ca_der);
    let mut command = run_at(program, home);
    command.env("RETAIND_NETWORK", &network.address).env("RETAIND_NETWORK_CA", authority);
    command
}

/// In every message that a test's traffic sends.
pub const CANARY: &str = "whisper it to nobody";

/// A process that is killed when the test is done with it. Whatever test it is for, in what it says and in its log files
/// there is no password, and nothing of a message.
pub struct Program {
    child: Child,
    said: watch::Receiver<Vec<String>>,
    logs: Option<PathBuf>,
}

impl Program {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (tell, said) = watch::channel(Vec::new());
        listen(child.stdout.take().unwrap(), tell.clone());
        listen(child.stderr.take().unwrap(), tell);
        let logs = command.get_envs().find(|(name, _)| *name == "RETAIND_LOGS").and_then(|(_, value)| value);
        Self { child, said, logs: logs.filter(|logs| *logs != "off").map(PathBuf::from) }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the line that holds `text`. Panics if the program ends without it.
    pub async fn says(&mut self, text: &str) -> String {
        let find = |lines: &Vec<String>| lines.iter().find(|line| line.contains(text)).cloned();
        let line = self.said.wait_for(|lines| find(lines).is_some()).await.ok().and_then(|lines| find(&lines));
        line.unwrap_or_else(|| panic!("ended without `{text}`:\n{}", self.log()))
    }

    /// Waits for the line that holds `text`, or for the end.
    pub async fn works_or_ends(&self, text: &str) {
        // the program may end without it
        let _ = self.said.clone().wait_for(|lines| lines.iter().any(|line| line.contains(text))).await;
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        self.said.borrow().join("\n")
    }

    /// Does it run?
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn signal(&self, signal: &str) {
        let status = Command::new("sh").arg("-c").arg(format!("kill -{signal} {}", self.pid())).status();
        assert!(status.unwrap().success());
    }

    /// SIGKILL. It must not have ended before.
    pub fn kill(mut self) {
        assert!(self.runs(), "ended by itself:\n{}", self.log());
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end: exit code and what it said.
    pub async fn ends(mut self) -> (Option<i32>, String) {
        // its output ends with it
        while self.said.changed().await.is_ok() {}
        let code = self.child.wait().unwrap().code();
        (code, self.log())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // it has ended, or the test has failed
        let _ = self.child.kill();
        let _ = self.child.wait();
        // a test that has failed says why by itself
        if !std::thread::panicking() {
            says_no_secret(&self.log());
            for file in self.logs.iter().flat_map(fs::read_dir).flatten() {
                // rotated away meanwhile
                let text = file.and_then(|file| fs::read(file.path())).unwrap_or_default();
                says_no_secret(&String::from_utf8_lossy(&text));
            }
        }
    }
}

fn says_no_secret(log: &str) {
    for secret in [CANARY, PASSWORD, CHOSEN] {
        assert!(!log.contains(secret), "`{secret}` is in a log:\n{log}");
    }
}

fn listen(output: impl Read + Send + 'static, tell: watch::Sender<Vec<String>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            tell.send_modify(|lines| lines.push(line));
        }
    });
}

/// A certificate as `RETAIND_NETWORK_CA` wants it.
pub fn write_pem(path: &Path, der: &[u8]) {
    let base64 = BASE64.encode(der);
    let lines: Vec<&str> = base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
    std::fs::write(path, pem).unwrap();
}
