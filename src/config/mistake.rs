//! What can be wrong with a configuration, in words for the operator who must put it right.
//!
//! Each names the setting under the name that was used, what is wrong and what would be right. Values are shown unless
//! they are secret.

use std::fmt;
use std::io;

use retaind_core::fault::{Fault, Faulty};
use thiserror::Error;

use super::env::Origin;
use super::invisible::Invisible;
pub use super::warning::Warning;

/// One thing that is wrong. The bot does not start with any.
#[derive(Debug, Error)]
pub enum Mistake {
    /// A name that looks like ours.
    #[error("`{name}` is not a setting of this bot{}", did_you_mean(nearest.as_deref()))]
    Unknown {
        /// As given.
        name: String,
        /// The known name that is most like it.
        nearest: Option<String>,
    },
    /// A setting without which nothing works.
    #[error("`{name}` is not set: {why}")]
    Missing {
        /// Its name.
        name: &'static str,
        /// What it is needed for.
        why: &'static str,
    },
    /// Two names of one setting disagree.
    #[error("{first} and {second} set the same thing to different values: leave one out")]
    Contradiction {
        /// One of them.
        first: Origin,
        /// The other.
        second: Origin,
    },
    /// Not UTF-8.
    #[error("{at} is not UTF-8 text")]
    NotText {
        /// Where it came from.
        at: Origin,
    },
    /// The file of a `<NAME>_FILE` cannot be read.
    #[error("{at} cannot be read: {why}")]
    ValueFile {
        /// Variable and file.
        at: Origin,
        /// Why not. Printed here and not a source, because a list of mistakes has no chain of causes.
        why: io::Error,
    },
    /// The file of a `<NAME>_FILE` is something else than a value.
    #[error("{at} is larger than {} KiB: it must hold nothing but the value", super::env::VALUE_FILE_BYTES_MAX / 1024)]
    ValueFileTooLarge {
        /// Variable and file.
        at: Origin,
    },
    /// A value that cannot be what it should.
    #[error("{at}{}: {why}", shown(value.as_deref()))]
    Value {
        /// Where it came from.
        at: Origin,
        /// The value, unless it is secret.
        value: Option<String>,
        /// What is wrong with it, and what would be right.
        why: Invalid,
    },
    /// One setting is senseless without another.
    #[error("{at} needs `{needs}`{} as well: {why}", or_key(*key))]
    Needs {
        /// Where the first came from.
        at: Origin,
        /// The one that is missing.
        needs: &'static str,
        /// The key of the secret that can hold it, where there is a secret.
        key: Option<&'static str>,
        /// Why the first needs it.
        why: &'static str,
    },
    /// Secrets Manager is not there for now, so that the configuration is not known.
    #[error("the secret that {at} names could not be read: {why}")]
    SecretAway {
        /// The variable that names the secret.
        at: Origin,
        /// What happened.
        why: String,
    },
    /// The secret cannot be read before somebody changes something.
    #[error("the secret that {at} names cannot be read: {why}")]
    SecretUnread {
        /// The variable that names the secret.
        at: Origin,
        /// What was refused, and the remedy.
        why: String,
    },
    /// The secret is not what it should be.
    #[error("secret `{name}` {why}; it must be one flat JSON object of strings, such as `{{\"password\": \"…\"}}`")]
    SecretMalformed {
        /// Its name or ARN.
        name: String,
        /// What it is.
        why: Malformed,
    },
    /// A value of the secret is not a string.
    #[error("{at} is {kind}: it must be a string, in double quotes")]
    KeyNotText {
        /// The key.
        at: Origin,
        /// What it is.
        kind: &'static str,
    },
    /// A key of the secret stands in it twice.
    #[error("{at} stands there more than once: leave one out")]
    KeyTwice {
        /// The key.
        at: Origin,
    },
}

