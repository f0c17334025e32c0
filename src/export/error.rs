//! Why an export cannot be made.

use std::io;

use retaind_core::fault::{Fault, Faulty};
use retaind_reader::filter::{FilterError, SurveyError};
use retaind_reader::source::SourceError;

use crate::table::Format;

/// Why an export failed. What was written stays, without an `export.json`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The archive cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The filter is wrong.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// Options that do not go together.
    #[error("{0}")]
    Usage(&'static str),
    /// The directory is in use.
    #[error("`{path}` is not empty: give `--out` an empty directory, or one that is not there")]
    NotEmpty {
        /// The directory.
        path: String,
    },
    /// A file of the export cannot be written.
    #[error("`{path}` cannot be written")]
    Write {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A file that was to be put into the export cannot be read.
    #[error("`{path}` cannot be read")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// An attachment had another length when it was read than when it was planned.
    #[error("`{path}` was changed during the export: export again")]
    Changed {
        /// The file.
        path: String,
    },
    /// A record is neither written nor excluded.
    #[error(
        "record `{place}` of type `{kind}` is neither in the format `{format}` nor excluded: the export is incomplete, report this"
    )]
    Unaccounted {
        /// File and line.
        place: String,
        /// Its type.
        kind: &'static str,
        /// The format that lacks it.
        format: Format,
    },
    /// Messages cannot be written.
    #[error("output cannot be written")]
    Output(#[source] io::Error),
}

impl Error {
    /// For a file of the export.
    pub(crate) fn write(path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Write { path, source }
    }
}

impl From<SurveyError> for Error {
    fn from(error: SurveyError) -> Self {
        match error {
            SurveyError::Source(error) => Self::Source(error),
            SurveyError::Filter(error) => Self::Filter(error),
        }
    }
}

impl Faulty for Error {
    fn fault(&self) -> Fault {
        match self {
            Self::Source(error) => error.fault(),
            Self::Filter(error) => error.fault(),
            Self::Usage(_) | Self::NotEmpty { .. } => Fault::Configuration,
            Self::Write { .. } | Self::Read { .. } | Self::Changed { .. } | Self::Output(_) => Fault::Temporary,
            Self::Unaccounted { .. } => Fault::Internal,
        }
    }
}
