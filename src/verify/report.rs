//! What a verification says, as values. The JSON form is stable.

use jiff::Timestamp;
use retaind_evidence::entry::LogId;
use serde::Serialize;

use crate::expected::Totals;
use crate::finding::{Finding, Severity};

/// Of a report.
pub(crate) const FORMAT: &str = "retaind-verify/1";

/// The verdict over all causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything is as the evidence says.
    Verified,
    /// Something was changed or is gone.
    Broken,
    /// Nothing but weaknesses that the bot recorded, or assurances that were required and are absent.
    Declared,
}

impl Verdict {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Broken => "broken",
            Self::Declared => "declared",
        }
    }

    /// The program's exit code.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Verified => 0,
            Self::Broken => 1,
            Self::Declared => 2,
        }
    }

    /// Of findings, by their causes.
    pub fn of(findings: &[Finding]) -> Self {
        match findings.iter().filter(|finding| finding.is_cause()).map(|finding| finding.severity).min() {
            Some(Severity::Tamper | Severity::Loss) => Self::Broken,
            Some(Severity::Declared) => Self::Declared,
            Some(Severity::Info) | None => Self::Verified,
        }
    }
}

/// What the verdict rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Assurance {
    /// `given`, or `self-asserted`: the archive's own.
    pub key: &'static str,
    /// `given` or `none`.
    pub head: &'static str,
    /// Of what share of the files the content was verified: `all`, `some` or `none`.
    pub plaintext: &'static str,
    /// `no`: the network was not asked.
    pub network: &'static str,
}

/// What a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A whole archive.
    Archive,
    /// Single records or files with their proof.
    Proof,
}

/// The span that the report is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Span {
    /// From here on. Nothing: from the first entry on.
    pub from: Option<String>,
    /// Before this. Nothing: to the last entry.
    pub to: Option<String>,
}

/// One log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogReport {
    /// Its id.
    pub log: LogId,
    /// Its writer.
    pub bot: String,
    /// Number of entries.
    pub entries: u64,
    /// Covered from here on.
    pub from: Option<String>,
    /// Covered until here.
    pub to: Option<String>,
    /// Heads in the archive that are good.
    pub heads: u64,
    /// Heads that could not be compared, because entries before them are missing or changed.
    pub heads_not_compared: u64,
    /// Root over all entries, if none is missing.
    pub head: Option<String>,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// `retaind-verify/1`.
    pub format: &'static str,
    /// Over all causes.
    pub verdict: Verdict,
    /// What it rests on.
    pub assurance: Assurance,
    /// What it is about.
    pub subject: Subject,
    /// What was read.
    pub source: Vec<String>,
    /// When, by the caller's clock.
    pub at: String,
    /// Program and version.
    pub by: String,
    /// What it is about.
    pub range: Span,
    /// By id.
    pub logs: Vec<LogReport>,
    /// By the entries.
    pub totals: Totals,
    /// Files whose names begin with a dot or `_`.
    pub ignored: u64,
    /// By severity, log, number and object.
    pub findings: Vec<Finding>,
    /// That it took. The caller's to set: no clock is read here.
    pub seconds: u64,
}

impl Report {
    /// Findings that nothing explains.
    pub fn causes(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.is_cause())
    }

    /// Whom a reader may believe what, in sentences.
    pub fn closing(&self) -> Vec<String> {
        let mut sentences = vec![match self.verdict {
            Verdict::Verified if self.subject == Subject::Proof => format!(
                "The {} records and {} files are, byte for byte, those that the bot sealed and signed.",
                self.totals.records, self.totals.attachments
            ),
            Verdict::Verified => format!(
                "The {} records in {} message files and the {} attached files named by the log are present and unchanged since they were sealed.",
                self.totals.records, self.totals.segments, self.totals.attachments
            ),
            Verdict::Broken => format!(
                "The archive is not in the state that its log describes: {} findings need an explanation.",
                self.causes().filter(|finding| finding.severity <= Severity::Loss).count()
            ),
            Verdict::Declared => {
                "No sign of tampering was found; the weaknesses listed were recorded by the bot itself or are assurances that were required and are absent.".to_owned()
            }
        }];
        if self.assurance.key == "self-asserted" {
            sentences.push("No key from outside was given: the archive vouches for itself, and whoever could write all of it could have made all of it.".to_owned());
        }
        if self.subject == Subject::Proof {
            sentences.push("That nothing else belongs to them is not part of the proof.".to_owned());
            return sentences;
        }
        if self.assurance.head == "none" {
            sentences.push("No head from outside was given: a cut end cannot be excluded.".to_owned());
        }
        if self.assurance.plaintext != "all" {
            sentences.push("Of encrypted files the stored bytes were verified, not the content.".to_owned());
        }
        if self.range.from.is_some() || self.range.to.is_some() {
            sentences.push("Files outside the range were not read.".to_owned());
        }
        sentences.push("What the network never delivered to the bot cannot be seen here.".to_owned());
        sentences
    }
}

/// As in entries: UTC with six decimals.
pub(crate) fn time(time: Timestamp) -> String {
    format!("{time:.6}")
}
