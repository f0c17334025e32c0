//! Names of the files beside the records.
//!
//! `attachment_<yyyyMMddHHmmssSSS>_<original name>`: the time is when the bot received the message, or the first
//! millisecond after it that no earlier attachment has (see `retaind_bot::files::Names`). So a name is given only once,
//! even if the file was shipped and removed long ago; with the sender's time, which is only a claim, a second file of
//! the same name and time would replace the first in the object store. The original name is cleaned so that
//! it is one harmless path component on any system and in an object store; the record keeps it unchanged.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use retaind_protocol::ids::ConversationId;

/// Longest name of a file on the usual file systems.
pub const NAME_BYTES_MAX: usize = 255;
/// Longest base name of message files: with the longest suffix it stays below [`NAME_BYTES_MAX`].
pub const BASENAME_BYTES_MAX: usize = 200;
/// Longest extension that is kept when a name is cut.
const EXTENSION_BYTES_MAX: usize = 32;
const MICROS_PER_MILLI: i64 = 1000;

/// Whether message files may be called after it: at most [`BASENAME_BYTES_MAX`] bytes, no slash, no control or hidden
/// character, no dot in front.
pub fn is_base_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= BASENAME_BYTES_MAX
        && !name.starts_with('.')
        && !name.chars().any(|c| c == '/' || c.is_control() || is_hidden(c))
}

/// `yyyyMMddHHmmssSSS` in UTC.
fn stamp(millis: i64) -> String {
    // a time outside the calendar becomes the epoch: only a broken clock has one
    let time = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(TimeZone::UTC);
    time.strftime("%Y%m%d%H%M%S%3f").to_string()
}

/// The millisecond, counted since 1970, that a time in microseconds belongs to.
pub fn millis_of(micros: i64) -> i64 {
    micros.div_euclid(MICROS_PER_MILLI)
}

/// Name of an attachment. `millis`: its millisecond since 1970, which no other attachment has.
pub fn attachment_name(millis: i64, original: &str) -> String {
    named("attachment", millis, original)
}

fn named(what: &str, millis: i64, original: &str) -> String {
    let prefix = format!("{what}_{}_", stamp(millis));
    let room = NAME_BYTES_MAX.saturating_sub(prefix.len());
    prefix + &clean(original, room)
}

/// Is this the name of an attachment, kept whole?
pub fn is_attachment(name: &str) -> bool {
    name.starts_with("attachment_")
}

/// Name of the part of an attachment that could be decrypted. `millis`: as for [`attachment_name`].
pub fn partial_name(millis: i64, original: &str) -> String {
    named("partial", millis, original)
}

/// Name of the kept ciphertext of an attachment that could not be decrypted, whose message was received at `micros`. `seq`
/// makes it unique.
pub fn blob_name(micros: i64, conversation: &ConversationId, seq: u64) -> String {
    format!("ciphertext_{}_{conversation}_{seq}.blob", stamp(millis_of(micros)))
}

/// Name of the kept ciphertext of a message that could not be read and was received at `micros`. `seq` makes it
/// unique.
pub fn ciphertext_name(micros: i64, conversation: &ConversationId, seq: u64) -> String {
    format!("ciphertext_{}_{conversation}_{seq}.mls", stamp(millis_of(micros)))
}

/// One harmless path component of at most `room` bytes: no path, no control or reserved characters, extension kept.
pub fn clean(original: &str, room: usize) -> String {
    let base = original.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or("");
    let replaced: String = base.chars().map(|c| if is_harmless(c) { c } else { '_' }).collect();
    let trimmed = replaced.trim_matches(['.', ' ']);
    if trimmed.is_empty() {
        return "unnamed".to_owned();
    }
    if trimmed.len() <= room {
        return trimmed.to_owned();
    }
    let (stem, extension) = match trimmed.rsplit_once('.') {
        Some((stem, extension)) if extension.len() < EXTENSION_BYTES_MAX => (stem, format!(".{extension}")),
        _ => (trimmed, String::new()),
    };
    let end = stem.floor_char_boundary(room.saturating_sub(extension.len()));
    let cut = stem.get(..end).unwrap_or_default().to_owned() + &extension;
    // some systems remove a dot or a space at the end: two names could become one
    cut.trim_end_matches(['.', ' ']).to_owned()
}

