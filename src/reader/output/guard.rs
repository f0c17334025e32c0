//! Keeps what would steer a terminal, or deceive its reader, out of it.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::Terminal;

/// Longest character of UTF-8.
const CHAR_BYTES_MAX: usize = 4;

/// Would it steer a terminal, or show text in another order than it has? Line feeds are for the caller.
fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

fn push_escape(to: &mut String, c: char) {
    // as JSON has it, so that JSON stays what it says; a string takes any text
    for unit in c.encode_utf16(&mut [0; 2]) {
        write!(to, "\\u{unit:04x}").unwrap_or_default();
    }
}

/// A text in one line, with all that is dangerous as `\u` and four hex digits.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_dangerous(c) { push_escape(&mut safe, c) } else { safe.push(c) }
    }
    safe
}

/// Escapes on a terminal; elsewhere bytes pass as they are.
#[derive(Debug)]
pub struct Guarded<W> {
    out: W,
    terminal: Terminal,
    /// The beginning of a character whose end has not come yet.
    partial: Vec<u8>,
}

impl<W: Write> Guarded<W> {
    /// Before a stream.
    pub fn new(out: W, terminal: Terminal) -> Self {
        Self { out, terminal, partial: Vec::new() }
    }

    fn write_safe(&mut self, bytes: &[u8]) -> io::Result<()> {
        let joined;
        let mut rest = if self.partial.is_empty() {
            bytes
        } else {
            joined = [std::mem::take(&mut self.partial).as_slice(), bytes].concat();
            joined.as_slice()
        };
        let mut safe = String::with_capacity(rest.len());
        loop {
            let (valid, after) = match std::str::from_utf8(rest) {
                Ok(valid) => (valid, None),
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    (std::str::from_utf8(valid).unwrap_or_default(), Some((after, error.error_len())))
                }
            };
            for c in valid.chars() {
                if c != '\n' && is_dangerous(c) { push_escape(&mut safe, c) } else { safe.push(c) }
            }
            match after {
                Some((after, Some(bad))) => {
                    safe.push(char::REPLACEMENT_CHARACTER);
                    rest = after.get(bad..).unwrap_or_default();
                }
                Some((after, None)) if after.len() < CHAR_BYTES_MAX => {
                    self.partial = after.to_owned();
                    break;
                }
                Some((_, None)) | None => break,
            }
        }
        self.out.write_all(safe.as_bytes())
    }
}

impl<W: Write> Write for Guarded<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.terminal.output {
            self.write_safe(bytes)?;
        } else {
            self.out.write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
