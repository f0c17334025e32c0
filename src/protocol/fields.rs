//! Walks over the fields of an encoded message without decoding it: nothing is allocated, nothing recurses.

/// One field: its number and where its value is.
pub(super) struct Field {
    /// Number of the field in the schema.
    pub number: usize,
    /// Offset of the value: the bytes of a length-delimited field or of a group, else the encoded number.
    pub start: usize,
    /// Offset of the first byte after the value.
    pub end: usize,
    /// Whether it is length-delimited, and may therefore hold fields itself.
    pub delimited: bool,
}

/// Wire type that begins a group, an old way to nest; decoders skip unknown groups.
const GROUP: usize = 3;
/// Wire type that ends a group.
const GROUP_END: usize = 4;

/// The first field of `bytes`; `None` if it is incomplete.
pub(super) fn first(bytes: &[u8]) -> Option<Field> {
    let (mut field, kind) = flat(bytes)?;
    if kind != GROUP {
        return Some(field);
    }
    let mut depth = 1usize;
    while depth > 0 {
        let (inner, kind) = flat_or_end(bytes.get(field.end..)?)?;
        field.end = field.end.checked_add(inner.end)?;
        depth = match kind {
            GROUP => depth.checked_add(1)?,
            GROUP_END => depth.checked_sub(1)?,
            _ => depth,
        };
    }
    Some(field)
}

/// A field, or only the beginning of a group, with its wire type.
fn flat(bytes: &[u8]) -> Option<(Field, usize)> {
    flat_or_end(bytes).filter(|(_, kind)| *kind != GROUP_END)
}

fn flat_or_end(bytes: &[u8]) -> Option<(Field, usize)> {
    let mut rest = bytes;
    let key = prost::decode_length_delimiter(&mut rest).ok()?;
    let kind = key & 7;
    let value = match kind {
        0 => {
            let mut after = rest;
            prost::decode_length_delimiter(&mut after).ok()?;
            rest.len().checked_sub(after.len())?
        }
        1 => 8,
        2 => prost::decode_length_delimiter(&mut rest).ok()?,
        GROUP | GROUP_END => 0,
        5 => 4,
        _ => return None,
    };
    let start = bytes.len().checked_sub(rest.len())?;
    let end = start.checked_add(value)?;
    (end <= bytes.len()).then_some((Field { number: key >> 3, start, end, delimited: kind == 2 }, kind))
}

/// Number of fields at the top level of `bytes`; `None` if they are not a message.
pub(super) fn count(mut bytes: &[u8]) -> Option<usize> {
    let mut fields = 0usize;
    while !bytes.is_empty() {
        let field = first(bytes)?;
        (_, bytes) = bytes.split_at_checked(field.end)?;
        fields = fields.checked_add(1)?;
    }
    Some(fields)
}

/// Number of fields of the messages in `bytes`, one level down; a field that is not a message counts as none. `None` if
/// `bytes` is not a message.
pub(super) fn count_inner(mut bytes: &[u8]) -> Option<usize> {
    let mut fields = 0usize;
    while !bytes.is_empty() {
        let field = first(bytes)?;
        let (whole, rest) = bytes.split_at_checked(field.end)?;
        if field.delimited {
            fields = fields.checked_add(count(whole.get(field.start..)?).unwrap_or(0))?;
        }
        bytes = rest;
    }
    Some(fields)
}
