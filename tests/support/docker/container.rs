//! A container with a bot in it: listened to, talked to as a device, ended.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use retaind::device::account::{self, Proof};
use retaind::device::conversations::Device;
use retaind::device::patience::Patience;
use retaind::device::store::{STEPS, Store};
use retaind::protocol::endpoint::{Endpoint, Invite};
use serde_json::Value;

use super::super::program::Program;
use super::super::{lines, vault};
use super::Engine;

/// The port that the image's network listens on.
const PORT: u16 = 7443;
/// How long a device waits for a container that is stopped, killed or out of memory.
const PATIENCE: Duration = Duration::from_secs(120);
/// The user of the image.
pub const UID: u32 = 10_001;

/// What a container is given so that all its starts have the password that is in force: an initial one, and the one that
/// replaces it at the first start.
pub fn password() -> [&'static str; 4] {
    ["--env", "WICKRIO_BOT_PASSWORD=password", "--env", "WICKRIO_ROTATE_PASSWORD=staple that nobody guesses"]
}

/// A container, by its name.
pub struct Container<'a> {
    engine: &'a Engine,
    name: String,
    bot: String,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Exit code.
    pub code: i64,
    /// Did the kernel kill it for its memory?
    pub out_of_memory: bool,
    /// How often the engine started it again.
    pub restarts: u64,
}

impl Engine {
    /// A host's directory for the volume of `bot`, for the user of the image.
    pub fn volume(&self, bot: &str) -> PathBuf {
        self.volume_of(bot, UID)
    }

    /// The same, for another user.
    pub fn volume_of(&self, bot: &str, uid: u32) -> PathBuf {
        let path = Path::new("/opt").join(bot);
        fs::create_dir(&path).unwrap();
        std::os::unix::fs::chown(&path, Some(uid), None).unwrap();
        path
    }

    /// A container that somebody has started, and the bot in it.
    pub fn container<'a>(&'a self, name: &str, bot: &str) -> Container<'a> {
        Container { engine: self, name: name.to_owned(), bot: bot.to_owned() }
    }

    /// Starts a container with `arguments` before the image's name, and the volume and names of the guide.
    pub fn run<'a>(&'a self, bot: &str, arguments: &[&str]) -> Container<'a> {
        self.run_image(super::IMAGE, bot, arguments)
    }

    /// The same, of another image.
    pub fn run_image<'a>(&'a self, image: &str, bot: &str, arguments: &[&str]) -> Container<'a> {
        let (volume, name) = (format!("/opt/{bot}:/tmp/{bot}"), format!("WICKRIO_BOT_NAME={bot}"));
        let usual = ["run", "--detach", "--name", bot, "--volume", &volume, "--env", &name];
        self.docker(&[&usual, arguments, &[image]].concat());
        self.container(bot, bot)
    }
}

impl Container<'_> {
    /// `docker VERB NAME`.
    pub fn docker(&self, verb: &str) -> String {
        self.engine.docker(&[verb, &self.name])
    }

    /// A value of `docker inspect`.
    pub fn inspect(&self, format: &str) -> String {
        self.engine.docker(&["inspect", "--format", format, &self.name])
    }

    /// Waits until the container has said `text` in its present life.
    pub async fn says(&self, text: &str) -> String {
        let since = self.inspect("{{.State.StartedAt}}");
        let mut follow = self.engine.command("docker");
        Program::start(follow.args(["logs", "--follow", "--since", &since, &self.name])).says(text).await
    }

    /// All that it has said, in all its lives.
    pub fn log(&self) -> String {
        let output = self.engine.try_docker(&["logs", &self.name]);
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    }

    /// Waits for its end, and for the engine to give up starting it again.
    pub async fn ends(&self) -> Ended {
        loop {
            self.docker("wait");
            if self.inspect("{{.State.Status}}") == "exited" {
                break;
            }
            // nobody tells that the engine has given up: there is nothing but to look again
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.ended()
    }

    /// How it ended.
    pub fn ended(&self) -> Ended {
        let found = self.inspect("{{.State.ExitCode}} {{.State.OOMKilled}} {{.RestartCount}}");
        let [code, out_of_memory, restarts] = found.split(' ').collect::<Vec<_>>()[..] else { panic!("{found}") };
        Ended {
            code: code.parse().unwrap(),
            out_of_memory: out_of_memory.parse().unwrap(),
            restarts: restarts.parse().unwrap(),
        }
    }

    /// `retaind ARGUMENTS` beside the bot.
    pub fn retaind(&self, arguments: &[&str]) -> String {
        self.engine.docker(&[&["exec", &self.name, "retaind"], arguments].concat())
    }

    /// Where the network in it is: as devices on this host see it.
    pub fn address(&self) -> String {
        format!("{}:{PORT}", self.ip())
    }

    /// Its address in the only network that it is in.
    pub fn ip(&self) -> String {
        self.inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
    }

    /// A device of a new user, which waits for the network wherever the container is next.
    pub async fn device(&self, name: &str) -> Device {
        self.try_device(name).await.unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The same, or what the network says against it.
    pub async fn try_device(&self, name: &str) -> Result<Device, String> {
        let directory = format!("/tmp/{}/state/network", self.bot);
        let invite: Invite = self.retaind(&["network", "invite", "--directory", &directory, name]).parse().unwrap();
        let endpoint = Endpoint { address: self.address(), ..invite.endpoint };
        let store = Store::in_memory(vault(), STEPS).unwrap();
        let account = account::register(store, &endpoint, Proof::Invite(&invite.code), 0).await;
        let account = account.map_err(|error| error.to_string())?;
        let device = Device::start_with_key_packages(account, 4).await;
        let mut device = device.map_err(|error| error.to_string())?;
        device.be_patient(Patience::lasting(PATIENCE));
        Ok(device)
    }

    /// On the host: what is mounted.
    pub fn volume(&self) -> PathBuf {
        Path::new("/opt").join(&self.bot)
    }

    /// Its message files.
    pub fn messages(&self) -> PathBuf {
        self.volume().join("compliance/messages")
    }

    /// Its attachments.
    pub fn files(&self) -> PathBuf {
        self.volume().join("compliance/attachments")
    }

    /// Waits until this many records are archived.
    pub async fn archives(&self, records: usize) {
        // a line may be half written when it is looked at; the comparison afterwards is exact
        let count = || -> usize {
            let files = super::super::message_files(&self.messages());
            files
                .iter()
                .filter_map(|file| fs::read(file).ok())
                .map(|all| all.iter().filter(|b| **b == b'\n').count())
                .sum()
        };
        while count() < records {
            assert_eq!(self.inspect("{{.State.Running}}"), "true", "{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// All records.
    pub fn records(&self) -> Vec<Value> {
        lines(&self.messages()).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
