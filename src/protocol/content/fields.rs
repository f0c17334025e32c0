//! Walks over the fields of an encoded message without decoding it: nothing is allocated, nothing recurses.

/// One field: its number and where its value is.
pub(super) struct Field {
    /// Number in the schema.
    pub number: usize,
    /// Of the value: the bytes of a length-delimited field, else the encoded number.
    pub start: usize,
    /// First byte after the value.
    pub end: usize,
}

/// The first field of `bytes`; `None` if there is no whole one.
pub(super) fn first(bytes: &[u8]) -> Option<Field> {
    let mut rest = bytes;
    let key = prost::decode_length_delimiter(&mut rest).ok()?;
    let value = match key & 7 {
        0 => {
            let mut after = rest;
            prost::decode_length_delimiter(&mut after).ok()?;
            rest.len().checked_sub(after.len())?
        }
        1 => 8,
        2 => prost::decode_length_delimiter(&mut rest).ok()?,
        5 => 4,
        _ => return None,
    };
    let start = bytes.len().checked_sub(rest.len())?;
    let end = start.checked_add(value)?;
    (end <= bytes.len()).then_some(Field { number: key >> 3, start, end })
}

/// How many fields `bytes` has at its top level, where all lists are; `None` if it is not a message.
pub(super) fn count(mut bytes: &[u8]) -> Option<usize> {
    let mut fields = 0usize;
    while !bytes.is_empty() {
        let field = first(bytes)?;
        (_, bytes) = bytes.split_at_checked(field.end)?;
        fields = fields.checked_add(1)?;
    }
    Some(fields)
}
