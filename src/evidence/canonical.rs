//! The one form of a JSON value: RFC 8785 (JCS).
//!
//! Members are sorted by the UTF-16 units of their names, nothing is escaped that need not be, and there is no white space. What
//! is read must have this form already: a second text of the same meaning, or a member named twice, would let two readers see two
//! things under one signature.

use serde_json::{Number, Value};

/// Levels of objects and arrays in what is read. Entries have 6; the limit keeps a hostile one from deep recursion.
pub const DEPTH_MAX: usize = 32;
/// Greatest integer that every JSON reader takes exactly: 2^53 − 1. Greater ones are written as strings.
pub const INTEGER_MAX: u64 = 9_007_199_254_740_991;

/// Why bytes are not the canonical form of a value.
#[derive(Debug, thiserror::Error)]
pub enum NotCanonical {
    /// More bytes than the caller allows.
    #[error("it has {bytes} bytes, at most {limit} are read")]
    TooLong {
        /// That it has.
        bytes: usize,
        /// That are read.
        limit: usize,
    },
    /// More levels than [`DEPTH_MAX`].
    #[error("objects and arrays are nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// No JSON at all.
    #[error("it is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// JSON numbers other than integers up to [`INTEGER_MAX`].
    #[error("the number `{0}` is not an integer below 2^53")]
    Number(Number),
    /// JSON, but in another form.
    #[error(
        "byte {at} differs from the canonical form: white space, order or escapes differ, or a member occurs twice"
    )]
    Form {
        /// Offset of the first byte that differs, from 0.
        at: usize,
    },
}

/// The canonical form of `value`. Numbers other than integers below 2^53 are written as ECMAScript writes them, as RFC 8785
/// says; [`parse`] refuses them.
pub fn to_bytes(value: &Value) -> Vec<u8> {
    let mut out = String::new();
    write(value, &mut out);
    out.into_bytes()
}

/// The value of `bytes`, of which at most `limit` are read.
///
/// # Errors
/// They are anything but the canonical form of a value without other numbers than integers below 2^53.
pub fn parse(bytes: &[u8], limit: usize) -> Result<Value, NotCanonical> {
    if bytes.len() > limit {
        return Err(NotCanonical::TooLong { bytes: bytes.len(), limit });
    }
    if is_deep(bytes) {
        return Err(NotCanonical::TooDeep);
    }
    let value: Value = serde_json::from_slice(bytes).map_err(NotCanonical::NotJson)?;
    check_numbers(&value)?;
    let form = to_bytes(&value);
    if form != bytes {
        let at = form.iter().zip(bytes).take_while(|(one, other)| one == other).count();
        return Err(NotCanonical::Form { at });
    }
    Ok(value)
}

/// Looks at brackets only, so that the parser, which recurses, never meets more levels than [`DEPTH_MAX`].
fn is_deep(bytes: &[u8]) -> bool {
    let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth = depth.saturating_add(1),
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return true;
        }
    }
    false
}

fn check_numbers(value: &Value) -> Result<(), NotCanonical> {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
        Value::Number(number) if is_exact(number) => Ok(()),
        Value::Number(number) => Err(NotCanonical::Number(number.clone())),
        Value::Array(items) => items.iter().try_for_each(check_numbers),
        Value::Object(members) => members.values().try_for_each(check_numbers),
    }
}

fn is_exact(number: &Number) -> bool {
    let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
    magnitude.is_some_and(|magnitude| magnitude <= INTEGER_MAX)
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) if is_exact(number) => out.push_str(&number.to_string()),
        Value::Number(number) => out.push_str(&ecmascript(number.as_f64().unwrap_or_default())),
        Value::String(text) => quote(text, out),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
            out.push('{');
            for (at, (name, member)) in members.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                quote(name, out);
                out.push(':');
                write(member, out);
            }
            out.push('}');
        }
    }
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\0'..='\u{1f}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out.push('"');
}

/// `Number.prototype.toString`: the shortest digits, with an exponent from 10^21 on and below 10^−6.
fn ecmascript(number: f64) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    let plain = format!("{number}");
    let magnitude = number.abs();
    if (1e-6..1e21).contains(&magnitude) {
        return plain;
    }
    let scientific = format!("{number:e}");
    match scientific.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        Some(_) | None => scientific,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const LIMIT: usize = 1 << 20;

    fn text(value: &Value) -> String {
        String::from_utf8(to_bytes(value)).unwrap()
    }

    #[test]
    fn the_examples_of_rfc_8785_have_their_form() {
        let value = json!({
            "numbers": [333_333_333.333_333_3, 1E30, 4.50, 2e-3, 1e-27],
            "string": "\u{20ac}$\u{f}\nA'B\"\\\\\"/",
            "literals": [null, true, false],
        });
        assert_eq!(
            text(&value),
            "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
             \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
        );
        let names = json!({"€": 1, "\r": 2, "\u{fb33}": 3, "1": 4, "😂": 5, "\u{80}": 6, "ö": 7});
        assert_eq!(text(&names), "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"ö\":7,\"€\":1,\"😂\":5,\"\u{fb33}\":3}");
    }

    #[test]
    fn only_the_one_form_is_read() {
        for other in [
            "{\"a\": 1}",
            "{\"b\":1,\"a\":2}",
            "{\"a\":1,\"a\":1}",
            "{\"a\":1,\"a\":2}",
            "{\"a\":\"\\u0041\"}",
            "{\"a\":\"\\/\"}",
            "{\"a\":\"\\u000A\"}",
            "[1,2]\n",
            " []",
            "-0",
            "1.0",
            "1.5",
            "1e3",
            "9007199254740992",
            "18446744073709551615",
            "-9007199254740992",
            "\u{feff}{}",
            "{}{}",
            "",
            "\"\u{1}\"",
            "\"\\ud800\"",
        ] {
            assert!(parse(other.as_bytes(), LIMIT).is_err(), "{other}");
        }
        assert!(parse(b"\"\xff\"", LIMIT).is_err());
        for form in ["{\"a\":9007199254740991,\"b\":[-1,\"\u{7f}é\\u0001\"]}", "[]", "null", "\"{[{[\\\"[\""] {
            assert_eq!(text(&parse(form.as_bytes(), LIMIT).unwrap()), form);
        }
        assert!(matches!(parse(b"{\"a\":1,\"a\":1}", LIMIT), Err(NotCanonical::Form { at: 6 })));
    }

    #[test]
    fn size_and_depth_have_limits() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(nested(DEPTH_MAX).as_bytes(), LIMIT).is_ok());
        assert!(matches!(parse(nested(DEPTH_MAX + 1).as_bytes(), LIMIT), Err(NotCanonical::TooDeep)));
        assert!(matches!(parse("[".repeat(LIMIT).as_bytes(), LIMIT), Err(NotCanonical::TooDeep)));
        assert!(matches!(parse(b"[1]", 2), Err(NotCanonical::TooLong { bytes: 3, limit: 2 })));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            (0..=INTEGER_MAX).prop_map(Value::from),
            (-9_007_199_254_740_991_i64..0).prop_map(Value::from),
            any::<String>().prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                proptest::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in values()) {
            prop_assert_eq!(parse(&to_bytes(&value), LIMIT).unwrap(), value);
        }

        #[test]
        fn bad_bytes_are_refused_without_a_panic(bytes: Vec<u8>) {
            if let Ok(value) = parse(&bytes, LIMIT) {
                prop_assert_eq!(to_bytes(&value), bytes);
            }
        }
    }
}
