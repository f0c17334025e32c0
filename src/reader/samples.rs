//! Archives made by tests: golden records, lines of every type, and random ones from a seed.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::source::{Archive, Places};

pub(crate) const ROOM: &str = "S19a8782d9a0441d5e13f15b6789f00bc2f9b8231aa364a2eb3a8269dce2ac21";
pub(crate) const DIRECT: &str = "7ad65d17b945d7672190ecab6902fdd06eff162b91adfcda23df3b2ff95875e8";

/// The bot's golden records: name and line.
pub(crate) fn golden() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/records");
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let text = fs::read_to_string(entry.path()).unwrap();
        all.extend(text.split('\n').filter(|line| !line.is_empty()).map(|line| (name.clone(), line.to_owned())));
    }
    all.sort();
    assert!(all.len() > 60, "golden records are not there");
    all
}

/// A record with the usual fields; `own` adds to them or replaces them.
pub(crate) fn record(conversation: &str, seq: u64, sender: &str, msgtype: u32, own: Value) -> Value {
    let secs = 1_780_000_000 + seq * 60;
    let at = jiff::Timestamp::from_second(i64::try_from(secs).unwrap()).unwrap();
    let shown = at.strftime("%Y-%m-%d %H:%M:%S.000").to_string();
    let mut line = json!({
        "device": "5f0c1d2e3b4a59687786a5b4c3d2e1f0", "message_id": id(conversation, seq), "msg_ts": format!("{secs}.000000"),
        "msgtype": msgtype, "network_id": "40317842", "received_iso": shown, "sender": sender,
        "sender_network_id": "40317842", "sender_type": "normal", "seq": seq, "time_iso": shown, "vgroupid": conversation,
    });
    let Value::Object(own) = own else { panic!("an object") };
    line.as_object_mut().unwrap().extend(own);
    line
}

/// The `message_id` that [`record`] gives.
pub(crate) fn id(conversation: &str, seq: u64) -> String {
    format!("{:0>16}{seq:016x}", conversation.get(1..9).unwrap_or("0"))
}

pub(crate) fn text(conversation: &str, seq: u64, sender: &str, text: &str) -> Value {
    record(conversation, seq, sender, 1000, json!({"message": text}))
}

pub(crate) fn edit(conversation: &str, seq: u64, sender: &str, target: u64, text: &str) -> Value {
    let edit = json!({"originalmessageid": id(conversation, target), "text": text, "type": "text"});
    record(conversation, seq, sender, 9000, json!({"edit": edit}))
}

pub(crate) fn reaction(conversation: &str, seq: u64, sender: &str, target: u64, added: bool) -> Value {
    let of = id(conversation, target);
    let edit = json!({"originalmessageid": of, "reactAdded": added, "reaction": "👍", "type": "reaction"});
    record(conversation, seq, sender, 9100, json!({"edit": edit}))
}

pub(crate) fn recall(conversation: &str, seq: u64, sender: &str, target: u64) -> Value {
    let control = json!({"isrecall": true, "msgid": id(conversation, target), "msgtype": 4011});
    record(conversation, seq, sender, 4011, json!({"control": control}))
}

pub(crate) fn receipt(conversation: &str, seq: u64, sender: &str, target: u64) -> Value {
    let secs = (1_780_000_000 + target * 60).to_string();
    let receipt = json!({"message_timestamp_secs": secs, "message_timestamp_usecs": "0",
        "read_receipt_timestamp": secs, "status": "READ"});
    record(conversation, seq, sender, 9200, json!({"readreceipt": receipt}))
}

pub(crate) fn joined(conversation: &str, seq: u64, members: &[&str]) -> Value {
    let control = json!({"action": "joined", "epoch": 1, "members": members, "msgtype": 4900});
    record(conversation, seq, "", 4900, json!({"control": control}))
}

pub(crate) fn members(conversation: &str, seq: u64, added: &[&str], deleted: &[&str]) -> Value {
    let control = json!({"addedusers": added, "deletedusers": deleted, "msgtype": 4002});
    record(conversation, seq, "alice", 4002, json!({"control": control}))
}

pub(crate) fn titled(conversation: &str, seq: u64, title: &str) -> Value {
    let control = json!({"bor": 0, "changemask": 4, "description": "", "masters": ["alice"], "members": ["alice"],
        "msgtype": 4004, "title": title, "ttl": 0});
    record(conversation, seq, "alice", 4004, json!({"control": control}))
}

/// An archive in a directory that goes away with it.
pub(crate) struct Sample {
    pub(crate) folder: TempDir,
}

impl Sample {
    /// A sealed file for each list of lines but the last, which is the open one.
    pub(crate) fn of(segments: &[Vec<Value>]) -> Self {
        let lines: Vec<Vec<String>> =
            segments.iter().map(|lines| lines.iter().map(Value::to_string).collect()).collect();
        Self::of_lines(&lines)
    }

    pub(crate) fn of_lines<L: AsRef<[u8]>>(segments: &[Vec<L>]) -> Self {
        let sample = Self { folder: tempfile::tempdir().unwrap() };
        for (number, lines) in segments.iter().enumerate() {
            let name = if number + 1 == segments.len() {
                "receivedMessages.txt".to_owned()
            } else {
                format!("receivedMessages_20260601T1000{number:02}.000Z_{:08}.txt", 47_000_001 + number)
            };
            let bytes: Vec<u8> = lines.iter().flat_map(|line| [line.as_ref(), b"\n"].concat()).collect();
            fs::write(sample.path().join(name), bytes).unwrap();
        }
        sample
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        vec![self.path().to_owned()]
    }

    pub(crate) fn archive(&self) -> Archive {
        Archive::open(&self.paths(), Places::default()).unwrap()
    }
}

/// Numbers from a seed: `SplitMix64`.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    pub(crate) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let at = self.below(u64::try_from(all.len()).unwrap());
        &all[usize::try_from(at).unwrap()]
    }
}
