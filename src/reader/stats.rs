//! `stats`: how much there is, by day, person, type and conversation.
//!
//! One pass; memory grows with the number of days, persons and conversations. Records are counted as they lie: one that is there
//! twice counts twice (`ls --gaps` names it).

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};

use crate::command::{AttachmentsArgs, Error, Exit, Run, SourceArgs, survey};
use crate::filter::{FileFacts, Filter, FilterArgs, Survey};
use crate::membership::Moment;
use crate::output::{Format, OutputArgs, Sheet};
use crate::record::{Body, Kind, Record};
use crate::source::{Archive, BadLine, Entry, Places};
use crate::words::day;

/// Rows of a section in a table, unless given.
const TOP_SHOWN: usize = 20;

/// Its arguments.
#[derive(Debug, Clone, Default, Args)]
pub struct StatsArgs {
    /// Where the archive is.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Where its attachments are besides.
    #[command(flatten)]
    pub attachments: AttachmentsArgs,
    /// Which records.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Only the N persons and conversations with the most records; 20 in a table, all elsewhere, unless given
    #[arg(long, value_name = "N")]
    pub top: Option<usize>,
    /// Another archive, a replica: only what differs is printed, and the exit code is 1 if anything does
    #[arg(long, value_name = "OTHER")]
    pub compare: Option<std::path::PathBuf>,
    /// Form of the output.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Records and the bytes of their lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Count {
    records: u64,
    bytes: u64,
}

/// How often each number came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Histogram(BTreeMap<u64, u64>);

impl Histogram {
    fn add(&mut self, value: u64) {
        let count = self.0.entry(value).or_default();
        *count = count.saturating_add(1);
    }

    /// The lower one of two in the middle.
    fn median(&self) -> Option<u64> {
        let all: u64 = self.0.values().sum();
        let mut left = all.div_ceil(2);
        for (value, count) in &self.0 {
            left = left.saturating_sub(*count);
            if left == 0 {
                return Some(*value);
            }
        }
        None
    }
}

/// What was counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Totals {
    sections: BTreeMap<(&'static str, String), Count>,
    sums: BTreeMap<&'static str, u64>,
    text_chars: Histogram,
    file_bytes: Histogram,
}

impl Totals {
    fn sum(&mut self, name: &'static str, add: u64) {
        let sum = self.sums.entry(name).or_default();
        *sum = sum.saturating_add(add);
    }

    fn add(&mut self, record: &Record, filter: &Filter) {
        let bytes = u64::try_from(record.raw.len()).unwrap_or(u64::MAX).saturating_add(1);
        let keys = [
            ("day", day(record.at(filter.clock()), filter.zone())),
            ("person", record.sender.clone()),
            ("type", record.kind().name().to_owned()),
            ("msgtype", record.msgtype.to_string()),
            ("conversation", record.conversation.clone()),
        ];
        for key in keys {
            let count = self.sections.entry(key).or_default();
            count.records = count.records.saturating_add(1);
            count.bytes = count.bytes.saturating_add(bytes);
        }
        self.sum("records", 1);
        self.sum("bytes", bytes);
        self.sum("backdated", u64::from(record.is_backdated()));
        self.sum("guests", u64::from(record.is_guest()));
        let named = [(Kind::Edit, "edits"), (Kind::Recall, "recalls"), (Kind::Unreadable, "unreadable")];
        for (kind, name) in named {
            self.sum(name, u64::from(record.kind() == kind));
        }
        if let Body::Hole { from_seq, to_seq, .. } = &record.body {
            self.sum("holes", 1);
            self.sum("missing_messages", to_seq.saturating_sub(*from_seq).saturating_add(1));
        }
        if let Body::Text(text) = &record.body {
            self.text_chars.add(u64::try_from(text.text.chars().count()).unwrap_or(u64::MAX));
        }
        if let Some(file) = record.file() {
            self.sum("attachments", 1);
            self.sum("missing_files", u64::from(!file.is_saved()));
            if let Some(size) = FileFacts::of(record).and_then(|facts| facts.size) {
                self.sum("attachment_bytes", size);
                self.file_bytes.add(size);
            }
        }
    }

    /// Rows of all sections: section, key, records, bytes. Records of a total are its number.
    fn rows(&self, top: usize) -> Vec<(&'static str, String, Count)> {
        let total = |name: &str, records| ("total", name.to_owned(), Count { records, bytes: 0 });
        let mut rows: Vec<_> = SUMS.iter().map(|name| total(name, self.sums.get(name).copied().unwrap_or(0))).collect();
        let distinct = |section| self.sections.keys().filter(|(of, _)| *of == section).count();
        for (name, section) in [("persons", "person"), ("conversations", "conversation"), ("days", "day")] {
            rows.push(total(name, u64::try_from(distinct(section)).unwrap_or(u64::MAX)));
        }
        let mut by_day = Histogram::default();
        let days = self.sections.iter().filter(|((section, _), _)| *section == "day");
        days.for_each(|(_, count)| by_day.add(count.records));
        let medians =
            [("median_day", &by_day), ("median_text_chars", &self.text_chars), ("median_file_bytes", &self.file_bytes)];
        for (name, histogram) in medians {
            rows.extend(histogram.median().map(|median| total(name, median)));
        }
        for section in ["day", "type", "msgtype", "person", "conversation"] {
            let of = self.sections.iter().filter(|((name, _), _)| *name == section);
            let mut of: Vec<_> = of.map(|((_, key), count)| (section, key.clone(), *count)).collect();
            if matches!(section, "person" | "conversation") {
                of.sort_by_key(|(_, key, count)| (std::cmp::Reverse(count.records), key.clone()));
                of.truncate(top);
            }
            rows.extend(of);
        }
        rows
    }
}

