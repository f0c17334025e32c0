//! The JSON of a line as both bots write it: every field optional, unknown fields passed over, a known field twice refused.
//!
//! Numbers that one bot writes as numbers and the other as text are read in either form.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

/// A number or a text: `bor`, `ttl`, `shareexpiriation` and the like.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Scalar {
    /// A whole number.
    Number(i64),
    /// A text, as it was.
    Text(String),
}

impl Scalar {
    /// The number that it is or spells.
    pub fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }

    /// As text.
    pub fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number or a text")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar::Number(number))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Scalar, E> {
                Ok(i64::try_from(number).map_or_else(|_| Scalar::Text(number.to_string()), Scalar::Number))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Scalar, E> {
                Ok(Scalar::Text(number.to_string()))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(text.to_owned()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A whole line.
#[derive(Debug, Deserialize)]
pub(super) struct Line {
    pub accepted_iso: Option<String>,
    pub bor: Option<Scalar>,
    pub call: Option<CallObject>,
    pub ciphertext: Option<KeptObject>,
    pub content: Option<ContentObject>,
    pub control: Option<Control>,
    pub device: Option<String>,
    pub edit: Option<EditObject>,
    pub file: Option<FileObject>,
    pub hole: Option<HoleObject>,
    /// The name of `message_id` in older files of the closed bot.
    pub id: Option<String>,
    pub keyverify: Option<KeyVerify>,
    pub links: Option<Vec<LinkObject>>,
    pub location: Option<LocationObject>,
    pub message: Option<String>,
    pub message_id: Option<String>,
    pub msg_ts: Option<Scalar>,
    pub msgtype: u32,
    pub network_id: Option<String>,
    pub readreceipt: Option<ReceiptObject>,
    pub reason: Option<String>,
    pub received_iso: Option<String>,
    pub receiver: Option<String>,
    pub sender: Option<String>,
    pub sender_network_id: Option<String>,
    pub sender_type: Option<String>,
    pub sent_iso: Option<String>,
    pub seq: Option<u64>,
    pub time: Option<String>,
    pub time_iso: Option<String>,
    pub ttl: Option<Scalar>,
    pub ttl_iso: Option<String>,
    pub vgroupid: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct CallObject {
    pub calluri: Option<String>,
    pub calluriipv6: Option<String>,
    pub duration: Option<Scalar>,
    pub invitemsgid: Option<String>,
    pub meetingid: Option<Scalar>,
    pub participants: Option<Vec<String>>,
    pub startmsgid: Option<String>,
    pub status: Option<u32>,
}

#[derive(Debug, Deserialize)]
pub(super) struct KeptObject {
    pub file: Option<String>,
    pub sha256: Option<String>,
    pub size: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ContentObject {
    pub kind: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Control {
    pub action: Option<String>,
    pub addedusers: Option<Vec<String>>,
    pub attributes: Option<Vec<AttributeObject>>,
    pub bor: Option<Scalar>,
    pub changemask: Option<u32>,
    pub deletedusers: Option<Vec<String>>,
    pub description: Option<String>,
    pub epoch: Option<u64>,
    pub filevaultinfo: Option<VaultObject>,
    pub isrecall: Option<bool>,
    pub masters: Option<Vec<String>>,
    pub members: Option<Vec<String>>,
    /// The name of `msgid` in older files of the closed bot.
    pub message_id: Option<String>,
    pub msgid: Option<String>,
    pub pinned: Option<bool>,
    pub title: Option<String>,
    pub ttl: Option<Scalar>,
}

#[derive(Debug, Deserialize)]
pub(super) struct AttributeObject {
    pub isstarred: Option<bool>,
    pub msgid: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct VaultObject {
    pub filehash: Option<String>,
    pub filemgtaction: Option<VaultAction>,
    pub guid: Option<String>,
    pub localfilename: Option<String>,
    pub reason: Option<String>,
    pub status: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct VaultAction {
    pub action: Option<String>,
    pub modifiedbyuser: Option<String>,
    pub modifiedtimestamp: Option<String>,
    pub name: Option<String>,
    pub path: Option<String>,
    pub target: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct EditObject {
    pub latitude: Option<f64>,
    pub links: Option<Vec<LinkObject>>,
    pub longitude: Option<f64>,
    pub originalmessageid: Option<String>,
    #[serde(rename = "reactAdded")]
    pub react_added: Option<bool>,
    pub reaction: Option<String>,
    pub shareexpiriation: Option<Scalar>,
    pub text: Option<String>,
    #[serde(rename = "type")]
    pub what: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct FileObject {
    pub ciphertext: Option<KeptObject>,
    pub decrypted: Option<KeptObject>,
    pub filehash: Option<String>,
    pub filename: Option<String>,
    pub filesize: Option<u64>,
    pub guid: Option<String>,
    pub isscreenshot: Option<bool>,
    pub isvoicememo: Option<bool>,
    pub localfilename: Option<String>,
    pub reason: Option<String>,
    pub status: Option<String>,
    pub uploadedbyuser: Option<String>,
    pub uploadedtimestamp: Option<String>,
    pub voicememoduration: Option<Scalar>,
}

#[derive(Debug, Deserialize)]
pub(super) struct HoleObject {
    pub fromseq: u64,
    pub toseq: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct KeyVerify {
    pub msgtype: Option<u32>,
    pub verifiedkey: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct LinkObject {
    pub url: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct LocationObject {
    pub latitude: f64,
    pub longitude: f64,
}

#[derive(Debug, Deserialize)]
pub(super) struct ReceiptObject {
    pub message_timestamp_secs: Option<Scalar>,
    pub message_timestamp_usecs: Option<Scalar>,
    pub read_receipt_timestamp: Option<Scalar>,
    pub status: Option<String>,
}
