//! The report in plain text.

use std::fmt::{self, Display};

use crate::finding::Finding;
use crate::report::Report;

/// A cause, and beneath it what it explains.
pub(crate) struct Text<'a>(pub(crate) &'a Report);

impl Display for Text<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(self.0, out)
    }
}

fn write(report: &Report, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(out, "source: {}", plain(&report.source.join(", ")))?;
    for log in &report.logs {
        let (from, to) = (log.from.as_deref().unwrap_or("-"), log.to.as_deref().unwrap_or("-"));
        writeln!(out, "log {} of `{}`: {} entries, {from} to {to}", log.log, plain(&log.bot), log.entries)?;
        writeln!(out, "  heads: {} good, {} not compared", log.heads, log.heads_not_compared)?;
    }
    let totals = &report.totals;
    writeln!(
        out,
        "{} records in {} message files ({} bytes) of {} conversations, {} attached files ({} bytes), {} holes, {} unreadable",
        totals.records,
        totals.segments,
        totals.bytes,
        totals.conversations,
        totals.attachments,
        totals.attachment_bytes,
        totals.holes,
        totals.unreadable,
    )?;
    for (at, finding) in report.findings.iter().enumerate().filter(|(_, finding)| finding.is_cause()) {
        writeln!(out, "{}", line(finding))?;
        writeln!(out, "    {}", finding.says)?;
        for explained in report.findings.iter().filter(|explained| explained.because.first() == Some(&at)) {
            writeln!(out, "  follows from it: {}", line(explained))?;
        }
    }
    writeln!(
        out,
        "assurance: key {}, head {}, plaintext {}, network {}",
        report.assurance.key, report.assurance.head, report.assurance.plaintext, report.assurance.network
    )?;
    for sentence in report.closing() {
        writeln!(out, "{sentence}")?;
    }
    writeln!(out, "verdict: {}", report.verdict.as_str())
}

fn line(finding: &Finding) -> String {
    let mut line = format!("{} {}", finding.code.as_str(), plain(&finding.object));
    if let Some(entry) = finding.entry {
        line.push_str(&format!(" (entry {entry})"));
    }
    if !finding.expected.is_empty() {
        line.push_str(&format!(": expected {}, found {}", plain(&finding.expected), plain(&finding.found)));
    }
    line
}

/// Names are the archive's, so anybody's: nothing in them may move a terminal's cursor or turn its text round.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if c.is_control() || turns {
            plain.extend(c.escape_unicode());
        } else {
            plain.push(c);
        }
    }
    plain
}
