//! What a verification finds: causes, and what they explain.

use retaind_evidence::entry::LogId;
use serde::Serialize;

/// How bad a finding is. In the order of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Somebody changed the archive or its evidence.
    Tamper,
    /// Something is gone or cannot be judged.
    Loss,
    /// The bot recorded the weakness itself, or an assurance that was asked for is absent.
    Declared,
    /// Harmless.
    Info,
}

macro_rules! codes {
    ($($(#[$about:meta])* $variant:ident = $word:literal, $severity:ident, $says:literal;)+) => {
        /// What was found. The words are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub enum Code {
            $($(#[$about])* #[serde(rename = $word)] $variant),+
        }

        impl Code {
            /// Every one, in the order of the documentation's table.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// As it is written in a report.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }

            /// How bad it is.
            pub const fn severity(self) -> Severity {
                match self {
                    $(Self::$variant => Severity::$severity),+
                }
            }

            /// What it means, in one sentence.
            pub const fn says(self) -> &'static str {
                match self {
                    $(Self::$variant => $says),+
                }
            }
        }
    };
}

codes! {
    /// Bytes were changed in place.
    Modified = "modified", Tamper, "the file's content is not the one that was sealed";
    /// Bytes were added.
    Appended = "appended", Tamper, "bytes were added to the file after it was sealed; what was sealed is unchanged before them";
    /// The end is gone.
    TruncatedFile = "truncated_file", Tamper, "the end of the file was cut off after it was sealed";
    /// A file is gone.
    MissingFile = "missing_file", Loss, "an entry names the file, and it is not in the archive";
    /// An entry is gone.
    MissingEntry = "missing_entry", Loss, "the entry is not there, and later ones are; a copy from elsewhere can be put back and proves itself";
    /// The newest entries are gone.
    TailCut = "tail_cut", Loss, "a signed head covers more entries than are here: the newest were removed";
    /// Two entries have each other's place.
    Reordered = "reordered", Tamper, "entries are stored under each other's numbers";
    /// Two files have each other's place.
    Swapped = "swapped", Tamper, "files are stored under each other's names";
    /// Something older was put in place of something newer.
    Replayed = "replayed", Tamper, "a genuine object of another place was put here in place of the right one";
    /// Not the bot's.
    Inserted = "inserted", Tamper, "no entry of the log knows it";
    /// Signed by somebody else.
    WrongKey = "wrong_key", Tamper, "it is not signed by a key that is trusted here";
    /// The signature is not over these bytes.
    BadSignature = "bad_signature", Tamper, "a trusted key is named, and the signature is not its own over these bytes";
    /// A signature was taken away.
    Downgrade = "downgrade", Tamper, "it has no signature of an algorithm that the log announces";
    /// Two histories.
    Fork = "fork", Tamper, "two signed histories contradict each other";
    /// The state was put back, and the bot said so.
    Restored = "restored", Declared, "the bot's state was restored from an older copy, and the bot recorded it";
    /// As before, and the bot did not say so.
    RolledBackState = "rolled_back_state", Tamper, "two parts of the archive claim the same messages of a conversation";
    /// Messages are gone, and nothing says why.
    Gap = "gap", Loss, "messages of the conversation are neither archived nor recorded as missing";
    /// The network did not deliver.
    Hole = "hole", Declared, "the network did not deliver the messages, and the bot recorded it";
    /// No entry covers the time.
    UnattestedTime = "unattested_time", Declared, "no entry covers the time: evidence was off";
    /// Other bytes than the canonical form.
    NotCanonical = "not_canonical", Tamper, "the bytes are not in the form that the bot writes";
    /// A later version's.
    Unsupported = "unsupported", Loss, "a later version wrote it, and this one cannot judge it";
    /// It cannot be read.
    Unreadable = "unreadable", Loss, "it could not be read";
    /// No recent entry.
    Stale = "stale", Info, "the newest entry is old: the bot is down, or the end was cut off; only a head from outside can tell";
    /// In another directory.
    Moved = "moved", Info, "the file is whole, in another directory";
    /// Under another name.
    Renamed = "renamed", Info, "the file is whole, under another name";
    /// Still being written.
    Unsealed = "unsealed", Info, "the file is still being written: the log does not vouch for its end yet";
    /// Older than the log.
    Unattested = "unattested", Declared, "the file is older than the log: its content is as it was when the log began";
    /// Only stored bytes were compared.
    CiphertextOnly = "ciphertext_only", Info, "the file is encrypted: its stored bytes were verified, its content was not";
    /// An assurance that was asked for is absent.
    Required = "required", Declared, "an assurance that was required is absent";
}

impl Code {
    /// Whether files and messages that nothing explains may belong to an entry that this took away.
    pub(crate) const fn takes_entries_away(self) -> bool {
        match self {
            Self::MissingEntry
            | Self::TailCut
            | Self::Replayed
            | Self::NotCanonical
            | Self::Unsupported
            | Self::Unreadable
            | Self::WrongKey
            | Self::BadSignature
            | Self::Downgrade => true,
            Self::Modified
            | Self::Appended
            | Self::TruncatedFile
            | Self::MissingFile
            | Self::Reordered
            | Self::Swapped
            | Self::Inserted
            | Self::Fork
            | Self::Restored
            | Self::RolledBackState
            | Self::Gap
            | Self::Hole
            | Self::UnattestedTime
            | Self::Stale
            | Self::Moved
            | Self::Renamed
            | Self::Unsealed
            | Self::Unattested
            | Self::CiphertextOnly
            | Self::Required => false,
        }
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub code: Code,
    /// How bad it is. That of the code, but for a requirement that raises it.
    pub severity: Severity,
    /// The file, entry, head or conversation.
    pub object: String,
    /// Its log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<LogId>,
    /// Number of the entry that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<u64>,
    /// By the evidence.
    pub expected: String,
    /// In the archive.
    pub found: String,
    /// What it means.
    pub says: &'static str,
    /// The findings that explain this one: places in the list, from 0. Empty: it is a cause.
    pub because: Vec<usize>,
}

impl Finding {
    /// Of `object`.
    pub fn new(code: Code, object: impl Into<String>) -> Self {
        Self {
            code,
            severity: code.severity(),
            object: object.into(),
            log: None,
            entry: None,
            expected: String::new(),
            found: String::new(),
            says: code.says(),
            because: Vec::new(),
        }
    }

    /// About this entry.
    #[must_use]
    pub fn of(mut self, log: LogId, number: u64) -> Self {
        (self.log, self.entry) = (Some(log), Some(number));
        self
    }

    /// What should be there, and what is.
    #[must_use]
    pub fn instead(mut self, expected: impl Into<String>, found: impl Into<String>) -> Self {
        (self.expected, self.found) = (expected.into(), found.into());
        self
    }

    /// Explained by these.
    #[must_use]
    pub fn because(mut self, causes: impl IntoIterator<Item = usize>) -> Self {
        self.because.extend(causes);
        self
    }

    /// Whether nothing explains it.
    pub const fn is_cause(&self) -> bool {
        self.because.is_empty()
    }
}

/// All findings, in the order in which they were made.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    /// Keeps it. Its number is what others name it by.
    pub(crate) fn add(&mut self, finding: Finding) -> usize {
        self.0.push(finding);
        self.0.len() - 1
    }

    /// Numbers of those that may have taken entries away.
    pub(crate) fn takers(&self) -> Vec<usize> {
        let takers =
            self.0.iter().enumerate().filter(|(_, finding)| finding.is_cause() && finding.code.takes_entries_away());
        // of a log only: what a head from outside says is about no entry
        takers.filter(|(_, finding)| finding.log.is_some()).map(|(at, _)| at).collect()
    }

    /// Numbers of those with this code.
    pub(crate) fn of_code(&self, code: Code) -> Vec<usize> {
        self.0.iter().enumerate().filter(|(_, finding)| finding.code == code).map(|(at, _)| at).collect()
    }

    /// By severity, log, number and object: two runs give one order.
    pub(crate) fn sorted(self) -> Vec<Finding> {
        let mut order: Vec<usize> = (0..self.0.len()).collect();
        let key = |at: &usize| {
            self.0
                .get(*at)
                .map(|finding| (finding.severity, finding.log, finding.entry, finding.object.clone(), finding.code))
        };
        order.sort_by_key(key);
        let mut place = vec![0; order.len()];
        for (new, old) in order.iter().enumerate() {
            if let Some(place) = place.get_mut(*old) {
                *place = new;
            }
        }
        let mut sorted: Vec<Finding> = order.iter().filter_map(|at| self.0.get(*at).cloned()).collect();
        for finding in &mut sorted {
            for cause in &mut finding.because {
                *cause = place.get(*cause).copied().unwrap_or_default();
            }
            finding.because.sort_unstable();
            finding.because.dedup();
        }
        sorted
    }
}