/// What is wrong with the secret as a whole. Its text is never part of a message.
#[derive(Debug, Error)]
pub enum Malformed {
    /// It was stored as bytes, not as text.
    #[error("is binary")]
    Binary,
    /// More than Secrets Manager allows.
    #[error("has {bytes} bytes, more than {max}")]
    TooLarge {
        /// How many it has.
        bytes: usize,
        /// How many it may have.
        max: usize,
    },
    /// A byte order mark before the object.
    #[error("starts with a byte order mark (U+FEFF), which is not JSON: store it without")]
    ByteOrderMark,
    /// Some other text.
    #[error("is not a JSON object")]
    NotObject,
    /// JSON that breaks off or is mistyped.
    #[error("is not JSON: the mistake is in line {line}, column {column}")]
    NotJson {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
}

/// What is wrong with one value.
#[derive(Debug, Error)]
pub enum Invalid {
    /// Not a whole number in range.
    #[error("not a whole number of {unit} from {min} to {max}")]
    Number {
        /// What is counted.
        unit: &'static str,
        /// Smallest that is allowed.
        min: u64,
        /// Largest that is allowed.
        max: u64,
    },
    /// Something that does not show has got into it.
    #[error("{0} is part of it, which does not show: take it out")]
    Invisible(Invisible),
    /// Quotation marks that a shell would have taken off.
    #[error(
        "the quotation marks `{0}` around it are part of it, as in a file of `docker run --env-file`: take them out"
    )]
    Quoted(char),
    /// Cannot be the bot's name.
    #[error(
        "not a user name: at most 254 bytes without white space and control characters, and because it names a folder without `/` and not `.` or `..`"
    )]
    BotName,
    /// Cannot name the key of the evidence.
    #[error("not a name of a key: 1 to {max} bytes without white space and `+`")]
    EvidenceOrigin {
        /// Most bytes.
        max: usize,
    },
    /// Cannot start a file name.
    #[error(
        "not the start of a file name: at most {max} bytes without `/` and control characters, and without a `.` in front"
    )]
    BaseName {
        /// Most bytes that leave room for what is added.
        max: usize,
    },
    /// Not usable as a directory's path.
    #[error("not a path: it holds a NUL or another control character")]
    Path,
    /// None of the words that are allowed.
    #[error("must be {allowed}")]
    Word {
        /// The words.
        allowed: &'static str,
    },
    /// Too short a password.
    #[error("a new password has at least {min} characters")]
    PasswordShort {
        /// How many it must have.
        min: usize,
    },
    /// Too long a password.
    #[error("a password has at most {max} bytes")]
    PasswordLong {
        /// How many it may have.
        max: usize,
    },
    /// The secret is to hold it.
    #[error(
        "with `RETAIND_STORE_PASSWORD=secret` the password is read from the secret: put the initial one into its `password` and take this out"
    )]
    PasswordBesideSecret,
    /// The new password is the old one.
    #[error("the new password must be other than `WICKRIO_BOT_PASSWORD`")]
    PasswordSame,
    /// Not `host:port`.
    #[error("not `host:port`, such as `chat.example.org:7443` or `[2001:db8::1]:7443`")]
    HostPort,
    /// Not an address to listen on.
    #[error("not an address and a port, such as `127.0.0.1:7443` or `[::1]:7443`; names are not looked up here")]
    Listen,
    /// Not a name that a certificate can hold.
    #[error("not a DNS name or IP address, so no certificate can hold it")]
    TlsName,
    /// Not a network's id.
    #[error("not a network id: 1 to 64 letters, digits, `-`, `_` or `.`")]
    NetworkId,
    /// Certificate file unreadable.
    #[error("the certificate cannot be read from it: {0}")]
    Certificate(String),
    /// Several certificates, or none.
    #[error("holds {0} PEM certificates instead of one: give the network's `ca.pem`")]
    Certificates(usize),
    /// One of the certificates is damaged.
    #[error("certificate {number} of {of} in it cannot be parsed: {why}; fetch the file again, or take that one out")]
    Authority {
        /// Which one, from 1.
        number: usize,
        /// How many there are.
        of: usize,
        /// What the TLS library says.
        why: String,
    },
    /// Not an AWS region.
    #[error("not an AWS region such as `eu-central-1`")]
    Region,
    /// Not a bucket.
    #[error(
        "not an S3 bucket: 3 to 63 lower-case letters, digits, `-` and `.`, with a letter or digit at both ends, or an access point's ARN"
    )]
    Bucket,
    /// Not an account.
    #[error("not the number of an AWS account: 12 digits")]
    Account,
    /// Not an encryption context.
    #[error(
        "not an encryption context: `name=value`, several with commas, each name once and without `aws:` in front, at most {max} bytes"
    )]
    Context {
        /// Most bytes.
        max: usize,
    },
    /// What only one of the two has.
    #[error("it is for `RETAIND_S3_SSE=kms`, not for `s3`")]
    OnlyWithKms,
    /// Not a key prefix.
    #[error("not a key prefix: at most {max} bytes without control characters, empty parts, `.` and `..`")]
    Folder {
        /// Most bytes that leave room for a file name.
        max: usize,
    },
    /// Not an ARN of the service.
    #[error("not an ARN such as `{example}`")]
    Arn {
        /// What a right one looks like.
        example: &'static str,
    },
    /// Not a secret's name or ARN.
    #[error("not the name (letters, digits and `/_+=.@-`, at most 512) or ARN of a secret")]
    SecretName,
    /// A region beside an ARN that says another.
    #[error("the ARN is of region `{arn}`")]
    RegionOfArn {
        /// The ARN's.
        arn: String,
    },
    /// `AWS_CA_BUNDLE` unreadable.
    #[error("no certificates can be read from it: {0}")]
    Bundle(String),
    /// Not a reference of an image.
    #[error("not the reference of a container image, such as `wickr/bot-compliance-cloud:5.116`")]
    Image,
    /// Not the value of a metric's dimension.
    #[error("not the value of a metric's dimension: 1 to {max} printable ASCII characters, and no `:` in front")]
    Dimension {
        /// Most characters.
        max: usize,
    },
    /// Not an address to ask after the bot's health.
    #[error("not an address and a port, such as `127.0.0.1:9464` or `[::1]:9464`, nor `off`")]
    Health,
    /// Not names of hosts.
    #[error(
        "not names of hosts separated by commas, such as `bot.example.org`: at most 16, of letters, digits, `-`, `_` and `.`"
    )]
    HealthNames,
    /// Not a log filter.
    #[error("not a log filter such as `info` or `info,retaind::bot=debug`")]
    LogFilter,
}

