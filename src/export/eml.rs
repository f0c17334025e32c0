//! A mail for each slice, as journals take them: `multipart/mixed` of the transcript (text and HTML) and the files.
//!
//! Written here and not by a crate: files are streamed, boundaries and ids come from the slice alone, and every header is folded.

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::{BASE64, HEXLOWER};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::attachment::{Attachment, Names};
use crate::error::Error;
use crate::html;
use crate::output::{Output, Part};
use crate::plan::one_line;
use crate::slice::{Participant, Slice};
use crate::table::Format;
use crate::transcript;
use crate::writer::Writer;

/// Recipients that `To` names; of more, the text has the list.
const RECIPIENTS_MAX: usize = 200;
/// Largest part: a larger file comes in several.
pub(crate) const PART_BYTES_MAX: u64 = 200_000_000;
/// Bytes that one line of base64 has, of 76 characters.
const LINE_BYTES: usize = 57;
/// Bytes that one encoded word has, so that it fits 75 characters.
const WORD_BYTES: usize = 39;
/// Characters of a file's name in one piece of RFC 2231.
const PIECE_CHARS: usize = 60;

/// The mails.
#[derive(Debug)]
pub(crate) struct Mails {
    part_bytes_max: u64,
}

impl Mails {
    /// With files in pieces of at most so many bytes.
    pub(crate) fn begin(split: Option<u64>) -> Self {
        Self { part_bytes_max: split.unwrap_or(PART_BYTES_MAX).max(1) }
    }
}

/// Hex digits that a slice alone decides.
pub(crate) fn slice_id(slice: &Slice<'_>, purpose: &str) -> String {
    let of = format!("{purpose}\n{}\n{}\n{}\n{}", slice.network, slice.conversation, slice.day_shown(), slice.name);
    let hash = digest(&SHA256, of.as_bytes());
    HEXLOWER.encode(hash.as_ref().get(..16).unwrap_or_default())
}

/// A domain that is nobody's.
pub(crate) fn domain(slice: &Slice<'_>) -> String {
    let network: String = slice.network.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{}.invalid", if network.is_empty() { "unknown" } else { &network })
}

/// Text of a header as encoded words, or as it is where it is plain; folded.
pub(crate) fn encoded(text: &str) -> String {
    let text = one_line(text);
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') && !text.contains("=?");
    if is_plain && text.len() <= 60 {
        return text;
    }
    let (mut words, mut word) = (Vec::new(), String::new());
    for c in text.chars() {
        if word.len().saturating_add(c.len_utf8()) > WORD_BYTES {
            words.push(std::mem::take(&mut word));
        }
        word.push(c);
    }
    words.push(word);
    let words: Vec<String> =
        words.iter().map(|word| format!("=?utf-8?B?{}?=", BASE64.encode(word.as_bytes()))).collect();
    words.join("\r\n ")
}

/// `"Alice" <alice@example.com>`, or the address alone.
fn mailbox(participant: &Participant) -> String {
    if participant.display == participant.user {
        return format!("<{}>", participant.address);
    }
    let display = one_line(&participant.display);
    let is_plain = display.len() <= 60 && display.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' ');
    let shown = if is_plain { format!("\"{display}\"") } else { encoded_always(&display) };
    format!("{shown}\r\n <{}>", participant.address)
}

fn encoded_always(text: &str) -> String {
    let encoded = encoded(text);
    if encoded.starts_with("=?") { encoded } else { format!("=?utf-8?B?{}?=", BASE64.encode(text.as_bytes())) }
}

/// RFC 5322.
pub(crate) fn date(at: Option<Timestamp>, zone: &TimeZone) -> String {
    let at = at.unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(zone.clone());
    let year = at.year();
    // RFC 5322 knows no year before 1900
    let at = if year < 1900 { Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC) } else { at };
    at.strftime("%a, %d %b %Y %H:%M:%S %z").to_string()
}

