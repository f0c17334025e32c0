//! One entry of a log: what happened to the archive, signed.
//!
//! Stored bytes are the canonical form of `{"evidence":…,"signatures":[…]}` and one line feed. The *leaf* is the canonical form
//! of the value of `evidence`; its hash is in the tree, its plain SHA-256 in the next entry. Fields that this version does not
//! know are signed like the others and kept in the leaf; a type or a format that it does not know is
//! [`EntryError::Unsupported`], never passed over. Outside the signed value nothing is allowed that is not known.

mod body;
mod count;
mod events;
mod files;
mod form;
mod words;

use std::fmt::{self, Display};
use std::str::FromStr;

use data_encoding::{BASE64, HEXLOWER};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use crate::canonical::{self, NotCanonical};
use crate::key::{SigningKey, Vkey};
use crate::tree::{Hash, sha256};
pub use body::{Body, Kind};
pub use count::Count;
pub use events::*;
pub use files::*;

/// Longest entry that is read. A segment is sealed before its entry is longer.
pub const ENTRY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Signatures of one entry: a second key at a change of keys, a second algorithm beside each.
pub const SIGNATURES_MAX: usize = 16;
/// Of every entry, and before the leaf in what is signed.
pub const FORMAT: &str = "retaind-evidence/1";
/// The algorithm of [`SigningKey`] in a signature.
pub const ED25519: &str = "ed25519";
const LOG_ID_BYTES: usize = 16;

/// Which log: 16 random bytes, written as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub [u8; LOG_ID_BYTES]);

impl Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

/// A text that is no [`LogId`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a log's id is 32 hexadecimal digits in lower case")]
pub struct NotALogId;

impl FromStr for LogId {
    type Err = NotALogId;

    fn from_str(text: &str) -> Result<Self, NotALogId> {
        form::hex::parse(text).map(Self).ok_or(NotALogId)
    }
}

impl Serialize for LogId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        form::hex::serialize(&self.0, to)
    }
}

impl<'de> Deserialize<'de> for LogId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        form::hex::deserialize(from).map(Self)
    }
}

/// The span of reception that an entry closes: `to` of one is `from` of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covers {
    /// Its begin.
    #[serde(with = "form::time")]
    pub from: Timestamp,
    /// Its end, which is not part of it.
    #[serde(with = "form::time")]
    pub to: Timestamp,
}

/// Who writes the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bot {
    /// Its user name.
    pub name: String,
    /// Id of its device.
    pub device: String,
    /// Whose messages it archives.
    pub network_id: String,
    /// Of the program.
    pub version: String,
}

/// One entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its log.
    pub log: LogId,
    /// Its place, from 0.
    pub number: u64,
    /// [`previous_hash`] of the entry before; zeros in number 0.
    pub previous: Hash,
    /// By the bot's clock.
    pub made_at: Timestamp,
    /// Closed by it.
    pub covers: Covers,
    /// Its writer.
    pub bot: Bot,
    /// What happened.
    pub body: Body,
}

/// The fields that entries of every type have.
#[derive(Serialize, Deserialize)]
struct Common {
    log: LogId,
    number: Count,
    #[serde(with = "form::hex")]
    previous: Hash,
    #[serde(with = "form::time")]
    made_at: Timestamp,
    covers: Covers,
    bot: Bot,
}

/// Why bytes are no entry that this version can judge.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// The bytes have another form than the one that signatures are over.
    #[error("the entry is not in canonical form")]
    NotCanonical(#[from] NotCanonical),
    /// No line feed at the end.
    #[error("the entry does not end with one line feed")]
    LineFeed,
    /// Another format or type: a later version wrote it.
    #[error("the entry's {field} is `{found}`, which this version does not know: use a later one")]
    Unsupported {
        /// `format` or `type`.
        field: &'static str,
        /// As written, cut.
        found: String,
    },
    /// A field is missing or has another shape.
    #[error("the entry's `{field}` is missing or has another shape")]
    Malformed {
        /// Its name.
        field: &'static str,
        /// What the decoder says.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// A list in another order.
    #[error("the entry's list `{0}` is not sorted by its first field")]
    Unsorted(&'static str),
}

/// One signature of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// [`ED25519`], or one that this version does not know.
    pub algorithm: String,
    /// Id of the key: 8 hexadecimal digits.
    pub key: String,
    /// Of [`signed_bytes`].
    pub signature: Vec<u8>,
}

impl Signature {
    /// Whether it is this key's, and right for `leaf`.
    #[must_use]
    pub fn is_of(&self, key: &Vkey, leaf: &[u8]) -> bool {
        self.algorithm == ED25519 && self.key == key.key_id() && key.verify(&signed_bytes(leaf), &self.signature)
    }
}

/// The members of a [`Signature`] as they are stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredSignature {
    algorithm: String,
    key: String,
    signature: String,
}

/// An entry with what proves it.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// Its fields.
    pub entry: Entry,
    /// Its canonical form, with fields that this version does not know.
    pub leaf: Vec<u8>,
    /// Read, not checked.
    pub signatures: Vec<Signature>,
}

/// Stored bytes of which only the form is known: their type may be a later version's.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The value of `evidence`.
    pub evidence: Value,
    /// Its canonical form.
    pub leaf: Vec<u8>,
    /// Read, not checked.
    pub signatures: Vec<Signature>,
}

