//! What is allowed in a configuration, but perhaps not meant.

use thiserror::Error;

use super::env::Origin;
use super::invisible::Invisible;
use super::mistake::clipped;

/// What is allowed, but perhaps not meant.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Warning {
    /// Both limits of message files.
    #[error("{size} and {time} are both set: a new message file starts at whichever limit comes first")]
    BothLimits {
        /// Where the size came from.
        size: Origin,
        /// Where the time came from.
        time: Origin,
    },
    /// A setting that nothing reads.
    #[error("{at} has no effect: {why}")]
    NoEffect {
        /// Where it came from.
        at: Origin,
        /// Why not.
        why: &'static str,
    },
    /// A key of the secret that is not ours.
    #[error(
        "secret `{name}` has a key `{}` that this bot does not know{}",
        clipped(key),
        nearest.map(|known| format!(": is `{known}` meant?")).unwrap_or_default()
    )]
    UnknownKey {
        /// Name or ARN of the secret.
        name: String,
        /// As it stands there.
        key: String,
        /// The known key that is most like it.
        nearest: Option<&'static str>,
    },
    /// Environment and secret disagree.
    #[error("{lower} has no effect: {higher} says something else, and the environment comes first")]
    Hidden {
        /// In the secret.
        lower: Origin,
        /// In the environment.
        higher: Origin,
    },
    /// Something in a password that may not be meant.
    #[error(
        "{at}: {what} is part of the password as it is given; if that is not meant, take it out (a file: save it without a byte order mark, or write it with `printf %s`)"
    )]
    Invisible {
        /// Where it came from.
        at: Origin,
        /// What it is, and where in the password.
        what: Invisible,
    },
    /// Quotation marks around a password.
    #[error(
        "{at}: the quotation marks around the password are part of it as it is given (`docker run --env-file` takes none off); if that is not meant, take them out"
    )]
    Quoted {
        /// Where it came from.
        at: Origin,
    },
}