/// Everything that is wrong with a configuration, at once.
#[derive(Debug)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// At least one.
    pub fn as_slice(&self) -> &[Mistake] {
        &self.0
    }
}

impl Faulty for Mistakes {
    /// [`Fault::Temporary`] = nothing has to be put right: only the secret could not be read yet.
    fn fault(&self) -> Fault {
        let away = self.0.iter().all(|mistake| matches!(mistake, Mistake::SecretAway { .. }));
        if away { Fault::Temporary } else { Fault::Configuration }
    }
}

impl From<Vec<Mistake>> for Mistakes {
    fn from(mistakes: Vec<Mistake>) -> Self {
        Self(mistakes)
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] if self.is_temporary() => write!(f, "the configuration is not complete: {one}"),
            [one] => write!(f, "the configuration has a mistake: {one}"),
            all => {
                write!(f, "the configuration has {} mistakes:", all.len())?;
                all.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
            }
        }
    }
}

impl std::error::Error for Mistakes {}

fn did_you_mean(nearest: Option<&str>) -> String {
    match nearest {
        Some(name) => format!(": is `{name}` meant?"),
        None => "; `retaind check` lists all that are".to_owned(),
    }
}

fn or_key(key: Option<&'static str>) -> String {
    key.map(|key| format!(" (or `{key}` in the secret)")).unwrap_or_default()
}

fn shown(value: Option<&str>) -> String {
    value.map(|value| format!(" = `{}`", clipped(value))).unwrap_or_default()
}

/// On one line and not too long; a whole file pasted into a variable stays readable.
pub(crate) fn clipped(value: &str) -> String {
    /// Most characters of a wrong value that are repeated.
    const SHOWN_CHARS_MAX: usize = 80;
    if value.chars().count() > SHOWN_CHARS_MAX {
        return format!("{}…", value.chars().take(SHOWN_CHARS_MAX).collect::<String>().escape_debug());
    }
    value.escape_debug().to_string()
}
