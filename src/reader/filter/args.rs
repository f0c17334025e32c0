//! The options that choose records, the same in every command.

use std::path::PathBuf;

use clap::Args;

use crate::record::{Clock, ConversationKind};

/// Which records.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Filters")]
pub struct FilterArgs {
    /// A person: author, receiver, named in a control record, or a member at that moment. Repeat for several, `@FILE` for one a line
    #[arg(long, value_name = "NAME")]
    pub person: Vec<String>,
    /// What the person has to be
    #[arg(long, value_enum, default_value_t, requires = "person")]
    pub role: Role,
    /// A conversation: its id, a unique beginning of it (8 characters or more), or a title that it has or had
    #[arg(long, value_name = "ID|PREFIX|TITLE")]
    pub conversation: Vec<String>,
    /// Conversations whose title matches this, now or earlier
    #[arg(long, value_name = "RE")]
    pub title_regex: Option<String>,
    /// Kinds of conversations
    #[arg(long, value_enum, value_delimiter = ',')]
    pub kind: Vec<ConversationKind>,
    /// From this time on: a date (from its first moment on), a local time of `--tz`, or RFC 3339
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Up to this time, which is not included; a date is included whole, with its 23, 24 or 25 hours
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Time zone of dates and local times, from the IANA database
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub tz: String,
    /// Which clock
    #[arg(long, value_enum, default_value_t)]
    pub time: Clock,
    /// Only records whose claimed time is more than 5 minutes from the network's
    #[arg(long)]
    pub backdated: bool,
    /// Types by number or name: `1000,file,recall`
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    pub types: Vec<String>,
    /// A string in a text, an edit, a file name, a title or a link. An edited message matches by any of its versions
    #[arg(long, value_name = "STRING")]
    pub text: Option<String>,
    /// A regular expression for the same places
    #[arg(long, value_name = "RE")]
    pub regex: Option<String>,
    /// Without regard to case
    #[arg(long, short = 'i')]
    pub ignore_case: bool,
    /// Whole words only
    #[arg(long, short = 'w')]
    pub word: bool,
    /// Only records with all of these
    #[arg(long, value_enum, value_delimiter = ',')]
    pub has: Vec<Has>,
    /// Files by their name: `*` is any part of it, `?` one character
    #[arg(long, value_name = "GLOB")]
    pub file_name: Option<String>,
    /// Files by their SHA-256 in hex
    #[arg(long, value_name = "SHA256")]
    pub file_hash: Option<String>,
    /// Files by their size: `>N`, `<N` or `N` bytes; `K`, `M`, `G` are powers of 1024
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub file_size: Option<String>,
    /// Files by their content: pdf, png, jpeg, gif, webp, zip, gzip, mp4, mp3, ogg, wav, ole, rtf, elf, exe, html, xml, text, or
    /// unknown; image, audio, video for several of them
    #[arg(long, value_name = "TYPE")]
    pub file_type: Option<String>,
    /// Only what guests sent
    #[arg(long)]
    pub guest: bool,
    /// Only what users of this network sent
    #[arg(long, value_name = "ID")]
    pub sender_network: Option<String>,
    /// Only what this device sent
    #[arg(long, value_name = "ID")]
    pub device: Option<String>,
    /// People with several names: CSV with `user,display,email,from,to,alias_of`
    #[arg(long, value_name = "FILE.csv")]
    pub people: Option<PathBuf>,
}

/// What a person has to be in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Role {
    /// Any of the others
    #[default]
    Any,
    /// Sent it
    Author,
    /// Was the other user of a direct conversation
    Receiver,
    /// Was a member of the conversation at that moment
    Member,
    /// Is named in it
    Mentioned,
}

/// What a record has. Edits, recalls and reactions are records of their own: both they and their message have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Has {
    /// A file, in a message or in a room's saved items
    Attachment,
    /// A link
    Link,
    /// Another version of its text
    Edit,
    /// It was recalled for everybody
    Recall,
    /// A reaction
    Reaction,
    /// Messages that the network did not deliver
    Hole,
    /// Something that could not be read
    Unreadable,
}
