//! The layer of Secrets Manager: one flat JSON object, which lies under the environment and over the defaults.
//!
//! Pure: who fetches the secret is the caller's business ([`Read`]), so that this room does not know AWS and tests need
//! none. Values go from the text into [`Secret`]s without another copy that stays; only the scratch memory of the JSON
//! reader, which it uses for strings with escapes, is not wiped.
//!
//! Texts are never shown here: a secret that is not JSON may well be a password alone, so that a syntax error tells the
//! place and not the text. Keys are shown; a key that nobody knows is tolerated with a notice, because other programs may
//! share the secret, and its value is not looked at.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::account;
use super::aws::{self, SecretPlace};
use super::env::{self, Given, Origin, Settings, Variable};
use super::mistake::{Malformed, Mistake, Warning};
use super::secret::Secret;

/// Longest secret, in bytes: what Secrets Manager allows.
const SECRET_BYTES_MAX: usize = 65_536;

/// The keys of the secret and what each sets; the guide's table.
pub static KEYS: [(&str, &Variable); 7] = [
    ("password", &account::BOT_PASSWORD),
    ("s3_bucket_name", &aws::S3_BUCKET),
    ("s3_region", &aws::S3_REGION),
    ("s3_folder_name", &aws::S3_FOLDER),
    ("kms_master_key_arn", &aws::KMS_KEY),
    ("kms_region", &aws::KMS_REGION),
    ("sns_topic_arn", &aws::SNS_TOPIC),
];

/// What is asked of whoever reads the secret.
#[derive(Debug)]
pub struct Request<'a> {
    /// Which one.
    pub place: &'a SecretPlace,
    /// PEM certificates that AWS is checked against, if not the system's.
    pub ca_bundle: Option<&'a [u8]>,
}

/// What came back.
#[derive(Debug)]
pub enum Read {
    /// A text.
    Text(Secret),
    /// A secret that was stored as bytes.
    Binary,
    /// Nothing, for now: it may come later.
    Away(String),
    /// Nothing, until somebody changes a policy, the secret or a setting. The text says which.
    Refused(String),
}

/// What the secret says of the table's variables; `None` if it could not be read.
pub(super) fn settings(
    place: &SecretPlace,
    at: &Origin,
    read: Read,
    mistakes: &mut Vec<Mistake>,
    warnings: &mut Vec<Warning>,
) -> Option<Settings> {
    let why = match read {
        Read::Text(text) => match entries(text.expose()) {
            Ok(entries) => return Some(understand(place, entries, mistakes, warnings)),
            Err(why) => why,
        },
        Read::Binary => Malformed::Binary,
        Read::Away(why) => {
            mistakes.push(Mistake::SecretAway { at: at.clone(), why });
            return None;
        }
        Read::Refused(why) => {
            mistakes.push(Mistake::SecretUnread { at: at.clone(), why });
            return None;
        }
    };
    mistakes.push(Mistake::SecretMalformed { name: place.name.clone(), why });
    None
}

fn understand(
    place: &SecretPlace,
    entries: Vec<(String, Entry)>,
    mistakes: &mut Vec<Mistake>,
    warnings: &mut Vec<Warning>,
) -> Settings {
    let mut settings = Settings::default();
    let mut seen = BTreeSet::new();
    for (key, entry) in entries {
        let Some((key, variable)) = KEYS.iter().find(|(known, _)| *known == key) else {
            let nearest = env::nearest_of(&key, KEYS.iter().map(|(known, _)| *known));
            warnings.push(Warning::UnknownKey { name: place.name.clone(), key, nearest });
            continue;
        };
        let at = Origin::Secret { key, name: place.name.clone() };
        if !seen.insert(*key) {
            mistakes.push(Mistake::KeyTwice { at });
            continue;
        }
        match entry {
            Entry::Text(text) if text.expose().is_empty() => {}
            Entry::Text(text) => settings.add(variable, Given { text, origin: at }),
            Entry::Other(kind) => mistakes.push(Mistake::KeyNotText { at, kind }),
        }
    }
    settings
}

/// What the secret says in vain, because the environment says something else. For people who wonder why a change of the
/// secret changes nothing.
pub(super) fn hidden(environment: &Settings, secret: &Settings) -> Vec<Warning> {
    let pairs = KEYS.iter().filter_map(|(_, variable)| Some((environment.get(variable)?, secret.get(variable)?)));
    let different = pairs.filter(|(higher, lower)| higher.text.expose() != lower.text.expose());
    different
        .map(|(higher, lower)| Warning::Hidden { lower: lower.origin.clone(), higher: higher.origin.clone() })
        .collect()
}

/// The entries of the object, in its order, keys perhaps twice.
fn entries(text: &str) -> Result<Vec<(String, Entry)>, Malformed> {
    if text.len() > SECRET_BYTES_MAX {
        return Err(Malformed::TooLarge { bytes: text.len(), max: SECRET_BYTES_MAX });
    }
    if text.starts_with('\u{feff}') {
        return Err(Malformed::ByteOrderMark);
    }
    if !text.trim_start().starts_with('{') {
        return Err(Malformed::NotObject);
    }
    // the error's own words may repeat what stands in the secret
    let object: Object = serde_json::from_str(text)
        .map_err(|error| Malformed::NotJson { line: error.line(), column: error.column() })?;
    Ok(object.0)
}

struct Object(Vec<(String, Entry)>);

enum Entry {
    Text(Secret),
    /// Something else; the word says what.
    Other(&'static str),
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Object(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Entry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_str<E>(self, text: &str) -> Result<Entry, E> {
                Ok(Entry::Text(Secret::new(text.to_owned())))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Entry, E> {
                Ok(Entry::Other("a boolean"))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Entry, E> {
                Ok(Entry::Other("a number"))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Entry, E> {
                Ok(Entry::Other("a number"))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Entry, E> {
                Ok(Entry::Other("a number"))
            }

            fn visit_unit<E>(self) -> Result<Entry, E> {
                Ok(Entry::Other("`null`"))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Entry, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Entry::Other("a list"))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Entry::Other("an object"))
            }
        }

        deserializer.deserialize_any(Any)
    }
}