fn is_harmless(c: char) -> bool {
    !c.is_control() && !is_hidden(c) && !matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*' | '\\' | '/')
}

/// Whether a name with this character looks like one without it, or cannot be listed: characters that do not show (Unicode's
/// `Default_Ignorable_Code_Point`), changes of direction, line separators, marks of annotations, and what is no character at
/// all, of which XML, and so a list of S3, cannot carry U+FFFE and U+FFFF. Spaces show, whatever their width.
pub fn is_hidden(c: char) -> bool {
    // the last two places of each plane
    let no_character = u32::from(c) & 0xfffe == 0xfffe;
    no_character
        || matches!(
            c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
                | '\u{fdd0}'..='\u{fdef}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_as_documented() {
        assert_eq!(
            attachment_name(1_691_176_544_000, "quarterly-report.pdf"),
            "attachment_20230804191544000_quarterly-report.pdf"
        );
        assert_eq!(attachment_name(millis_of(1_691_176_544_007_999), "a"), "attachment_20230804191544007_a");
        assert_eq!(partial_name(1_691_176_544_000, "../a"), "partial_20230804191544000_a");
        assert!(is_attachment(&attachment_name(0, "partial_a")) && !is_attachment(&partial_name(0, "attachment_a")));
    }

    #[test]
    fn no_name_leaves_the_directory() {
        for (hostile, cleaned) in [
            ("../../etc/passwd", "passwd"),
            ("C:\\windows\\system.ini", "system.ini"),
            ("..", "unnamed"),
            ("", "unnamed"),
            ("/", "unnamed"),
            ("a\0b\nc", "a_b_c"),
            ("x<y>:z?.txt", "x_y__z_.txt"),
            ("gpj.\u{202e}exe", "gpj._exe"),
            ("a\u{2028}b\u{61c}c\u{feff}", "a_b_c_"),
            ("日本語.pdf", "日本語.pdf"),
            ("a\u{fffe}b\u{ffff}c\u{1fffe}d\u{10ffff}.pdf", "a_b_c_d_.pdf"),
            ("a\u{200b}\u{ad}\u{2060}\u{fdd0}\u{e0041}b", "a_____b"),
            ("報告書\u{3000}最終\u{202f}1.pdf", "報告書\u{3000}最終\u{202f}1.pdf"),
        ] {
            assert_eq!(clean(hostile, 200), cleaned, "{hostile:?}");
        }
    }

    /// XML 1.0, `Char`, without the control characters that it allows.
    fn is_carried_by_xml(c: char) -> bool {
        matches!(c, ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}') && !c.is_control()
    }

    #[test]
    fn whatever_a_name_holds_a_list_of_the_bucket_can_carry_it() {
        for c in '\0'..=char::MAX {
            let name = clean(&format!("a{c}b"), 200);
            assert!(name.chars().all(is_carried_by_xml), "U+{:04X}", u32::from(c));
            assert_eq!(name, clean(&name, 200), "U+{:04X}: cleaned twice", u32::from(c));
        }
        assert!(!is_base_name("archive\u{ffff}") && !is_base_name("\u{200b}archive") && is_base_name("archiv é"));
    }

    #[test]
    fn a_long_name_is_cut_at_a_character_and_keeps_its_extension() {
        let name = attachment_name(0, &format!("{}.docx", "ü".repeat(400)));
        assert!(name.len() <= NAME_BYTES_MAX && name.len() >= NAME_BYTES_MAX - 1);
        assert!(name.ends_with("ü.docx"));
        assert_eq!(clean("four .long enough to be no extension at all", 5), "four");
    }

    #[test]
    fn a_time_that_no_calendar_has_is_survived() {
        for millis in [i64::MIN, i64::MAX] {
            assert!(attachment_name(millis, "a").ends_with("_a"));
        }
    }
}
