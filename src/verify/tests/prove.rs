//! Proofs: made from an archive, checked without it.

use std::fs;
use std::path::PathBuf;

use super::archive::{Archive, CONVERSATIONS, Layout, attachment_name, segment_name};
use super::*;
use crate::{ProveArgs, run_prove};

struct Made {
    directory: tempfile::TempDir,
    code: u8,
}

impl Made {
    fn path(&self) -> PathBuf {
        self.directory.path().join("proof")
    }

    fn verify(&self, options: &Options) -> Report {
        crate::bundle::verify(&self.path(), options, now(), "retaind").unwrap()
    }
}

fn prove(archive: &Archive, records: &[String], files: &[String]) -> Made {
    let directory = tempfile::tempdir().unwrap();
    let args = ProveArgs {
        sources: vec![archive.root.path().to_owned()],
        evidence: Vec::new(),
        record: records.to_vec(),
        file: files.to_vec(),
        out: directory.path().join("proof"),
    };
    let code = run_prove(&args, &mut Vec::new()).unwrap_or_else(|error| error.exit_code());
    Made { directory, code }
}

fn usual(archive: &Archive) -> Made {
    let records = [format!("{}:2", CONVERSATIONS[0]), format!("{}:21", CONVERSATIONS[1])];
    let made = prove(archive, &records, &[attachment_name(3), segment_name(4)]);
    assert_eq!(made.code, 0);
    made
}

#[test]
fn a_proof_holds_without_the_archive_and_has_nothing_else_in_it() {
    let archive = Archive::usual(Layout::Folders);
    let made = usual(&archive);
    let text = fs::read_to_string(made.path().join("line-0.json")).unwrap();
    assert!(text.contains("\"message\":\"message 1 of aaaa in 1\"") && text.contains("\"seq\":2"), "{text}");
    let all: Vec<u8> = fs::read_dir(made.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .flat_map(|path| fs::read(path).unwrap())
        .collect();
    assert!(!String::from_utf8(all).unwrap().contains("in 6\""), "a record of another file");
    let (options, with_head) = (options(&archive), with_head(&archive));
    drop(archive);
    for (options, head) in [(options, "none"), (with_head, "given")] {
        let report = made.verify(&options);
        assert!(report.findings.is_empty(), "{:#?}", report.findings);
        assert_eq!((report.verdict.exit_code(), report.assurance.head), (0, head));
        assert_eq!((report.totals.records, report.totals.attachments), (2, 2));
    }
}

#[test]
fn one_bit_changed_anywhere_breaks_a_proof() {
    let archive = Archive::usual(Layout::Flat);
    let made = usual(&archive);
    let names: Vec<PathBuf> = fs::read_dir(made.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    for path in
        names.iter().filter(|path| path.is_file() && !path.ends_with("README.txt") && !path.ends_with("proof.json"))
    {
        let right = fs::read(path).unwrap();
        for at in [0, right.len() / 2, right.len() - 1] {
            let mut wrong = right.clone();
            wrong[at] ^= 4;
            fs::write(path, wrong).unwrap();
            assert_eq!(made.verify(&options(&archive)).verdict.exit_code(), 1, "{} at {at}", path.display());
        }
        fs::write(path, right).unwrap();
    }
    assert_eq!(made.verify(&options(&archive)).verdict.exit_code(), 0);
    let proof = fs::read_to_string(made.path().join("proof.json")).unwrap();
    for (from, to) in
        [("\"index\": 1", "\"index\": 2"), ("\"line-0.json\"", "\"line-1.json\""), ("\"line-0.json\"", "\"../line\"")]
    {
        assert!(proof.contains(from), "{from}");
        fs::write(made.path().join("proof.json"), proof.replacen(from, to, 1)).unwrap();
        assert_eq!(made.verify(&options(&archive)).verdict.exit_code(), 1, "{from}");
    }
}

#[test]
fn a_proof_of_another_key_is_not_the_key_owner_s() {
    let archive = Archive::usual(Layout::Flat);
    let made = usual(&archive);
    let other = Archive::empty(9);
    let report = made.verify(&options(&other));
    assert!(causes(&report).iter().all(|(code, _)| *code == Code::WrongKey) && report.verdict.exit_code() == 1);
    let own = made.verify(&Options { keys: Vec::new(), ..options(&other) });
    assert_eq!((own.verdict.exit_code(), own.assurance.key), (0, "self-asserted"));
}

#[test]
fn what_cannot_be_proved_is_refused() {
    let mut archive = Archive::usual(Layout::Flat);
    assert_eq!(prove(&archive, &["aaaa".to_owned()], &[]).code, 78);
    assert_eq!(prove(&archive, &["aaaa:9999".to_owned()], &[]).code, 1);
    assert_eq!(prove(&archive, &[], &["nothing.pdf".to_owned()]).code, 1);
    archive.segment();
    assert_eq!(prove(&archive, &[], &[segment_name(8)]).code, 1, "no head covers it yet");
    archive.change(&segment_name(1), |bytes| bytes[4] ^= 1);
    assert_eq!(prove(&archive, &["aaaa:1".to_owned()], &[]).code, 1);
    archive.remove(&attachment_name(1));
    assert_eq!(prove(&archive, &[], &[attachment_name(1)]).code, 1);
    archive.remove(&archive.entry_path(4));
    assert_eq!(prove(&archive, &[], &[segment_name(5)]).code, 1);
}