impl Stored {
    /// Of an entry's bytes, of which at most [`ENTRY_BYTES_MAX`] are read.
    ///
    /// # Errors
    /// They have another form. Never [`EntryError::Unsupported`].
    pub fn parse(stored: &[u8]) -> Result<Self, EntryError> {
        let malformed = |field| EntryError::Malformed { field, source: None };
        let bytes = stored.strip_suffix(b"\n").ok_or(EntryError::LineFeed)?;
        let Value::Object(mut members) = canonical::parse(bytes, ENTRY_BYTES_MAX)? else {
            return Err(malformed("evidence"));
        };
        let evidence = members.remove("evidence").filter(Value::is_object).ok_or_else(|| malformed("evidence"))?;
        let signatures = members.remove("signatures").ok_or_else(|| malformed("signatures"))?;
        // unsigned, so that nothing may be added
        if !members.is_empty() {
            return Err(malformed("signatures"));
        }
        let signatures: Vec<StoredSignature> = serde_json::from_value(signatures)
            .map_err(|source| EntryError::Malformed { field: "signatures", source: Some(source) })?;
        if signatures.len() > SIGNATURES_MAX {
            return Err(malformed("signatures"));
        }
        let signatures: Option<Vec<Signature>> = signatures.into_iter().map(Signature::decode).collect();
        let signatures = signatures.ok_or_else(|| malformed("signatures"))?;
        Ok(Self { leaf: canonical::to_bytes(&evidence), evidence, signatures })
    }
}

impl Signature {
    fn decode(stored: StoredSignature) -> Option<Self> {
        let signature = BASE64.decode(stored.signature.as_bytes()).ok()?;
        Some(Self { algorithm: stored.algorithm, key: stored.key, signature })
    }
}

impl Entry {
    /// The canonical form, which is signed and hashed. Lists of conversations and files are put into their order.
    pub fn leaf(&self) -> Vec<u8> {
        let common = Common {
            log: self.log,
            number: Count(self.number),
            previous: self.previous,
            made_at: self.made_at,
            covers: self.covers,
            bot: self.bot.clone(),
        };
        let kind = self.body.kind().as_str();
        // no value of these types fails: their maps have names as keys
        let mut value = json!(common);
        if let Value::Object(members) = &mut value {
            members.insert("format".to_owned(), json!(FORMAT));
            members.insert("type".to_owned(), json!(kind));
            members.insert(kind.to_owned(), self.body.clone().sorted().value());
        }
        canonical::to_bytes(&value)
    }

    /// Of stored bytes.
    ///
    /// # Errors
    /// They have another form, or a type or format that is not known. Signatures are not checked.
    pub fn parse(stored: &[u8]) -> Result<Parsed, EntryError> {
        let Stored { evidence, leaf, signatures } = Stored::parse(stored)?;
        Ok(Parsed { entry: Self::from_value(&evidence)?, leaf, signatures })
    }

    /// Of the value of `evidence`.
    ///
    /// # Errors
    /// A field is missing or has another shape, or its type or format is not known.
    pub fn from_value(evidence: &Value) -> Result<Self, EntryError> {
        let text = |field: &'static str| {
            let text = evidence.get(field).and_then(Value::as_str);
            text.ok_or(EntryError::Malformed { field, source: None })
        };
        let unsupported =
            |field, found: &str| EntryError::Unsupported { field, found: found.chars().take(64).collect() };
        let (format, kind) = (text("format")?, text("type")?);
        if format != FORMAT {
            return Err(unsupported("format", format));
        }
        let kind = Kind::parse(kind).ok_or_else(|| unsupported("type", kind))?;
        let common = Common::deserialize(evidence)
            .map_err(|source| EntryError::Malformed { field: "evidence", source: Some(source) })?;
        let Common { log, number: Count(number), previous, made_at, covers, bot } = common;
        let body = Body::of(kind, evidence.get(kind.as_str()).unwrap_or(&Value::Null))?;
        Ok(Self { log, number, previous, made_at, covers, bot, body })
    }
}

/// What a signature of an entry is over: the format's name, a line feed, the leaf.
pub fn signed_bytes(leaf: &[u8]) -> Vec<u8> {
    [FORMAT.as_bytes(), b"\n", leaf].concat()
}

/// What the next entry has as `previous`: SHA-256 of the leaf, without a prefix.
pub fn previous_hash(leaf: &[u8]) -> Hash {
    sha256(leaf)
}

/// The stored bytes of a leaf: with a signature of each key, in the order given, and the line feed. `keys`: the id (8
/// hexadecimal digits) and the key.
pub fn sign(leaf: &[u8], keys: &[(&str, &SigningKey)]) -> Vec<u8> {
    let signed = signed_bytes(leaf);
    let signatures: Vec<StoredSignature> = keys
        .iter()
        .map(|(id, key)| StoredSignature {
            algorithm: ED25519.to_owned(),
            key: (*id).to_owned(),
            signature: BASE64.encode(&key.sign(&signed)),
        })
        .collect();
    let signatures = canonical::to_bytes(&json!(signatures));
    [b"{\"evidence\":", leaf, b",\"signatures\":", &signatures, b"}\n"].concat()
}
