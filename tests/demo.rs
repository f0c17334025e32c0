//! `retaind demo` shows what is: what it prints is what an independent look at its files finds.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{message_files, records};

const RECORDING: &str = include_str!("../src/tools/demo/conversation.jsonl");

/// Every type of record but 0: nothing is unreadable here.
const TYPES: [u64; 18] =
    [1000, 3000, 4001, 4002, 4003, 4004, 4005, 4011, 4012, 4013, 4014, 4900, 6000, 7000, 8000, 9000, 9100, 9200];

/// Exit code, standard output, standard error of `retaind demo ARGUMENTS`, temporary files going to `temporary`.
fn demo(arguments: &[&str], temporary: &Path) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_retaind"))
        .arg("demo")
        .args(arguments)
        .env_clear()
        .env("TMPDIR", temporary)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Of the printed table: sent and archived by type, and both of all.
fn table(out: &str) -> (BTreeMap<u64, (u64, u64)>, (u64, u64)) {
    let mut types = BTreeMap::new();
    let mut all = None;
    for line in out.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [first, .., sent, archived] = words.as_slice() else { continue };
        let (Ok(sent), Ok(archived)) = (sent.parse(), archived.parse()) else { continue };
        match first.parse() {
            Ok(msgtype) => assert_eq!(types.insert(msgtype, (sent, archived)), None),
            Err(_) if *first == "all" => all = Some((sent, archived)),
            Err(_) => {}
        }
    }
    (types, all.unwrap())
}

/// Texts of the recording by room.
fn recorded() -> HashMap<String, Vec<String>> {
    let mut rooms: HashMap<String, Vec<String>> = HashMap::new();
    for line in RECORDING.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        if event["kind"] == "text" {
            let room = event["room"].as_str().unwrap().to_owned();
            rooms.entry(room).or_default().push(event["text"].as_str().unwrap().to_owned());
        }
    }
    rooms
}

/// The bytes of all files below a folder.
fn contents(folder: &Path) -> Vec<Vec<u8>> {
    let mut contents = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { contents.push(fs::read(path).unwrap()) }
        }
    }
    contents.sort_unstable();
    contents
}

#[test]
fn the_demo_archives_what_it_sends_and_prints_what_is_so() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("new").join("demo");
    let (code, out, err) = demo(&["--directory", folder.to_str().unwrap()], temporary.path());
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(!out.contains('\u{1b}'), "colours in a file: {out}");

    let records = records(&folder.join("messages"));
    let mut counted: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    let mut places: HashMap<&str, u64> = HashMap::new();
    for record in &records {
        let count = counted.entry(record["msgtype"].as_u64().unwrap()).or_default();
        *count = (count.0 + 1, count.1 + 1);
        let seq = places.entry(record["vgroupid"].as_str().unwrap()).or_default();
        *seq += 1;
        assert_eq!(record["seq"], *seq, "a hole, or not in order: {record}");
    }
    let total = records.len() as u64;
    assert_eq!(table(&out), (counted.clone(), (total, total)), "{out}");
    assert_eq!(counted.into_keys().collect::<Vec<_>>(), TYPES);

    let recorded = recorded();
    for (room, texts) in &recorded {
        let made = |record: &&Value| record["msgtype"] == 4001 && record["control"]["title"] == room.as_str();
        let conversation = &records.iter().find(made).unwrap()["vgroupid"];
        let said = records.iter().filter(|record| record["msgtype"] == 1000 && record["vgroupid"] == *conversation);
        assert_eq!(said.map(|record| record["message"].as_str().unwrap()).collect::<Vec<_>>(), *texts, "{room}");
    }
    // the recorded rooms, and a direct conversation, a group and a room of the demo's own
    assert_eq!(places.len(), recorded.len() + 3);

    let (sent, archived) = (contents(&folder.join("sent")), contents(&folder.join("attachments")));
    assert!(sent == archived, "{} files sent, {} archived, or other bytes", sent.len(), archived.len());
    assert!(sent.first().unwrap().is_empty() && sent.iter().any(|file| file.len() > 3 << 20));

    let files: Vec<PathBuf> = message_files(&folder.canonicalize().unwrap().join("messages"));
    for file in &files {
        assert!(out.contains(&format!(" {}\n", file.display())), "{out}");
    }
    let first = fs::read_to_string(&files[0]).unwrap();
    assert!(out.contains(&first.chars().take(100).collect::<String>()), "{out}");
}

#[test]
fn a_folder_with_something_in_it_is_refused_and_left_alone() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("demo");
    fs::create_dir(&folder).unwrap();
    let mine = folder.join("mine");
    fs::write(&mine, "precious").unwrap();
    for (given, fault) in [(&folder, "it is not empty"), (&mine, "Not a directory (os error 20)")] {
        let given = given.to_str().unwrap();
        let (code, out, err) = demo(&["--directory", given], temporary.path());
        assert_eq!((code, out.as_str()), (Some(78), ""));
        let expected = format!(
            "error: directory `{given}` of the demo cannot be used, name another one with `--directory`: {fault}\n"
        );
        assert_eq!(err, expected);
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(&mine).unwrap(), "precious");
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 1);
}

#[test]
fn without_a_directory_it_works_among_the_temporary_files() {
    let temporary = tempfile::tempdir().unwrap();
    let gone = temporary.path().join("gone");
    let (code, out, err) = demo(&[], &gone);
    assert_eq!((code, out.as_str()), (Some(78), ""));
    let begins = format!("error: directory `{}/retaind-demo-", gone.display());
    assert!(err.starts_with(&begins) && err.contains("No such file or directory"), "{err}");
}
