//! Texts in headers of HTTP.

use data_encoding::BASE64;

/// Metadata travels in headers: what is not plain ASCII is written as RFC 2047 says, which S3's tools show readably.
pub(super) fn header_text(text: &str) -> String {
    const WORD_BYTES_MAX: usize = 45;
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && text.trim() == text {
        return text.to_owned();
    }
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        if word.len().saturating_add(c.len_utf8()) > WORD_BYTES_MAX {
            words.push(std::mem::take(&mut word));
        }
        word.push(c);
    }
    words.push(word);
    let words: Vec<String> =
        words.iter().map(|word| format!("=?UTF-8?B?{}?=", BASE64.encode(word.as_bytes()))).collect();
    words.join(" ")
}
