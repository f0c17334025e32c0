//! What each type of record becomes in each format: one table, which all writers and the manifest's exclusions come from.

use std::fmt;

use clap::ValueEnum;
use retaind_reader::record::{Body, Kind, Record};

/// A form of export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Format {
    /// JSON Lines as archived, byte for byte
    Raw,
    /// JSON Lines with title, participants, state and place
    Jsonl,
    /// A table for spreadsheets, RFC 4180
    Csv,
    /// Transcripts for reading and printing
    Html,
    /// A mail for each slice, as journals take them
    Eml,
    /// Relativity Short Message Format 2.0
    Rsmf,
    /// XML in the shape that Actiance's importers take
    Actiance,
}

impl Format {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Html => "html",
            Self::Eml => "eml",
            Self::Rsmf => "rsmf",
            Self::Actiance => "actiance",
        }
    }

    /// Does it take the files themselves, and not only their names and hashes?
    pub(crate) fn has_attachments(self) -> bool {
        match self {
            Self::Eml | Self::Rsmf | Self::Actiance => true,
            Self::Raw | Self::Jsonl | Self::Csv | Self::Html => false,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why a record is not in a format. The words are in the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Reason {
    NoPlace,
    Receipts,
    All,
    Doubled,
}

/// Every reason, with its words.
pub(crate) const REASONS: [(Reason, &str); 4] = [
    (Reason::NoPlace, "the format has no place for this type"),
    (Reason::Receipts, "read receipts are exported with `--receipts`"),
    (Reason::All, "stars, pins and changes of keys are exported with `--all`"),
    (Reason::Doubled, "equal, byte for byte, to a record that is exported"),
];

impl Reason {
    pub(crate) fn words(self) -> &'static str {
        REASONS.iter().find(|(reason, _)| *reason == self).map_or("", |(_, words)| words)
    }
}

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// An entry of its own: an event, a line, a row.
    Entry,
    /// Part of the entry of its message, or an entry of its own where that is not in the slice.
    Property,
    /// Not in this format.
    Excluded(Reason),
}

/// What the caller wants besides what everybody wants.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wishes {
    pub receipts: bool,
    pub all: bool,
}

/// A cell of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    /// Entry.
    E,
    /// Property.
    P,
    /// Note with `--receipts`.
    Receipts,
    /// Entry with `--all`.
    All,
    /// Property with `--all`.
    AllP,
    /// Never.
    No,
}

/// Joining of the bot is told apart from other changes of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    Of(Kind),
    Joined,
}

/// What a transcript (HTML, EML) has, RSMF, Actiance. Tables and JSON Lines have every record as a row.
const TABLE: [(Row, [Cell; 3]); 25] = {
    use Cell::{All, AllP, E, No, P, Receipts};
    [
        (Row::Of(Kind::Text), [E, E, E]),
        (Row::Of(Kind::Edit), [P, P, P]),
        (Row::Of(Kind::LiveLocation), [E, E, E]),
        (Row::Of(Kind::Reaction), [P, P, P]),
        (Row::Of(Kind::Read), [Receipts, P, No]),
        (Row::Of(Kind::Recall), [P, P, P]),
        (Row::Of(Kind::Delete), [P, P, P]),
        (Row::Of(Kind::Star), [AllP, P, No]),
        (Row::Of(Kind::Pin), [All, E, No]),
        (Row::Of(Kind::StarSync), [No, No, No]),
        (Row::Of(Kind::KeyVerification), [E, E, E]),
        (Row::Of(Kind::Create), [E, E, E]),
        (Row::Of(Kind::Members), [E, E, E]),
        (Row::Of(Kind::Left), [E, E, E]),
        (Row::Of(Kind::Modify), [E, E, E]),
        (Row::Of(Kind::SavedItem), [E, E, E]),
        (Row::Of(Kind::DeleteRoom), [E, E, E]),
        (Row::Joined, [E, E, E]),
        (Row::Of(Kind::State), [All, All, No]),
        (Row::Of(Kind::File), [E, E, E]),
        (Row::Of(Kind::Call), [E, E, E]),
        (Row::Of(Kind::Location), [E, E, E]),
        (Row::Of(Kind::Unreadable), [E, E, E]),
        (Row::Of(Kind::Hole), [E, E, E]),
        (Row::Of(Kind::Unknown), [E, E, E]),
    ]
};

/// What becomes of a record in a format.
pub(crate) fn fate(record: &Record, format: Format, wishes: Wishes) -> Fate {
    let row = if is_joined(record) { Row::Joined } else { Row::Of(record.kind()) };
    let Some((_, [transcript, rsmf, actiance])) = TABLE.iter().find(|(of, _)| *of == row) else {
        return Fate::Excluded(Reason::NoPlace);
    };
    let cell = match format {
        Format::Raw | Format::Jsonl | Format::Csv => Cell::E,
        Format::Html | Format::Eml => *transcript,
        Format::Rsmf => *rsmf,
        Format::Actiance => *actiance,
    };
    match cell {
        Cell::E => Fate::Entry,
        Cell::P => Fate::Property,
        Cell::Receipts if wishes.receipts => Fate::Property,
        Cell::Receipts => Fate::Excluded(Reason::Receipts),
        Cell::All if wishes.all => Fate::Entry,
        Cell::AllP if wishes.all => Fate::Property,
        Cell::All | Cell::AllP => Fate::Excluded(Reason::All),
        Cell::No => Fate::Excluded(Reason::NoPlace),
    }
}

/// Is it the bot's joining, with the members of that moment?
pub(crate) fn is_joined(record: &Record) -> bool {
    matches!(&record.body, Body::State(state) if state.action == "joined")
}

#[cfg(test)]
mod tests {
    use retaind_reader::record::KINDS;

    use super::*;

    #[test]
    fn every_type_has_a_row_and_the_names_are_those_of_the_command_line() {
        for (kind, ..) in KINDS {
            assert!(TABLE.iter().any(|(row, _)| *row == Row::Of(kind)), "{kind}");
        }
        for format in Format::value_variants() {
            assert_eq!(format.to_possible_value().unwrap().get_name(), format.name());
        }
    }
}
