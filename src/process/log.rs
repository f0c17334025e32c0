//! The bot's log, set up from the configuration.

use super::Failure;
use retaind_config::Config;
use retaind_report::logs::files::LogFiles;
use retaind_report::logs::{self, Stream};

/// Starts it: on standard output, and in files where they can be written. A bot does not end because they cannot.
pub(crate) fn start(config: &Config) -> Result<(), Failure> {
    let (files, unwritable) = match config.report.logs.as_deref().map(LogFiles::open) {
        Some(Ok(files)) => (Some(files), None),
        Some(Err(error)) => (None, Some(error)),
        None => (None, None),
    };
    logs::start(Stream::Output, &config.report.log, config.report.log_format, files).map_err(Failure::configuration)?;
    if let Some(error) = unwritable {
        tracing::warn!("{error}");
    }
    Ok(())
}
