//! The shapes of records. Fields are declared in the order of their keys: serde writes them in that order, and a
//! test reads every golden file back to see that they are sorted.

use serde::{Serialize, Serializer};

use retaind_protocol::ids::UserName;

/// A whole record.
#[derive(Serialize, Default)]
pub(super) struct Line<'a> {
    #[serde(skip_serializing_if = "is_zero")]
    pub bor: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<CallObject<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ciphertext: Option<CiphertextObject<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<ContentObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control: Option<Control<'a>>,
    pub device: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edit: Option<Edit<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<File<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hole: Option<Hole>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keyverify: Option<KeyVerify>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub links: Option<Vec<Link<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'a str>,
    pub message_id: String,
    pub msg_ts: String,
    pub msgtype: u32,
    pub network_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readreceipt: Option<ReadReceipt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub received_iso: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receiver: Option<&'a str>,
    pub sender: &'a str,
    pub sender_network_id: &'a str,
    pub sender_type: &'static str,
    pub seq: u64,
    pub time: String,
    pub time_iso: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
    pub vgroupid: &'a str,
}

/// Kind 7000: a call.
#[derive(Serialize, Default)]
pub(super) struct CallObject<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calluri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calluriipv6: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invitemsgid: Option<String>,
    pub meetingid: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub participants: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub startmsgid: Option<String>,
    pub status: u8,
    pub version: u32,
    pub versioncheck: bool,
}

/// Kind 0: a message that could not be decrypted.
#[derive(Serialize)]
pub(super) struct CiphertextObject<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<&'a str>,
    pub sha256: String,
    pub size: u64,
}

/// Kind 0: a message that was decrypted, but not understood.
#[derive(Serialize, Default)]
pub(super) struct ContentObject {
    /// Base64 of the body, without keys: its kind and version are known, its meaning is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<u32>,
    /// Base64 of the whole plaintext, without keys: it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plaintext: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
}

/// Kinds 4001 to 4014 and 4900: changes of a conversation.
#[derive(Serialize, Default)]
pub(super) struct Control<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addedusers: Option<Users<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Vec<AttributeObject>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bor: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changemask: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletedusers: Option<Users<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filevaultinfo: Option<FileVaultInfo<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isrecall: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masters: Option<Users<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<Users<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub msgid: Option<String>,
    pub msgtype: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u64>,
}

#[derive(Serialize)]
pub(super) struct AttributeObject {
    pub isstarred: bool,
    pub msgid: String,
}

/// Kind 4004: a change of a saved item; there is no field for its key.
#[derive(Serialize)]
pub(super) struct FileVaultInfo<'a> {
    pub domain: &'a str,
    pub filehash: String,
    pub filemgtaction: FileManagementAction<'a>,
    pub guid: String,
}

#[derive(Serialize)]
pub(super) struct FileManagementAction<'a> {
    pub action: &'static str,
    pub modifiedbyuser: &'a str,
    pub modifiedtimestamp: String,
    pub name: &'a str,
    pub path: &'a str,
    pub target: &'a str,
}

/// Kinds 9000 and 9100: edits and reactions.
#[derive(Serialize, Default)]
pub(super) struct Edit<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub originalmessageid: Option<String>,
    #[serde(rename = "reactAdded", skip_serializing_if = "Option::is_none")]
    pub react_added: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reaction: Option<&'a str>,
    /// Spelt like this in the published output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shareexpiriation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<&'a str>,
    #[serde(rename = "type")]
    pub what: &'static str,
}

/// Kind 6000: a file; there is no field for its key. What a content that could not be read says of its file is in that content,
/// so that only what the bot found out is here.
#[derive(Serialize, Default)]
pub(super) struct File<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ciphertext: Option<KeptObject<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decrypted: Option<KeptObject<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filehash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filename: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filesize: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash_mismatch: Option<Mismatch<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isscreenshot: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isvoicememo: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub localfilename: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_mismatch: Option<Mismatch<u64>>,
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uploadedbyuser: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uploadedtimestamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voicememoduration: Option<u32>,
}

/// What is, and what the sender claimed.
#[derive(Serialize)]
pub(super) struct Mismatch<T> {
    pub actual: T,
    pub claimed: T,
}

/// A file that is kept for one that could not be decrypted.
#[derive(Serialize)]
pub(super) struct KeptObject<'a> {
    pub file: &'a str,
    pub sha256: String,
    pub size: u64,
}

/// Kind 0: messages that are missing.
#[derive(Serialize)]
pub(super) struct Hole {
    pub fromseq: u64,
    pub toseq: u64,
}

/// Kind 3000: a step of comparing keys.
#[derive(Serialize)]
pub(super) struct KeyVerify {
    pub msgtype: u8,
    pub verifiedkey: String,
}

#[derive(Serialize)]
pub(super) struct Link<'a> {
    pub url: &'a str,
}

/// Kind 8000: a place.
#[derive(Serialize)]
pub(super) struct Location {
    pub latitude: f64,
    pub longitude: f64,
}

/// Kind 9200: a message was read.
#[derive(Serialize)]
pub(super) struct ReadReceipt {
    pub message_timestamp_secs: String,
    pub message_timestamp_usecs: String,
    pub read_receipt_timestamp: String,
    pub status: &'static str,
}

/// A list of names, borrowed.
pub(super) struct Users<'a>(pub &'a [UserName]);

impl Serialize for Users<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(UserName::as_str))
    }
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}
