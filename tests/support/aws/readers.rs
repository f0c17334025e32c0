//! The clients with which people read the archive: the official ones, as processes of their own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Access, python, script};

/// Set by `tests/run` where `tests/setup` could not install the Ruby client.
const WITHOUT_RUBY: &str = "RETAIND_TESTS_WITHOUT_RUBY";

/// How an object is encrypted, and so which objects a reader takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `kms+context`.
    V2,
    /// With key commitment.
    V3,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V3 => "v3",
        }
    }
}

/// Reads objects as one who has these credentials, decrypting with one key.
pub struct Reader<'a> {
    /// Where from, and as whom.
    pub access: &'a Access,
    /// Bucket.
    pub bucket: &'a str,
    /// ARN of the KMS key.
    pub kms_key: &'a str,
}

impl Reader<'_> {
    /// The official Python client: V3 as it comes, V2 with the policy that it wants for that. One process, one plaintext a
    /// key; or what it said.
    pub fn python(&self, format: Format, keys: &[&str]) -> Result<Vec<Vec<u8>>, String> {
        self.read(keys, || self.client("get", format))
    }

    /// The same, streaming: it gives out plaintext before it has checked it, and takes objects of any size.
    pub fn python_streaming(&self, format: Format, keys: &[&str]) -> Result<Vec<Vec<u8>>, String> {
        self.read(keys, || self.client("stream", format))
    }

    /// Puts an object there with the official Python client.
    pub fn python_writes(&self, format: Format, key: &str, plaintext: &Path) -> Result<(), String> {
        run(self.client("put", format).arg(key).arg(plaintext))
    }

    /// The official Ruby client, for V2. `None` where `tests/run` has said that it is not here.
    pub fn ruby(&self, keys: &[&str]) -> Option<Result<Vec<Vec<u8>>, String>> {
        if std::env::var_os(WITHOUT_RUBY).is_some() {
            eprintln!("NOT READ with the official Ruby client: it is not installed");
            return None;
        }
        Some(self.read(keys, || {
            let mut command = Command::new("ruby");
            command.arg(script("client.rb")).args([self.bucket, self.kms_key]);
            command
        }))
    }

    /// `aws s3 cp`: what lies there, encrypted as it is.
    pub fn cli(&self, key: &str) -> Result<Vec<u8>, String> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("object");
        let mut command = Command::new(python("cli"));
        command.args(["-B", "-m", "awscli", "s3", "cp", "--only-show-errors"]);
        run(self.with_access(&mut command).arg(format!("s3://{}/{key}", self.bucket)).arg(&file))?;
        Ok(std::fs::read(file).unwrap())
    }

    fn client(&self, task: &str, format: Format) -> Command {
        let mut command = Command::new(python("reader"));
        command.arg("-B").arg(script("client.py"));
        command.args([task, format.name(), self.bucket, self.kms_key]);
        self.with_access(&mut command);
        command
    }

    fn with_access<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        // nothing of who runs the tests, but where programs are
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).envs(self.access.variables())
    }

    fn read(&self, keys: &[&str], command: impl FnOnce() -> Command) -> Result<Vec<Vec<u8>>, String> {
        let directory = tempfile::tempdir().unwrap();
        let files: Vec<PathBuf> = (0..keys.len()).map(|number| directory.path().join(number.to_string())).collect();
        let pairs = keys.iter().zip(&files).flat_map(|(key, file)| [OsString::from(key), file.clone().into()]);
        let mut command = command();
        run(self.with_access(&mut command).args(pairs))?;
        Ok(files.iter().map(|file| std::fs::read(file).unwrap()).collect())
    }
}

/// What it said, if it failed.
fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("`{program}` does not run: {error}: run `tests/setup`"));
    let said = [output.stdout, output.stderr].concat();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&said).into_owned()) }
}
