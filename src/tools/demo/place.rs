//! The folder of a demo: new or empty, so that nothing of anybody's is touched, and kept for whoever wants to look.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;

use retaind_config::env;
use retaind_device::conversations::random;
use retaind_process::Failure;

/// The keys of the demo's bot are in it.
const DIRECTORY_MODE: u32 = 0o700;

/// The folder and what is in it.
#[derive(Debug)]
pub(super) struct Place {
    /// The folder of the demo.
    pub root: PathBuf,
    /// State of the bot.
    pub state: PathBuf,
    /// State of the network.
    pub network: PathBuf,
    /// Message files.
    pub messages: PathBuf,
    /// Attachments that the bot archived.
    pub attachments: PathBuf,
    /// What proves them.
    pub evidence: PathBuf,
    /// Files as they were sent.
    pub outbox: PathBuf,
}

impl Place {
    /// In `given`, or in a fresh folder among the temporary ones.
    pub(crate) fn make(given: Option<&Path>) -> Result<Self, Failure> {
        let failed = |path: &Path, error: io::Error| {
            let path = path.display();
            Failure::configuration(format!(
                "directory `{path}` of the demo cannot be used, name another one with `--directory`: {error}"
            ))
        };
        let root = match given {
            Some(path) => {
                refuse_filled(path).map_err(|error| failed(path, error))?;
                make(path).map_err(|error| failed(path, error))?;
                path.to_path_buf()
            }
            None => {
                let name: [u8; 4] = random().map_err(Failure::internal)?;
                let path = env::temporary_directory().join(format!("retaind-demo-{}", HEXLOWER.encode(&name)));
                // not recursive: one that is there already is somebody else's
                DirBuilder::new().mode(DIRECTORY_MODE).create(&path).map_err(|error| failed(&path, error))?;
                path
            }
        };
        let root = root.canonicalize().map_err(|error| failed(&root, error))?;
        let state = root.join("state");
        let network = state.join("network");
        let [messages, attachments, evidence, outbox] =
            ["messages", "attachments", "_evidence", "sent"].map(|name| root.join(name));
        for path in [&state, &messages, &attachments, &evidence, &outbox] {
            make(path).map_err(|error| failed(path, error))?;
        }
        Ok(Self { root, state, network, messages, attachments, evidence, outbox })
    }
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path)
}

fn refuse_filled(path: &Path) -> io::Result<()> {
    match fs::read_dir(path) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, "it is not empty")),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
