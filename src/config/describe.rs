//! The resulting configuration for a person to read, secrets masked: what `retaind check` prints.

use std::io::{self, Write};

use super::env::{Origin, VARIABLES};
use super::{Config, Network};

/// What stands for a secret. It tells that there is one and nothing of it, not even its length.
const MASK: &str = "********";
/// What stands for a setting that is off or does not matter with these others.
const UNSET: &str = "–";

/// Writes one line a variable: its name, the value that holds, and where it came from.
pub fn describe(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    for variable in VARIABLES {
        let value = value(config, variable.name);
        match (value, config.origins.of(variable)) {
            (None, _) => writeln!(out, "{:<24} {UNSET}", variable.name)?,
            (Some(value), Origin::Default { .. }) => writeln!(out, "{:<24} {value}  (default)", variable.name)?,
            (Some(value), Origin::Environment { name }) if name == variable.name => {
                writeln!(out, "{:<24} {value}", variable.name)?;
            }
            (Some(value), origin) => writeln!(out, "{:<24} {value}  (from {origin})", variable.name)?,
        }
    }
    Ok(())
}

/// The value that holds, taken from the typed configuration and not from the text that was given, so that what is shown
/// is what was understood.
fn value(config: &Config, name: &str) -> Option<String> {
    const SECONDS_PER_MINUTE: u64 = 60;
    const BYTES_PER_KIB: u64 = 1024;
    let masked = |secret: &Option<_>| secret.as_ref().map(|_: &super::Secret| MASK.to_owned());
    let (files, aws) = (&config.files, &config.aws);
    match name {
        "WICKRIO_BOT_NAME" => Some(config.bot.as_str().to_owned()),
        "WICKRIO_BOT_PASSWORD" => masked(&config.password),
        "WICKRIO_ROTATE_PASSWORD" => masked(&config.new_password),
        "WICKRIO_COMP_MESGDEST" => Some(files.messages.display().to_string()),
        "WICKRIO_COMP_FILEDEST" => Some(files.attachments.display().to_string()),
        "WICKRIO_COMP_BASENAME" => Some(files.base_name.as_str().to_owned()),
        "WICKRIO_COMP_FILESIZE" => Some((files.size_max / BYTES_PER_KIB).to_string()),
        "WICKRIO_COMP_TIMEROTATE" => {
            let minutes = files.rotate_after.map_or(0, |after| after.as_secs() / SECONDS_PER_MINUTE);
            Some(minutes.to_string())
        }
        "AWS_DEFAULT_REGION" => Some(aws.region.clone()),
        "AWS_SECRET_NAME" => aws.secret.clone(),
        "AWS_SECRET_REGION" => Some(aws.secret_region.clone()),
        "WICKRIO_S3_BUCKET_NAME" => aws.bucket.clone(),
        "WICKRIO_S3_REGION" => aws.bucket_region.clone(),
        "WICKRIO_S3_FOLDER_NAME" => aws.folder.clone(),
        "WICKRIO_KMS_MSTRKEY_ARN" => aws.key.clone(),
        "WICKRIO_KMS_REGION" => aws.key_region.clone(),
        "WICKRIO_SNS_TOPIC_ARN" => aws.topic.clone(),
        "WICKRIO_METRICS_TYPE" => aws.metrics.map(|metrics| metrics.to_string()),
        "RETAIND_STATE" => Some(config.state.display().to_string()),
        "RUST_LOG" => Some(config.log.clone()),
        _ => network_value(&config.network, name),
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
