//! What a verification promises, on archives that are made and then damaged.
#![allow(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "a test's own numbers are small")]

mod archive;
mod campaign;
mod logs;
mod options;
mod prove;
mod table;

use jiff::Timestamp;

use crate::finding::Code;
use crate::heads::GivenHead;
use crate::judge::{Options, verify};
use crate::report::Report;
use crate::source::Directories;
use archive::Archive;

/// Soon after the newest entry.
fn now() -> Timestamp {
    archive::time(4000)
}

fn options(archive: &Archive) -> Options {
    Options {
        keys: vec![archive.vkey.clone()],
        heads: Vec::new(),
        range: crate::Range::default(),
        depth: crate::Depth::Lines,
        max_age: None,
        require: Vec::new(),
    }
}

fn with_head(archive: &Archive) -> Options {
    let head = GivenHead { object: "head".to_owned(), note: archive.head.clone() };
    Options { heads: vec![head], ..options(archive) }
}

fn judge(archive: &Archive, options: &Options) -> Report {
    let source = Directories::new(&[archive.root.path().to_owned()], &[]);
    verify(&source, options, now(), "retaind").unwrap()
}

/// Codes and objects of the causes that are not harmless.
fn causes(report: &Report) -> Vec<(Code, String)> {
    let bad = report.causes().filter(|finding| finding.severity < crate::Severity::Info);
    bad.map(|finding| (finding.code, finding.object.clone())).collect()
}
