//! The resulting configuration for a person to read, secrets masked: what `retaind check` prints.

use std::io::{self, Write};

use super::aws::{Aws, Updates};
use super::env::{Origin, VARIABLES};
use super::{Config, Network};

/// What stands for a secret. It tells that there is one and nothing of it, not even its length.
const MASK: &str = "********";
/// What stands for a setting that is off or does not matter with these others.
const UNSET: &str = "–";
/// Width of the names' column.
const NAME_CHARS: usize = 30;

/// Writes one line a variable: its name, the value that holds, and where it came from.
pub fn describe(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    for variable in VARIABLES {
        let value = value(config, variable.name);
        match (value, config.origins.of(variable)) {
            (None, _) => writeln!(out, "{:<NAME_CHARS$} {UNSET}", variable.name)?,
            (Some(value), Origin::Default { .. }) => {
                writeln!(out, "{:<NAME_CHARS$} {value}  (default)", variable.name)?
            }
            (Some(value), Origin::Environment { name }) if name == variable.name => {
                writeln!(out, "{:<NAME_CHARS$} {value}", variable.name)?;
            }
            (Some(value), origin) => writeln!(out, "{:<NAME_CHARS$} {value}  (from {origin})", variable.name)?,
        }
    }
    Ok(())
}

/// The value that holds, taken from the typed configuration and not from the text that was given, so that what is shown
/// is what was understood.
fn value(config: &Config, name: &str) -> Option<String> {
    const SECONDS_PER_MINUTE: u64 = 60;
    const BYTES_PER_KIB: u64 = 1024;
    const BYTES_PER_MIB: u64 = 1024 * 1024;
    let masked = |secret: &Option<_>| secret.as_ref().map(|_: &super::Secret| MASK.to_owned());
    let off = || "off".to_owned();
    let files = &config.files;
    match name {
        "WICKRIO_BOT_NAME" => Some(config.bot.as_str().to_owned()),
        "WICKRIO_BOT_PASSWORD" => masked(&config.password),
        "WICKRIO_ROTATE_PASSWORD" => masked(&config.new_password),
        "RETAIND_STORE_PASSWORD" => Some(config.store_password.to_string()),
        "WICKRIO_COMP_MESGDEST" => Some(files.messages.display().to_string()),
        "WICKRIO_COMP_FILEDEST" => Some(files.attachments.display().to_string()),
        "WICKRIO_COMP_BASENAME" => Some(files.base_name.as_str().to_owned()),
        "WICKRIO_COMP_FILESIZE" => Some((files.size_max / BYTES_PER_KIB).to_string()),
        "WICKRIO_COMP_TIMEROTATE" => {
            let minutes = files.rotate_after.map_or(0, |after| after.as_secs() / SECONDS_PER_MINUTE);
            Some(minutes.to_string())
        }
        "RETAIND_WATCHDOG_MINUTES" => Some((config.watchdog.fails_after.as_secs() / SECONDS_PER_MINUTE).to_string()),
        "RETAIND_DISK_LOW" => Some((config.watchdog.disk_low_bytes / BYTES_PER_MIB).to_string()),
        "RETAIND_GRACE_SECONDS" => Some(config.grace.as_secs().to_string()),
        "RETAIND_STATE" => Some(config.state.display().to_string()),
        "RUST_LOG" => Some(config.log.clone()),
        "RETAIND_LOG_FORMAT" => Some(config.log_format.to_string()),
        "RETAIND_LOGS" => Some(config.logs.as_ref().map_or_else(off, |path| path.display().to_string())),
        "RETAIND_HEALTH" => Some(config.health.map_or_else(off, |address| address.to_string())),
        _ => network_value(&config.network, name).or_else(|| aws_value(&config.aws, name)),
    }
}

fn aws_value(aws: &Aws, name: &str) -> Option<String> {
    let (secret, upload) = (aws.secret.as_ref(), aws.upload.as_ref());
    let key = upload.and_then(|upload| upload.key.as_ref());
    let retention = upload.and_then(|upload| upload.lock.retention);
    match name {
        "AWS_DEFAULT_REGION" => Some(aws.region.clone()),
        "AWS_CA_BUNDLE" => Some(aws.ca_bundle.as_ref()?.file.display().to_string()),
        "AWS_SECRET_NAME" => Some(secret?.name.clone()),
        "AWS_SECRET_REGION" => Some(secret?.region.clone()),
        "WICKRIO_S3_BUCKET_NAME" => Some(upload?.bucket.clone()),
        "WICKRIO_S3_REGION" => Some(upload?.region.clone()),
        "WICKRIO_S3_FOLDER_NAME" => upload?.folder.clone(),
        "WICKRIO_KMS_MSTRKEY_ARN" => Some(key?.arn.clone()),
        "WICKRIO_KMS_REGION" => Some(key?.region.clone()),
        "RETAIND_KMS_FORMAT" => Some(key?.format.to_string()),
        "RETAIND_OBJECT_LOCK_MODE" => Some(retention?.mode.to_string()),
        "RETAIND_OBJECT_LOCK_DAYS" => Some(retention?.days.to_string()),
        "RETAIND_OBJECT_LOCK_LEGAL_HOLD" => Some(upload?.lock.legal_hold.to_string()),
        "WICKRIO_SNS_TOPIC_ARN" => Some(aws.topic.as_ref()?.arn.clone()),
        "WICKRIO_METRICS_TYPE" => Some(aws.metrics?.to_string()),
        "RETAIND_PRODUCT" => aws.metrics.map(|_| aws.product.clone()),
        "RETAIND_IMAGE" => Some(aws.image.to_string()),
        "RETAIND_UPDATES" => match aws.updates {
            Updates::On => Some("on".to_owned()),
            Updates::Off => Some("off".to_owned()),
            Updates::NoImage => None,
        },
        _ => None,
    }
}

fn network_value(network: &Network, name: &str) -> Option<String> {
    match (network, name) {
        (Network::Embedded { listen, .. }, "RETAIND_LISTEN") => Some(listen.to_string()),
        (Network::Embedded { id, .. }, "RETAIND_NETWORK_ID") => Some(id.clone()),
        (Network::Embedded { retention, .. }, "RETAIND_RETENTION") => Some(retention.to_string()),
        (Network::Outside { address, .. }, "RETAIND_NETWORK") => Some(address.as_str().to_owned()),
        (Network::Outside { authority, .. }, "RETAIND_NETWORK_CA") => Some(authority.file.display().to_string()),
        (Network::Outside { server_name, .. }, "RETAIND_NETWORK_NAME") => Some(server_name.clone()),
        (Network::Embedded { .. } | Network::Outside { .. }, _) => None,
    }
}