/// The name of a file in a header, by RFC 2231 in pieces.
pub(crate) fn file_name(parameter: &str, name: &str) -> String {
    let mut pieces = vec![String::new()];
    for byte in name.bytes() {
        let shown = if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        };
        if pieces.last().is_some_and(|piece| piece.len().saturating_add(shown.len()) > PIECE_CHARS) {
            pieces.push(String::new());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push_str(&shown);
        }
    }
    if let [only] = pieces.as_slice() {
        return format!(";\r\n {parameter}*=utf-8''{only}");
    }
    let numbered = pieces.iter().enumerate().map(|(at, piece)| {
        let charset = if at == 0 { "utf-8''" } else { "" };
        format!(";\r\n {parameter}*{at}*={charset}{piece}")
    });
    numbered.collect()
}

/// Base64 in lines, of bytes that come in blocks.
#[derive(Default)]
pub(crate) struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// All whole lines.
    pub(crate) fn add(&mut self, bytes: &[u8], part: &mut Part) -> Result<(), Error> {
        self.rest.extend_from_slice(bytes);
        let whole = self.rest.len() / LINE_BYTES * LINE_BYTES;
        let rest = self.rest.split_off(whole);
        let mut text = String::new();
        for line in std::mem::replace(&mut self.rest, rest).chunks(LINE_BYTES) {
            text.push_str(&BASE64.encode(line));
            text.push_str("\r\n");
        }
        part.put(text.as_bytes())
    }

    /// The last line.
    pub(crate) fn end(self, part: &mut Part) -> Result<(), Error> {
        if self.rest.is_empty() {
            return Ok(());
        }
        part.put(format!("{}\r\n", BASE64.encode(&self.rest)).as_bytes())
    }
}

/// A body part of text in base64.
pub(crate) fn text_part(part: &mut Part, boundary: &str, kind: &str, text: &str) -> Result<(), Error> {
    let head = format!(
        "--{boundary}\r\nContent-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    );
    part.put(head.as_bytes())?;
    let mut lines = Lines::default();
    lines.add(text.as_bytes(), part)?;
    lines.end(part)
}

/// Who wrote first, and all others.
pub(crate) fn correspondents<'s>(slice: &'s Slice<'_>) -> (Option<&'s Participant>, Vec<&'s Participant>) {
    let senders = || slice.items.iter().map(|item| &item.message.record);
    let first_text = senders().find(|record| transcript::Tone::of(record) == transcript::Tone::Message);
    let first = first_text.or_else(|| senders().find(|record| !record.sender.is_empty()));
    let from = first.and_then(|record| slice.participant(&record.sender)).or_else(|| slice.participants.first());
    let is_other =
        |one: &&Participant| !one.user.is_empty() && Some(one.user.as_str()) != from.map(|from| from.user.as_str());
    (from, slice.participants.iter().filter(is_other).collect())
}

/// Headers that mails and RSMF share, without the type of the body.
pub(crate) fn head(slice: &Slice<'_>, purpose: &str) -> String {
    let (from, to) = correspondents(slice);
    let messages: usize = slice.items.iter().map(|item| item.conflicts.len().saturating_add(1)).sum();
    let parted = if slice.parts > 1 { format!(", part {} of {}", slice.part, slice.parts) } else { String::new() };
    let noun = if messages == 1 { "message" } else { "messages" };
    let subject = format!("{}, {messages} {noun}, {}{parted}", slice.title, slice.day_shown());
    let to = if to.is_empty() || to.len() > RECIPIENTS_MAX {
        "undisclosed-recipients:;".to_owned()
    } else {
        to.iter().map(|one| mailbox(one)).collect::<Vec<_>>().join(",\r\n ")
    };
    let from = from.map_or_else(|| format!("<network@{}>", domain(slice)), mailbox);
    let first = slice.span().map(|(first, _)| first);
    format!(
        "MIME-Version: 1.0\r\nFrom: {from}\r\nTo: {to}\r\nSubject: {}\r\nDate: {}\r\nMessage-ID: <{}@{}>\r\n",
        encoded(&subject),
        date(first, &slice.context.zone),
        slice_id(slice, purpose),
        domain(slice),
    )
}

