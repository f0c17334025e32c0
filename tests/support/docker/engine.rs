//! The engine: started, given Debian and the image, ended.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use super::{CGROUP, home};

/// The image under test.
pub const IMAGE: &str = "retaind:test";
/// What the Dockerfile takes its libraries from.
const DEBIAN: &str = "debian:bookworm-slim";
/// Debian's engine and its client, whatever else stands before them on the path of this machine.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// A running engine, the only one of its world.
pub struct Engine {
    daemon: Child,
    scratch: PathBuf,
}

impl Engine {
    /// Starts it: a second, and at the first time another half minute for Debian and the image.
    pub(super) fn start(scratch: &Path) -> Self {
        run(Command::new("ip").args(["link", "set", "lo", "up"]));
        let opt = scratch.join("opt");
        fs::create_dir(&opt).unwrap();
        run(Command::new("mount").arg("--bind").arg(&opt).arg("/opt"));
        let path = |name: &str| scratch.join(name).into_os_string().into_string().unwrap();
        let mut daemon = Command::new("dockerd")
            .env("PATH", PATH)
            .args(["--data-root", home().join("data").to_str().unwrap(), "--exec-root", &path("exec")])
            .args(["--pidfile", &path("pid"), "--host", &format!("unix://{}", path("sock"))])
            .args(["--cgroup-parent", &format!("/{CGROUP}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("dockerd does not start, run `tests/setup`: {error}"));
        let mut said = BufReader::new(daemon.stderr.take().unwrap()).lines();
        let mut all = String::new();
        loop {
            let line = said.next().unwrap_or_else(|| panic!("dockerd ended:\n{all}")).unwrap();
            all = all + &line + "\n";
            if line.contains("API listen on") {
                break;
            }
        }
        // nobody reads it, and it must not wait for that
        let mut log = File::create(scratch.join("dockerd.log")).unwrap();
        std::thread::spawn(move || said.map_while(Result::ok).for_each(|line| writeln!(log, "{line}").unwrap()));
        let engine = Self { daemon, scratch: scratch.to_owned() };
        engine.remove_containers();
        // a container that a killed run left behind was started again by the engine, and had its volume made
        for left in fs::read_dir(&opt).unwrap() {
            fs::remove_dir_all(left.unwrap().path()).unwrap();
        }
        engine.make_image();
        engine
    }

    /// A directory of this test.
    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// A program with this engine's `docker` on its path.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", PATH).env("HOME", &self.scratch).env("DOCKER_BUILDKIT", "1");
        command.env("DOCKER_HOST", format!("unix://{}/sock", self.scratch.display()));
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        command
    }

    /// `docker ARGUMENTS`, whatever comes of it.
    pub fn try_docker(&self, arguments: &[&str]) -> Output {
        self.command("docker").args(arguments).output().unwrap()
    }

    /// `docker ARGUMENTS`: what it prints. It must succeed.
    pub fn docker(&self, arguments: &[&str]) -> String {
        said(&format!("docker {arguments:?}"), &self.try_docker(arguments))
    }

    /// Lines as they stand in a guide, in a shell; each `wickr/bot-compliance-cloud:latest` is `image`.
    pub fn shell(&self, lines: &str, image: &str) -> String {
        let lines = lines.replace("wickr/bot-compliance-cloud:latest", image);
        said(&lines, &self.command("sh").arg("-ec").arg(&lines).output().unwrap())
    }

    /// An image that is the one under test and `lines` of a Dockerfile: what a host would give it, without a longer start line.
    pub fn derive(&self, name: &str, lines: &str, context: &Path) {
        let dockerfile = self.scratch.join(format!("Dockerfile.{name}"));
        fs::write(&dockerfile, format!("FROM {IMAGE}\n{lines}\n")).unwrap();
        let (dockerfile, context) = (dockerfile.to_str().unwrap(), context.to_str().unwrap());
        self.docker(&["build", "--quiet", "--tag", name, "--file", dockerfile, context]);
    }

    fn make_image(&self) {
        if !self.try_docker(&["image", "inspect", DEBIAN]).status.success() {
            let debian = home().join("debian.tar");
            assert!(debian.exists(), "`{}` is not there: run `tests/setup`", debian.display());
            self.docker(&["import", debian.to_str().unwrap(), DEBIAN]);
        }
        let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/image/retaind");
        assert!(
            binary.exists(),
            "`{}` is not there: run `cargo build --package retaind --profile image --locked --no-default-features`",
            binary.display()
        );
        self.build(&[]);
    }

    /// Builds the image as `docker/Dockerfile` says, around the program that the gate has built.
    pub fn build(&self, arguments: &[&str]) {
        let usual =
            ["build", "--quiet", "--file", "docker/Dockerfile", "--build-arg", "BINARY=prebuilt", "--tag", IMAGE];
        self.docker(&[&usual, arguments, &["."]].concat());
    }

    /// This host's address, for containers.
    pub fn gateway(&self) -> String {
        self.docker(&["network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}", "bridge"])
    }

    fn remove_containers(&self) {
        for id in self.docker(&["ps", "--all", "--quiet"]).lines() {
            self.docker(&["rm", "--force", "--volumes", id]);
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.remove_containers();
        }
        // it ends its containers and itself; the end of this world ends what does not
        let _ = Command::new("kill").arg(self.daemon.id().to_string()).status();
        let _ = self.daemon.wait();
    }
}

/// Must succeed.
fn run(command: &mut Command) {
    said(&format!("{command:?}"), &command.output().unwrap());
}

fn said(what: &str, output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{what}: {}\n{out}\n{error}", output.status);
    out
}
