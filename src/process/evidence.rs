//! Where the evidence goes when the configuration does not say.
//!
//! Beside the messages directory, so that a query service that reads the messages does not find entries among them. But what is
//! beside a volume is lost with the container: where the messages directory is a volume of its own, or where nothing can be made
//! beside it, evidence goes into it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use retaind_bot::evidence::Settings;
use retaind_config::Config;
use retaind_evidence::names::FOLDER;
use rustix::fs::{Access, access};

/// How this configuration has the archive proved; `None`: not at all.
pub(super) fn settings(config: &Config) -> Option<Settings> {
    let evidence = config.evidence.as_ref()?;
    Some(Settings {
        directory: evidence.directory.clone().unwrap_or_else(|| beside(&config.files.messages)),
        interval: evidence.interval,
        checkpoints: evidence.checkpoints,
        origin: evidence.origin.clone(),
    })
}

/// What is there already stays in use.
fn beside(messages: &Path) -> PathBuf {
    let within = messages.join(FOLDER);
    let Some(parent) = messages.parent() else { return within };
    let outside = parent.join(FOLDER);
    if outside.is_dir() {
        return outside;
    }
    let volume = match (fs::metadata(messages), fs::metadata(parent)) {
        (Ok(messages), Ok(parent)) => messages.dev() != parent.dev(),
        // one of them is made now, in the file system of what is above it
        (Err(_), _) | (_, Err(_)) => false,
    };
    let closed = parent.is_dir() && access(parent, Access::WRITE_OK).is_err();
    if within.is_dir() || volume || closed { within } else { outside }
}
