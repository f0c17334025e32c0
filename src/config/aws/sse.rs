//! Encryption by S3, as each object asks for it.

use super::{S3_SSE, S3_SSE_CONTEXT, S3_SSE_KEY, ServerSide, parse};
use crate::mistake::{Invalid, Mistake};
use crate::reader::Reader;

/// `None` where none is asked for, or a mistake was left.
pub(super) fn read(r: &mut Reader) -> Option<ServerSide> {
    let sse = r.optional(&S3_SSE, parse::server_side);
    let key = r.optional(&S3_SSE_KEY, parse::server_side_key);
    let context = r.optional(&S3_SSE_CONTEXT, parse::context);
    for one in [&S3_SSE_KEY, &S3_SSE_CONTEXT] {
        r.needs(one, &S3_SSE, "it is for `RETAIND_S3_SSE=kms`");
        if let (Some(ServerSide::S3), Some(at)) = (&sse, r.origins.given(one)) {
            r.mistakes.push(Mistake::Value { at: at.clone(), value: None, why: Invalid::OnlyWithKms });
        }
    }
    match sse? {
        ServerSide::S3 => Some(ServerSide::S3),
        ServerSide::Kms { .. } => Some(ServerSide::Kms { key, context: context.unwrap_or_default() }),
    }
}

/// What a variable of it says.
pub(super) fn value(sse: &ServerSide, name: &str) -> Option<String> {
    let (word, key, context) = match sse {
        ServerSide::S3 => ("s3", None, None),
        ServerSide::Kms { key, context } => ("kms", key.clone(), Some(context)),
    };
    match name {
        "RETAIND_S3_SSE" => Some(word.to_owned()),
        "RETAIND_S3_SSE_KEY" => key,
        _ => {
            let pairs = context?.iter().map(|(name, value)| format!("{name}={value}"));
            Some(pairs.collect::<Vec<_>>().join(",")).filter(|pairs| !pairs.is_empty())
        }
    }
}
