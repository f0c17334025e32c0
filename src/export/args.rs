//! Options of `export`.

use std::path::PathBuf;

use clap::Args;
use retaind_reader::filter::FilterArgs;
use retaind_reader::{AttachmentsArgs, SourceArgs};

use crate::eml::PART_BYTES_MAX;
use crate::table::Format;

/// What is one document of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Slicing {
    /// One conversation and one local day of `--tz`
    #[default]
    ConversationDay,
    /// One conversation
    Conversation,
}

impl Slicing {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ConversationDay => "conversation-day",
            Self::Conversation => "conversation",
        }
    }
}

/// Exports records for another platform.
#[derive(Debug, Clone, Default, Args)]
pub struct ExportArgs {
    /// Where the archive is
    #[command(flatten)]
    pub source: SourceArgs,
    /// Where attachments are that are not beside the message files
    #[command(flatten)]
    pub attachments: AttachmentsArgs,
    /// Formats, each in a folder or file of its own
    #[arg(long, value_enum, value_delimiter = ',', required = true, value_name = "FORMAT")]
    pub format: Vec<Format>,
    /// Directory of the export; it has to be empty, or not there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Which records
    #[command(flatten)]
    pub filter: FilterArgs,
    /// What is one document. Edits, reactions and recalls are in the document of their message
    #[arg(long, value_enum, default_value_t)]
    pub slice: Slicing,
    /// Name of the matter, for headers and the manifest
    #[arg(long, value_name = "NAME")]
    pub matter: Option<String>,
    /// Largest piece of a file in a mail, in bytes; a larger file comes in several, none is left out
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1024..=PART_BYTES_MAX))]
    pub split: Option<u64>,
    /// Read receipts in transcripts
    #[arg(long)]
    pub receipts: bool,
    /// Stars, pins and changes of keys in transcripts and RSMF
    #[arg(long)]
    pub all: bool,
    /// No apostrophe before cells that a spreadsheet would take for a formula: for programs
    #[arg(long)]
    pub no_guard: bool,
}
