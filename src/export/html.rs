//! Transcripts for reading and printing: a page a slice, and an index.
//!
//! A page is one file without a script or a reference to anything outside it, and its policy says so to the browser. All text of
//! an archive is escaped and isolated in its writing direction; what deceives is shown by its number.

use retaind_core::text::is_deceptive;

use crate::error::Error;
use crate::output::Output;
use crate::slice::{Entry, Slice};
use crate::table::Format;
use crate::transcript::{Tone, change, head, limits, local, said, who};
use crate::writer::Writer;

const STYLE: &str = "body{font:11pt/1.4 sans-serif;color:#111;background:#fff;max-width:50em;margin:1em auto;padding:0 1em}\
h1{font-size:1.3em}dl{display:grid;grid-template-columns:max-content 1fr;gap:.2em 1em}dd{margin:0}\
dt,.by{font-weight:bold}article{border-top:1px solid #888;padding:.4em 0;break-inside:avoid}\
.text{white-space:pre-wrap;overflow-wrap:anywhere;margin:.2em 0}.meta{font-size:.85em;color:#444}\
.note .text{font-style:italic}.warning{border-left:.4em solid #a00;padding-left:.6em}.warning .text,.recalled{color:#a00}\
.badge{border:1px solid;border-radius:.3em;padding:0 .3em;font-size:.8em}ul{margin:.2em 0}\
@page{margin:2cm;@bottom-right{content:counter(page) \" / \" counter(pages)}}\
@media print{body{max-width:none;margin:0}details::details-content{content-visibility:visible;display:block}}";

/// The pages, and what the index says of each.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    index: Vec<(String, String)>,
}

impl Pages {
    pub(crate) fn begin() -> Self {
        Self::default()
    }
}

/// As text of a page. Characters that deceive are shown by their number, line feeds and tabs stay.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(c),
            '\r' => {}
            // a private or unassigned character is harmless; the last two of each plane are not allowed in a page
            _ if is_deceptive(c) || u32::from(c) & 0xfffe == 0xfffe => {
                safe.push_str(&format!("\\u{{{:x}}}", u32::from(c)));
            }
            _ => safe.push(c),
        }
    }
    safe
}

/// The same, isolated from the direction of what is around it.
fn isolated(text: &str) -> String {
    format!("<bdi>{}</bdi>", escaped(text))
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
        <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
        <meta name=\"viewport\" content=\"width=device-width\">\n<title>{}</title>\n<style>{STYLE}</style>\n</head>\n\
        <body>\n{body}</body>\n</html>\n",
        escaped(title)
    )
}

/// A slice as a page.
pub(crate) fn transcript(slice: &Slice<'_>, format: Format) -> String {
    let mut body = format!("<h1>{}</h1>\n<dl>\n", isolated(&slice.title));
    for (name, value) in head(slice) {
        body.push_str(&format!("<dt>{name}</dt><dd>{}</dd>\n", isolated(&value)));
    }
    body.push_str("</dl>\n<main>\n");
    for entry in &slice.select(format).entries {
        body.push_str(&article(slice, entry));
    }
    body.push_str("</main>\n");
    page(&format!("{} {}", slice.title, slice.day_shown()), &body)
}

fn article(slice: &Slice<'_>, entry: &Entry<'_>) -> String {
    let (context, record) = (slice.context, entry.record());
    let class = match Tone::of(record) {
        Tone::Message => "message",
        Tone::Note => "note",
        Tone::Warning => "warning",
    };
    let recall = entry.item.and_then(retaind_reader::timeline::Item::recall);
    let versions = entry.item.map(retaind_reader::timeline::Item::versions).unwrap_or_default();
    let at = context.at(record);
    let utc = at.map(|at| at.to_string()).unwrap_or_default();
    let place = record.seq.map(|seq| format!(" · no. {seq}")).unwrap_or_default();
    let mut html = format!(
        "<article class=\"{class}\"><span class=\"by\">{}</span> <span class=\"meta\">{} · {utc}{place}</span>",
        isolated(&who(context, record)),
        escaped(&local(context, at)),
    );
    let badges = [
        (versions.len() > 1, "edited"),
        (recall.is_some(), "recalled"),
        (entry.is_outside, "target outside"),
        (entry.member.is_conflict, "conflict"),
        (record.is_backdated(), "claimed time differs"),
    ];
    for (_, badge) in badges.iter().filter(|(is, _)| *is) {
        html.push_str(&format!(" <span class=\"badge\">{badge}</span>"));
    }
    let class = if recall.is_some() { "text recalled" } else { "text" };
    match versions.as_slice() {
        [.., last] if versions.len() > 1 => {
            html.push_str(&format!(
                "<div class=\"{class}\">{}</div><details open><summary>earlier versions</summary>",
                isolated(last.text)
            ));
            for version in versions.iter().take(versions.len().saturating_sub(1)) {
                let at = local(context, context.at(&version.of.record));
                html.push_str(&format!(
                    "<div class=\"meta\">{}</div><div class=\"text\">{}</div>",
                    escaped(&at),
                    isolated(version.text)
                ));
            }
            html.push_str("</details>");
        }
        [] | [..] => html.push_str(&format!("<div class=\"{class}\">{}</div>", isolated(&said(context, entry)))),
    }
    let mut notes = limits(record);
    for file in slice.attachments(entry.member) {
        let hash = file.claimed.as_deref().unwrap_or("unknown");
        notes.push(match file.reason() {
            Some(reason) => format!("file {}: MISSING: {reason}", file.original),
            None => format!("file {}: {} bytes, SHA-256 {hash}", file.original, file.bytes),
        });
    }
    notes.extend(entry.modifiers.iter().map(|member| change(context, member)));
    if !notes.is_empty() {
        html.push_str("<ul class=\"meta\">");
        for note in notes {
            html.push_str(&format!("<li>{}</li>", isolated(&note)));
        }
        html.push_str("</ul>");
    }
    html.push_str("</article>\n");
    html
}

impl Writer for Pages {
    fn slice(&mut self, slice: &Slice<'_>, output: &mut Output) -> Result<(), Error> {
        let mut part = output.part(&format!("html/{}.html", slice.name))?;
        part.put(transcript(slice, Format::Html).as_bytes())?;
        output.finish(part)?;
        let parted = if slice.parts > 1 { format!(", part {} of {}", slice.part, slice.parts) } else { String::new() };
        self.index.push((slice.name.clone(), format!("{}: {}{parted}", slice.day_shown(), slice.title)));
        Ok(())
    }

    fn finish(mut self: Box<Self>, output: &mut Output) -> Result<(), Error> {
        self.index.sort();
        let mut body = "<h1>Transcripts</h1>\n<ol>\n".to_owned();
        for (name, shown) in &self.index {
            // names of slices are letters, digits, `-` and `_`
            body.push_str(&format!("<li><a href=\"{name}.html\">{}</a></li>\n", isolated(shown)));
        }
        body.push_str("</ol>\n");
        let mut part = output.part("html/index.html")?;
        part.put(page("Transcripts", &body).as_bytes())?;
        output.finish(part).map(drop)
    }
}
