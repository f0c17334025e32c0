//! The report as a page to print. It loads nothing and runs nothing.

use crate::finding::Finding;
use crate::report::Report;
use crate::text::plain;

const STYLE: &str = "body{font:11pt/1.4 serif;margin:2cm;max-width:50em}table{border-collapse:collapse;width:100%}\
td,th{border:1px solid #999;padding:.2em .4em;text-align:left;vertical-align:top;overflow-wrap:anywhere}\
tr{break-inside:avoid}.follows td:first-child{padding-left:2em}";

/// One page.
pub(crate) fn of(report: &Report) -> String {
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>Verification of an archive</title><style>{STYLE}</style></head><body>\n\
         <h1>Verification of an archive: {}</h1>\n",
        report.verdict.as_str()
    );
    for sentence in report.closing() {
        out.push_str(&format!("<p>{}</p>\n", escape(&sentence)));
    }
    out.push_str("<table>\n");
    let totals = &report.totals;
    let rows = [
        ("Source", report.source.join(", ")),
        ("At", report.at.clone()),
        ("By", report.by.clone()),
        ("Key", report.assurance.key.to_owned()),
        ("Head", report.assurance.head.to_owned()),
        ("Records", totals.records.to_string()),
        ("Message files", format!("{} ({} bytes)", totals.segments, totals.bytes)),
        ("Conversations", totals.conversations.to_string()),
        ("Attached files", format!("{} ({} bytes)", totals.attachments, totals.attachment_bytes)),
        ("Holes", totals.holes.to_string()),
        ("Unreadable", totals.unreadable.to_string()),
    ];
    for (name, value) in rows {
        out.push_str(&format!("<tr><th>{name}</th><td>{}</td></tr>\n", escape(&value)));
    }
    for log in &report.logs {
        let (from, to) = (log.from.as_deref().unwrap_or("-"), log.to.as_deref().unwrap_or("-"));
        let value =
            format!("{} of {}: {} entries, {from} to {to}, {} good heads", log.log, log.bot, log.entries, log.heads);
        out.push_str(&format!("<tr><th>Log</th><td>{}</td></tr>\n", escape(&value)));
    }
    out.push_str("</table>\n<h2>Findings</h2>\n");
    if report.findings.is_empty() {
        out.push_str("<p>None.</p>\n");
    } else {
        out.push_str("<table><tr><th>Code</th><th>Object</th><th>Expected</th><th>Found</th><th>Meaning</th></tr>\n");
        for (at, finding) in report.findings.iter().enumerate().filter(|(_, finding)| finding.is_cause()) {
            out.push_str(&row(finding, "cause"));
            for explained in report.findings.iter().filter(|explained| explained.because.first() == Some(&at)) {
                out.push_str(&row(explained, "follows"));
            }
        }
        out.push_str("</table>\n");
    }
    out.push_str("</body></html>\n");
    out
}

fn row(finding: &Finding, class: &str) -> String {
    let cells = [finding.code.as_str(), &finding.object, &finding.expected, &finding.found, finding.says];
    let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect();
    format!("<tr class=\"{class}\">{cells}</tr>\n")
}

fn escape(text: &str) -> String {
    plain(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
