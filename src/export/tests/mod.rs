//! Exports of archives with golden and hostile records.

mod account;
mod hostile;
mod rsmf;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use retaind_reader::{Exit, SourceArgs};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::args::ExportArgs;
use crate::command::export;
use crate::error::Error;
use crate::table::Format;

pub(crate) const ROOM: &str = "S19a8782d9a0441d5e13f15b6789f00bc2f9b8231aa364a2eb3a8269dce2ac21";
/// 2026-06-01T10:00:00Z
pub(crate) const MORNING: i64 = 1_780_308_000;
pub(crate) const ALL: [Format; 7] =
    [Format::Raw, Format::Jsonl, Format::Csv, Format::Html, Format::Eml, Format::Rsmf, Format::Actiance];

/// An archive of these lines, and room for its exports.
pub(crate) struct Sample {
    folder: TempDir,
}

impl Sample {
    pub(crate) fn of(lines: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("archive")).unwrap();
        fs::write(folder.path().join("archive/receivedMessages.txt"), lines.join("\n") + "\n").unwrap();
        Self { folder }
    }

    pub(crate) fn of_values(lines: &[Value]) -> Self {
        Self::of(&lines.iter().map(Value::to_string).collect::<Vec<_>>())
    }

    pub(crate) fn attach(&self, name: &str, bytes: &[u8]) {
        fs::write(self.folder.path().join("archive").join(name), bytes).unwrap();
    }

    pub(crate) fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn args(&self, out: &str, formats: &[Format]) -> ExportArgs {
        let source = SourceArgs { source: vec![self.folder.path().join("archive")], ..SourceArgs::default() };
        ExportArgs { source, format: formats.to_vec(), out: self.out(out), ..ExportArgs::default() }
    }

    pub(crate) fn run(&self, args: &ExportArgs) -> Result<Exit, Error> {
        export(args, Timestamp::from_second(MORNING).unwrap(), &mut Vec::new())
    }

    /// All files of an export.
    pub(crate) fn files(&self, out: &str) -> BTreeMap<String, Vec<u8>> {
        fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let path = entry.path();
                if path.is_dir() {
                    walk(root, &path, found);
                } else {
                    let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                    found.insert(name, fs::read(&path).unwrap());
                }
            }
        }
        let (mut found, root) = (BTreeMap::new(), self.out(out));
        walk(&root, &root, &mut found);
        found
    }

    pub(crate) fn text(&self, out: &str, name: &str) -> String {
        fs::read_to_string(self.out(out).join(name)).unwrap()
    }

    pub(crate) fn manifest(&self, out: &str) -> Value {
        serde_json::from_str(&self.text(out, "export.json")).unwrap()
    }
}

/// The bot's golden records.
pub(crate) fn golden() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/records");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let texts = files.iter().map(|path| fs::read_to_string(path).unwrap());
    let lines: Vec<String> = texts
        .flat_map(|text| text.split('\n').map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| !line.is_empty())
        .collect();
    assert!(lines.len() > 60, "golden records are not there");
    lines
}

/// A record received at `MORNING` and so many seconds.
pub(crate) fn record(seq: u64, after: i64, sender: &str, msgtype: u32, own: Value) -> Value {
    let at = Timestamp::from_second(MORNING + after).unwrap();
    let shown = at.strftime("%Y-%m-%d %H:%M:%S.000").to_string();
    let mut line = json!({"message_id": format!("{seq:032x}"), "msg_ts": format!("{}.000000", MORNING + after),
        "msgtype": msgtype, "network_id": "40317842", "received_iso": shown, "sender": sender, "sender_type": "normal",
        "seq": seq, "time_iso": shown, "vgroupid": ROOM});
    let Value::Object(own) = own else { panic!("an object") };
    line.as_object_mut().unwrap().extend(own);
    line
}

pub(crate) fn text(seq: u64, after: i64, sender: &str, text: &str) -> Value {
    record(seq, after, sender, 1000, json!({"message": text}))
}

pub(crate) fn edit(seq: u64, after: i64, sender: &str, target: u64, text: &str) -> Value {
    let edit = json!({"originalmessageid": format!("{target:032x}"), "text": text, "type": "text"});
    record(seq, after, sender, 9000, json!({"edit": edit}))
}

pub(crate) fn recall(seq: u64, after: i64, sender: &str, target: u64) -> Value {
    let control = json!({"isrecall": true, "msgid": format!("{target:032x}"), "msgtype": 4011});
    record(seq, after, sender, 4011, json!({"control": control}))
}

pub(crate) fn file(seq: u64, after: i64, sender: &str, name: &str, local: &str, hash: &str) -> Value {
    let file = json!({"filehash": hash, "filename": name, "filesize": 5, "localfilename": local, "status": "saved"});
    record(seq, after, sender, 6000, json!({"file": file}))
}
