//! The lines of a message file.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead as _, BufReader, Read};

use retaind_evidence::tree::Tree;
use serde_json::Value;

use crate::expected::Lines;

/// Longest line that is read. Records have a few kilobytes, and at most 2 MiB.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Members of a record that name a file beside it.
const NAMES: [&str; 2] = ["localfilename", "file"];

/// Calls `each` with every line, without its line feed.
pub(crate) fn lines(reader: impl Read, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        let count = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if count == 0 {
            return Ok(());
        }
        if line.pop_if(|last| *last == b'\n').is_none() && u64::try_from(count).unwrap_or(u64::MAX) >= LINE_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("a line has more than {LINE_BYTES_MAX} bytes"),
            ));
        }
        each(&line);
    }
}

/// What differs between the lines and what their entry says: expected and found. Empty: nothing.
pub(crate) fn compare(reader: impl Read, expected: &Lines) -> io::Result<Vec<(String, String)>> {
    let mut tree = Tree::new();
    let (mut types, mut ranges, mut bad) = (BTreeMap::new(), BTreeMap::new(), 0_u64);
    lines(reader, |line| {
        tree.push(line);
        let Ok(record) = serde_json::from_slice::<Value>(line) else {
            bad = bad.saturating_add(1);
            return;
        };
        if let Some(kind) = record.get("msgtype").and_then(Value::as_u64) {
            let count: &mut u64 = types.entry(kind.to_string()).or_default();
            *count = count.saturating_add(1);
        }
        let (conversation, seq) =
            (record.get("vgroupid").and_then(Value::as_str), record.get("seq").and_then(Value::as_u64));
        if let (Some(conversation), Some(seq)) = (conversation, seq) {
            let range = ranges.entry(conversation.to_owned()).or_insert((seq, seq));
            *range = (range.0.min(seq), range.1.max(seq));
        }
    })?;
    let mut differences = Vec::new();
    let mut differ = |is_same: bool, what: &str, found: String| {
        if !is_same {
            differences.push((format!("{what} as the entry says"), found));
        }
    };
    differ(tree.size() == expected.records, "as many records", format!("{} records", tree.size()));
    differ(tree.root() == expected.root, "the root over the lines", "another root".to_owned());
    differ(bad == 0, "JSON in each line", format!("{bad} lines that are not JSON"));
    differ(types == expected.types, "records of each type", format!("{types:?}"));
    // a message that was not delivered may begin or end a range
    let is_within = ranges.len() == expected.ranges.len()
        && ranges.iter().all(|(conversation, (least, greatest))| {
            expected.ranges.get(conversation).is_some_and(|(first, last)| first <= least && greatest <= last)
        });
    differ(is_within, "messages of each conversation", "others".to_owned());
    Ok(differences)
}

/// Adds the names of files that records refer to. What cannot be read refers to nothing.
pub(crate) fn named_files(reader: impl Read, names: &mut BTreeSet<String>) {
    let read = lines(reader, |line| {
        if let Ok(record) = serde_json::from_slice::<Value>(line) {
            collect(&record, names);
        }
    });
    // its end is torn or unreadable: what is named there is reported as unknown
    drop(read);
}

/// Records are nested as deep as the JSON reader allows, 128 levels.
fn collect(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
        Value::Object(members) => {
            for (name, member) in members {
                match member.as_str() {
                    Some(file) if NAMES.contains(&name.as_str()) => {
                        names.insert(file.to_owned());
                    }
                    Some(_) | None => collect(member, names),
                }
            }
        }
    }
}
