//! `export.json`: what was asked for, what came out, and what did not.

use std::io::Write as _;

use jiff::Timestamp;
use retaind_reader::source::{Archive, BadLine, Place};
use serde_json::{Value, json};

use crate::args::ExportArgs;
use crate::error::Error;
use crate::ledger::{Ledger, Wanted};
use crate::output::Output;
use crate::plan::Plan;
use crate::slice::Slice;

/// Version of the manifest's shape.
const FORMAT: &str = "retaind-export/1";
/// Name of the manifest.
pub(crate) const NAME: &str = "export.json";

/// Files of records, as far as they are exported.
#[derive(Debug, Default)]
pub(crate) struct Files {
    wanted: u64,
    /// A record has several.
    missing: Vec<Value>,
    different: Vec<Value>,
}

impl Files {
    /// Those of a slice, which are hashed if a format takes them.
    pub(crate) fn add(&mut self, slice: &mut Slice<'_>, hashed: bool) -> Result<(), Error> {
        let archive = slice.context.survey.archive();
        for ((file, line), attachments) in &mut slice.attachments {
            let place = Place { file: *file, line: *line, offset: 0, bytes: 0 };
            for attachment in attachments {
                self.wanted = self.wanted.saturating_add(1);
                let of = |why: &str, value: &str| json!({"record": archive.shown(place), "name": attachment.original, why: value});
                if let Some(reason) = attachment.reason() {
                    self.missing.push(of("reason", reason));
                }
                if !hashed {
                    continue;
                }
                attachment.hash()?;
                if attachment.is_different() {
                    let of = json!({"record": archive.shown(place), "name": attachment.original,
                        "sha256": attachment.sha256, "expected": attachment.claimed});
                    self.different.push(of);
                }
            }
        }
        Ok(())
    }

    /// Is one missing, or another than its record says?
    pub(crate) fn has_findings(&self) -> bool {
        !self.missing.is_empty() || !self.different.is_empty()
    }

    fn shown(&self) -> Value {
        let missing = u64::try_from(self.missing.len()).unwrap_or(u64::MAX);
        json!({"in": self.wanted, "out": self.wanted.saturating_sub(missing), "missing": self.missing,
            "different": self.different})
    }
}

fn bad_lines(archive: &Archive, bad: &[BadLine]) -> Value {
    let of = |line: &BadLine| json!({"record": archive.shown(line.place), "reason": line.fault.to_string()});
    bad.iter().map(of).collect::<Vec<_>>().into()
}

/// The filter and the options, as they were given.
fn query(args: &ExportArgs) -> Value {
    let filter = &args.filter;
    let name = |value: &dyn std::fmt::Debug| format!("{value:?}").to_lowercase();
    json!({
        "person": filter.person, "role": name(&filter.role), "conversation": filter.conversation,
        "title_regex": filter.title_regex, "kind": filter.kind.iter().map(|kind| kind.name()).collect::<Vec<_>>(),
        "from": filter.from, "to": filter.to, "time": name(&filter.time), "backdated": filter.backdated,
        "type": filter.types, "text": filter.text, "regex": filter.regex, "ignore_case": filter.ignore_case,
        "word": filter.word, "has": filter.has.iter().map(|has| name(has)).collect::<Vec<_>>(),
        "file_name": filter.file_name, "file_hash": filter.file_hash, "file_size": filter.file_size,
        "file_type": filter.file_type, "guest": filter.guest, "sender_network": filter.sender_network,
        "device": filter.device, "receipts": args.receipts, "all": args.all, "guard": !args.no_guard,
        "slice": args.slice.name(), "split": args.split,
    })
}

/// What the manifest is made of.
pub(crate) struct Account<'a> {
    pub args: &'a ExportArgs,
    pub at: Timestamp,
    pub archive: &'a Archive,
    pub plan: &'a Plan,
    pub files: &'a Files,
    pub ledger: Ledger,
    pub wanted: Wanted,
}

/// Settles the account and writes the manifest. It fails, and there is none, if a record is neither written nor excluded.
pub(crate) fn write(account: Account<'_>, output: &mut Output) -> Result<crate::ledger::Counts, Error> {
    let Account { args, at, archive, plan, files, ledger, wanted } = account;
    let mut part = output.part(NAME)?;
    let path = part.path().to_owned();
    let failed = |source| Error::write(&path)(source);
    let source: Vec<String> = archive.files().iter().map(|file| file.name.clone()).collect();
    let (slices, parts) = plan.counts();
    let head = json!({
        "bad_lines": bad_lines(archive, &wanted.bad),
        "exported_at": at.to_string(),
        "format": FORMAT,
        "formats": args.format.iter().map(|format| format.name()).collect::<Vec<_>>(),
        "matter": args.matter,
        "passed_over": archive.passed_over().iter().map(|path| path.display().to_string()).collect::<Vec<_>>(),
        "query": query(args),
        "attachments": files.shown(),
        "slices": slices,
        "parts": parts,
        "source": source,
        "tz": args.filter.tz,
        "verification": "not run: verify the archive by itself",
        "files": output.written().iter().map(|file| json!({"path": file.path, "bytes": file.bytes, "sha256": file.sha256}))
            .collect::<Vec<_>>(),
    });
    let head = head.to_string();
    // one object, with the exclusions written as they come: they may be as many as the records
    write!(part, "{},\n\"excluded\":[", head.strip_suffix('}').unwrap_or(&head)).map_err(failed)?;
    let mut between = "\n";
    let counts = ledger.settle(
        wanted,
        |place| archive.shown(place),
        |exclusion| {
            let one = json!({"record": archive.shown(exclusion.place), "type": exclusion.kind,
                "format": exclusion.format.name(), "reason": exclusion.reason.words()});
            let done = write!(part, "{between}{one}").map_err(failed);
            between = ",\n";
            done
        },
    )?;
    let shown = serde_json::to_string(&counts).unwrap_or_default();
    writeln!(part, "\n],\n\"counts\":{shown}}}").map_err(failed)?;
    output.finish(part)?;
    Ok(counts)
}
