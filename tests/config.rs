//! What lies in `config/` is right: each file is judged by a tool that others wrote, and said to be the same as the code
//! where it repeats it. Each judge is also shown a spoiled copy, which it must refuse.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers fail the test"
)]

mod deploy;
mod environment;
mod permissions;
mod sbom;
mod unit;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Names the tools that `tests/setup` could not install, one a line.
const WITHOUT_TOOLS: &str = "target/aws/without-tools";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A file of `config/`.
fn file(name: &str) -> String {
    let path = root().join("config").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("`{}`: {error}", path.display()))
}

fn script(name: &str) -> PathBuf {
    root().join("tests/support/config").join(name)
}

/// A program of the environment that `tests/setup` makes from `tests/support/aws/<environment>.txt`.
fn tool(environment: &str, name: &str) -> PathBuf {
    root().join("target/aws").join(environment).join("bin").join(name)
}

/// Is this Debian package here? Where only root could have installed it, the test says loudly that it did nothing.
pub fn has(package: &str) -> bool {
    let missing = fs::read_to_string(root().join(WITHOUT_TOOLS)).unwrap_or_default();
    let here = !missing.lines().any(|line| line == package);
    if !here {
        eprintln!("NOT CHECKED: `{package}` is not installed, and only root can install it");
    }
    here
}

/// What a tool printed, or its complaint.
fn judged(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("`{program}` does not run: {error}: run `tests/setup`"));
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stdout) + &text(&output.stderr)) }
}

/// A copy of a file of `config/` with one change, in a directory of its own.
fn spoiled(directory: &Path, name: &str, from: &str, to: &str) -> PathBuf {
    let text = file(name);
    assert!(text.contains(from), "`{name}` has no `{from}` to spoil");
    let path = directory.join(Path::new(name).file_name().unwrap());
    fs::write(&path, text.replacen(from, to, 1)).unwrap();
    path
}

/// Whether the file is to be written instead of compared.
fn blesses() -> bool {
    std::env::var_os("RETAIND_BLESS").is_some()
}