impl Mails {
    fn attachment(&self, part: &mut Part, boundary: &str, name: &str, file: &Attachment) -> Result<(), Error> {
        let count = file.bytes.div_ceil(self.part_bytes_max).max(1);
        let begin = |part: &mut Part, number: u64| {
            let name = if count > 1 { format!("{name}.{number:03}") } else { name.to_owned() };
            let split = if count > 1 { format!("X-Retaind-Part: {number} of {count}\r\n") } else { String::new() };
            let head = format!(
                "--{boundary}\r\nContent-Type: {}{}\r\nContent-Transfer-Encoding: base64\r\n\
                Content-Disposition: attachment{}\r\nX-Retaind-SHA256: {}\r\n{split}X-Retaind-Original-Name: {}\r\n\r\n",
                file.media_type(),
                file_name("name", &name),
                file_name("filename", &name),
                file.sha256,
                encoded(&file.original),
            );
            part.put(head.as_bytes())
        };
        let (mut number, mut room, mut lines) = (1_u64, self.part_bytes_max, Lines::default());
        begin(part, number)?;
        file.read(|mut bytes| {
            while !bytes.is_empty() {
                if room == 0 {
                    std::mem::take(&mut lines).end(part)?;
                    number = number.saturating_add(1);
                    room = self.part_bytes_max;
                    begin(part, number)?;
                }
                let take = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
                let (now, later) = bytes.split_at(take);
                lines.add(now, part)?;
                room = room.saturating_sub(u64::try_from(take).unwrap_or(u64::MAX));
                bytes = later;
            }
            Ok(())
        })?;
        lines.end(part)
    }
}

impl Writer for Mails {
    fn slice(&mut self, slice: &Slice<'_>, output: &mut Output) -> Result<(), Error> {
        let (mixed, alternative) = (slice_id(slice, "mixed"), slice_id(slice, "alternative"));
        let mut part = output.part(&format!("eml/{}.eml", slice.name))?;
        let matter = slice.context.matter.as_ref();
        let matter = matter.map(|matter| format!("X-Retaind-Matter: {}\r\n", encoded(matter))).unwrap_or_default();
        let own = format!(
            "X-Retaind-Conversation: {}\r\nX-Retaind-Type: {}\r\nX-Retaind-Slice: {}\r\n{matter}\
            Auto-Submitted: auto-generated\r\nPrecedence: bulk\r\n\
            Content-Type: multipart/mixed; boundary=\"{mixed}\"\r\n\r\n\
            --{mixed}\r\nContent-Type: multipart/alternative; boundary=\"{alternative}\"\r\n\r\n",
            encoded(&slice.conversation),
            slice.kind().name(),
            slice.name,
        );
        part.put(head(slice, "eml").as_bytes())?;
        part.put(own.as_bytes())?;
        text_part(&mut part, &alternative, "plain", &transcript::text(slice, Format::Eml))?;
        text_part(&mut part, &alternative, "html", &html::transcript(slice, Format::Eml))?;
        part.put(format!("--{alternative}--\r\n").as_bytes())?;
        let mut names = Names::default();
        for file in slice.items.iter().flat_map(|item| item.members()).flat_map(|member| slice.attachments(member)) {
            let name = names.unique(&file.safe_name());
            self.attachment(&mut part, &mixed, &name, file)?;
        }
        part.put(format!("--{mixed}--\r\n").as_bytes())?;
        output.finish(part).map(drop)
    }

    fn finish(self: Box<Self>, _output: &mut Output) -> Result<(), Error> {
        Ok(())
    }
}