/// Totals that are always there, in this order.
const SUMS: [&str; 12] = [
    "records",
    "bytes",
    "attachments",
    "attachment_bytes",
    "missing_files",
    "unreadable",
    "holes",
    "missing_messages",
    "edits",
    "recalls",
    "guests",
    "backdated",
];

fn totals(survey: &Survey<'_>, args: &StatsArgs, run: &mut Run<'_>) -> Result<Totals, Error> {
    let archive = survey.archive();
    let mut totals = Totals::default();
    let mut bad: Vec<BadLine> = Vec::new();
    let mut progress = run.progress(&args.source, "counting", archive);
    for entry in archive.entries() {
        match entry? {
            Entry::Record(place, record) => {
                progress.add(u64::from(place.bytes).saturating_add(1));
                if survey.matches(&record, place) {
                    totals.add(&record, survey.filter());
                }
            }
            Entry::Bad(line) => bad.push(line),
        }
    }
    progress.finish();
    run.note_bad(archive, &bad)?;
    Ok(totals)
}

/// Runs it.
pub(crate) fn run(args: &StatsArgs, run: &mut Run<'_>) -> Result<Exit, Error> {
    let (archive, filter) = run.begin(&args.source, &args.attachments.attachments, &args.filter)?;
    let survey = survey(&archive, &filter, false)?;
    let format = run.format(&args.output);
    let ours = totals(&survey, args, run)?;
    let Some(other) = &args.compare else {
        let top = args.top.unwrap_or(if format == Format::Table { TOP_SHOWN } else { usize::MAX });
        print(&ours, top, &survey, format, run)?;
        run.sum_up_bad()?;
        return Ok(Exit::Done);
    };
    let places = Places { attachments: Vec::new(), work: args.source.work.clone() };
    let replica = Archive::open(std::slice::from_ref(other), places)?;
    run.note_passed_over(&replica)?;
    let theirs = totals(&crate::command::survey(&replica, &filter, false)?, args, run)?;
    run.sum_up_bad()?;
    compare(&ours, &theirs, format, run)
}

fn print(totals: &Totals, top: usize, survey: &Survey<'_>, format: Format, run: &mut Run<'_>) -> Result<(), Error> {
    let title = |section, key: &str| match section {
        "conversation" => survey.membership().shown_title(key, Moment::MAX),
        "person" => survey.filter().people().display(key).unwrap_or_default().to_owned(),
        _ => String::new(),
    };
    let rows = totals.rows(top);
    if format == Format::Json {
        let mut object = serde_json::Map::new();
        for (section, key, count) in rows {
            let value = match section {
                "total" => json!(count.records),
                _ => json!({"records": count.records, "bytes": count.bytes, "name": title(section, &key)}),
            };
            let section = object.entry(section).or_insert_with(|| json!({}));
            if let Some(section) = section.as_object_mut() {
                section.insert(key, value);
            }
        }
        return Ok(writeln!(run.out, "{}", Value::Object(object))?);
    }
    let mut sheet = Sheet::new(&mut *run.out, format, &["section", "key", "records", "bytes", "name"])?;
    for (section, key, count) in rows {
        let bytes = if section == "total" { Value::Null } else { count.bytes.into() };
        let name = title(section, &key);
        sheet.row(&[section.into(), key.into(), count.records.into(), bytes, name.into()])?;
    }
    Ok(sheet.finish()?)
}

fn compare(ours: &Totals, theirs: &Totals, format: Format, run: &mut Run<'_>) -> Result<Exit, Error> {
    let by_key = |totals: &Totals| -> BTreeMap<(&'static str, String), Count> {
        totals.rows(usize::MAX).into_iter().map(|(section, key, count)| ((section, key), count)).collect()
    };
    let (ours, theirs) = (by_key(ours), by_key(theirs));
    let columns = ["section", "key", "records", "records_other", "bytes", "bytes_other"];
    let mut sheet = Sheet::new(&mut *run.out, format, &columns)?;
    let keys: std::collections::BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    let mut exit = Exit::Done;
    for key in keys {
        let of = |counts: &BTreeMap<_, Count>| counts.get(key).copied().unwrap_or_default();
        let (one, other) = (of(&ours), of(&theirs));
        if one != other {
            exit = Exit::Findings;
            let (section, name) = key;
            sheet.row(&[
                (*section).into(),
                name.clone().into(),
                one.records.into(),
                other.records.into(),
                one.bytes.into(),
                other.bytes.into(),
            ])?;
        }
    }
    sheet.finish()?;
    Ok(exit)
}
