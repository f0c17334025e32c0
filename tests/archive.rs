//! `retaind archive` on an archive that the program wrote: what it says is true, its exit codes are those of the page, and
//! programs of others come to the same.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers fail the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::aws::python;

/// Exit code and standard output of `retaind archive ARGUMENTS`.
fn archive(arguments: &[&str]) -> (i32, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_retaind")).arg("archive").args(arguments).env_clear().output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

/// The archive of a demo, with its key and its head beside it.
struct Demo {
    folder: tempfile::TempDir,
}

impl Demo {
    fn play() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let played = Command::new(env!("CARGO_BIN_EXE_retaind"))
            .args(["demo", "--directory", folder.path().join("demo").to_str().unwrap()])
            .env_clear()
            .env("TMPDIR", folder.path())
            .output()
            .unwrap();
        assert!(played.status.success(), "{played:?}");
        let demo = Self { folder };
        let mut logs = fs::read_dir(demo.path().join("_evidence")).unwrap().map(|log| log.unwrap().path());
        let log = logs.find(|log| log.join("checkpoint").is_dir()).unwrap();
        let head = fs::read_dir(log.join("checkpoint")).unwrap().next().unwrap().unwrap().path();
        let key = fs::read_dir(demo.path().join("_evidence/keys")).unwrap().next().unwrap().unwrap().path();
        fs::copy(head, demo.head()).unwrap();
        fs::copy(key, demo.key()).unwrap();
        demo
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("demo")
    }

    fn head(&self) -> PathBuf {
        self.folder.path().join("head")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("vkey")
    }

    /// The exit code of the verifier, and whether the script comes to the same.
    fn judged(&self) -> i32 {
        let (path, key, head) = (self.path(), self.key(), self.head());
        let [path, key, head] = [&path, &key, &head].map(|path| path.to_str().unwrap());
        let (code, out) = archive(&["verify", path, "--deep", "--key", key, "--head", head]);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/verify.py");
        let script = Command::new(python("reader")).arg("-B").arg(script).args([path, key, head]).output().unwrap();
        assert_eq!(script.status.code(), Some(i32::from(code != 0)), "{out}\n{script:?}");
        code
    }

    fn message_file(&self) -> PathBuf {
        fs::read_dir(self.path().join("messages")).unwrap().next().unwrap().unwrap().path()
    }
}

#[test]
fn what_the_verifier_says_of_an_archive_a_script_without_a_line_of_ours_says_as_well() {
    let demo = Demo::play();
    assert_eq!(demo.judged(), 0);
    let file = demo.message_file();
    let sound = fs::read(&file).unwrap();
    for altered in
        [[&sound[..100], b"x", &sound[101..]].concat(), [&sound[..], b"{}\n"].concat(), sound[..500].to_vec()]
    {
        fs::write(&file, altered).unwrap();
        assert_eq!(demo.judged(), 1);
    }
    fs::remove_file(&file).unwrap();
    assert_eq!(demo.judged(), 1);
    fs::write(&file, &sound).unwrap();
    assert_eq!(demo.judged(), 0);
    // the end cut off, with everything that it is named by
    let mut logs = fs::read_dir(demo.path().join("_evidence")).unwrap().map(|log| log.unwrap().path());
    let log = logs.find(|log| log.join("checkpoint").is_dir()).unwrap();
    fs::remove_file(log.join("000000000001.json")).unwrap();
    fs::remove_dir_all(log.join("checkpoint")).unwrap();
    assert_eq!(demo.judged(), 1);
}

#[test]
fn search_finds_what_is_there_says_so_when_nothing_is_and_a_proof_stands_alone() {
    let demo = Demo::play();
    let path = demo.path();
    let path = path.to_str().unwrap();
    let (code, out) = archive(&["search", path, "--text", "gstreamer", "--format", "jsonl"]);
    let lines: Vec<String> = fs::read_to_string(demo.message_file()).unwrap().lines().map(str::to_owned).collect();
    let expected = lines.iter().filter(|line| line.contains("gstreamer")).count();
    assert!(expected > 0);
    assert_eq!((code, out.lines().count()), (0, expected));
    assert_eq!(archive(&["search", path, "--text", "nobody has said this"]).0, 1);
    assert_eq!(archive(&["cat", path, "--raw"]).1, fs::read_to_string(demo.message_file()).unwrap());
    assert_eq!(archive(&["ls", "/nowhere/at/all"]).0, 78);

    let one: Value = serde_json::from_str(&lines[7]).unwrap();
    let record = format!("{}:{}", one["vgroupid"].as_str().unwrap(), one["seq"]);
    let proof = demo.folder.path().join("proof");
    let proof = proof.to_str().unwrap();
    assert_eq!(archive(&["prove", path, "--record", &record, "--out", proof]).0, 0);
    let (code, out) = archive(&["verify", proof, "--key", demo.key().to_str().unwrap()]);
    assert_eq!(code, 0, "{out}");
}

#[test]
fn an_export_accounts_for_every_record_and_is_the_same_twice() {
    let demo = Demo::play();
    let path = demo.path();
    let path = path.to_str().unwrap();
    let manifests = ["first", "second"].map(|name| {
        let out = demo.folder.path().join(name);
        let formats = "raw,jsonl,csv,html,eml,rsmf,actiance";
        let (code, _) = archive(&["export", path, "--format", formats, "--out", out.to_str().unwrap()]);
        assert_eq!(code, 0);
        serde_json::from_str::<Value>(&fs::read_to_string(out.join("export.json")).unwrap()).unwrap()
    });
    let records = fs::read_to_string(demo.message_file()).unwrap().lines().count();
    let raw = manifests[0]["counts"]["raw"].as_object().unwrap();
    for column in ["in", "out"] {
        let sum: u64 = raw.values().map(|count| count[column].as_u64().unwrap()).sum();
        assert_eq!(sum, records as u64, "{column}");
    }
    assert_eq!(manifests[0]["files"], manifests[1]["files"]);
}
