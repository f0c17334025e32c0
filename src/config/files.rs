//! What is archived on the local disk: where, and how it is cut into files.

use std::path::PathBuf;
use std::time::Duration;

use retaind_archive::names::{BASENAME_BYTES_MAX, is_base_name};

use crate::account::BotName;
use crate::mistake::{Invalid, Warning};
use crate::parse::{number, path};
use crate::reader::{Origins, Reader};
use crate::variable::{Fallback, variables};

const BYTES_PER_KIB: u64 = 1024;
/// Largest size that is still a number of bytes.
const FILE_SIZE_KIB_MAX: u64 = u64::MAX / BYTES_PER_KIB;
const SECONDS_PER_MINUTE: u64 = 60;
/// Longest time, in minutes. 8,000 years: whoever says more has mistyped, and it cannot overflow in microseconds.
const TIME_ROTATE_MINUTES_MAX: u64 = u32::MAX as u64;

variables! {
    MESSAGES: "WICKRIO_COMP_MESGDEST" or "WICKRIO_COMP_MSGDEST", Fallback::OfBot("/tmp/<botname>/compliance/messages"), Public,
        "directory of the message files";
    ATTACHMENTS: "WICKRIO_COMP_FILEDEST", Fallback::OfBot("/tmp/<botname>/compliance/attachments"), Public,
        "directory of the attachments";
    BASE_NAME: "WICKRIO_COMP_BASENAME", Fallback::Text("receivedMessages"), Public,
        "base name of the message files";
    FILE_SIZE: "WICKRIO_COMP_FILESIZE", Fallback::Text("1000000000"), Public,
        "largest message file, in KiB";
    TIME_ROTATE: "WICKRIO_COMP_TIMEROTATE", Fallback::Text("0"), Public,
        "minutes after which a new message file starts; 0 = no limit";
}

/// The message files and attachments.
#[derive(Debug)]
pub struct Files {
    /// Directory of the message files.
    pub messages: PathBuf,
    /// Directory of the attachments.
    pub attachments: PathBuf,
    /// What the names of message files start with; it passes [`retaind_archive::names::is_base_name`].
    pub base_name: String,
    /// Largest message file, in bytes.
    pub size_max: u64,
    /// After how long a new message file starts.
    pub rotate_after: Option<Duration>,
}

pub(crate) fn read(r: &mut Reader, bot: Option<&BotName>) -> Option<Files> {
    let messages = r.read_for(&MESSAGES, bot, path);
    let attachments = r.read_for(&ATTACHMENTS, bot, path);
    let base_name = r.read(&BASE_NAME, base_name);
    let size_max = r.read(&FILE_SIZE, file_size);
    let rotate_after = r.read(&TIME_ROTATE, time_rotate);
    Some(Files {
        messages: messages?,
        attachments: attachments?,
        base_name: base_name?,
        size_max: size_max?,
        rotate_after: rotate_after?,
    })
}

pub(crate) fn value(files: &Files, name: &str) -> Option<String> {
    match name {
        "WICKRIO_COMP_MESGDEST" => Some(files.messages.display().to_string()),
        "WICKRIO_COMP_FILEDEST" => Some(files.attachments.display().to_string()),
        "WICKRIO_COMP_BASENAME" => Some(files.base_name.clone()),
        "WICKRIO_COMP_FILESIZE" => Some((files.size_max / BYTES_PER_KIB).to_string()),
        "WICKRIO_COMP_TIMEROTATE" => {
            let minutes = files.rotate_after.map_or(0, |after| after.as_secs() / SECONDS_PER_MINUTE);
            Some(minutes.to_string())
        }
        _ => None,
    }
}

/// Both limits hold, which not everybody expects.
pub(crate) fn warning(files: &Files, origins: &Origins) -> Option<Warning> {
    let (size, time) = (origins.given(&FILE_SIZE)?, origins.given(&TIME_ROTATE)?);
    files.rotate_after.map(|_| Warning::BothLimits { size: size.clone(), time: time.clone() })
}

fn base_name(text: &str) -> Result<String, Invalid> {
    if is_base_name(text) { Ok(text.to_owned()) } else { Err(Invalid::BaseName { max: BASENAME_BYTES_MAX }) }
}

/// KiB → bytes.
fn file_size(text: &str) -> Result<u64, Invalid> {
    let kib = number(text, "KiB", 1, FILE_SIZE_KIB_MAX)?;
    Ok(kib.saturating_mul(BYTES_PER_KIB))
}

/// Minutes → duration; 0 → none.
fn time_rotate(text: &str) -> Result<Option<Duration>, Invalid> {
    let minutes = number(text, "minutes", 0, TIME_ROTATE_MINUTES_MAX)?;
    Ok((minutes > 0).then(|| Duration::from_secs(minutes.saturating_mul(SECONDS_PER_MINUTE))))
}
