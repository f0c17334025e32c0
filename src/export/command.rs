//! `export`: reads the archive, hands each slice to each format, and settles the account.

use std::io::Write;

use jiff::Timestamp;
use retaind_core::text::shown;
use retaind_reader::Exit;
use retaind_reader::filter::{Filter, Survey};
use retaind_reader::people::People;
use retaind_reader::source::Archive;

use crate::actiance::Dumps;
use crate::args::ExportArgs;
use crate::csv::{Guard, Table};
use crate::eml::Mails;
use crate::error::Error;
use crate::html::Pages;
use crate::jsonl::Lines;
use crate::ledger::{Counts, Ledger, Wanted};
use crate::manifest::{self, Account, Files};
use crate::output::Output;
use crate::plan::Plan;
use crate::rsmf::ShortMessages;
use crate::slice::{Context, Slice};
use crate::table::{Format, Wishes};
use crate::writer::Writer;

/// Bad lines that are named; all are in the manifest.
const NAMED_MAX: usize = 100;

/// Exports. `at` is the time that the manifest gives, and the only clock. Words for people go to `err`.
///
/// The exit is [`Exit::Findings`] if there were bad lines, missing files, or files that are not what their record says: all are
/// listed in the manifest.
pub fn export(args: &ExportArgs, at: Timestamp, err: &mut dyn Write) -> Result<Exit, Error> {
    let filter = Filter::new(&args.filter)?;
    let mut formats = args.format.clone();
    formats.sort();
    formats.dedup();
    if formats.is_empty() {
        return Err(Error::Usage("no `--format` is given"));
    }
    let archive = args.source.open(&args.attachments.attachments)?;
    let survey = Survey::of(&archive, &filter)?;
    let mut output = Output::create(&args.out)?;
    let mut context = context(args, &survey)?;
    let wanted = Wanted::of(&survey)?;
    let plan = Plan::of(&mut context, args.slice)?;
    let mut ledger = Ledger::new(archive.work(), &formats);
    let mut writers = Vec::new();
    for format in &formats {
        writers.push((*format, begin(*format, args, &output)?));
    }
    let (mut files, hashed) = (Files::default(), formats.iter().any(|format| format.has_attachments()));
    plan.fill(&context, |mut slice| {
        files.add(&mut slice, hashed)?;
        for (format, writer) in &mut writers {
            writer.slice(&slice, &mut output)?;
            note(&slice, *format, &mut ledger)?;
        }
        Ok(())
    })?;
    for (_, writer) in writers {
        writer.finish(&mut output)?;
    }
    let bad = report_bad(&archive, &wanted, err)?;
    let account = Account { args, at, archive: &archive, plan: &plan, files: &files, ledger, wanted };
    let counts = manifest::write(account, &mut output)?;
    report(&counts, err)?;
    let has_findings = files.has_findings() || bad > 0 && !args.source.allow_bad_lines;
    Ok(if has_findings { Exit::Findings } else { Exit::Done })
}

fn context<'a>(args: &ExportArgs, survey: &'a Survey<'a>) -> Result<Context<'a>, Error> {
    let zone = survey.filter().zone().clone();
    let people = args.filter.people.as_deref().map(|path| People::read(path, &zone)).transpose()?.unwrap_or_default();
    let custodian = match args.filter.person.as_slice() {
        [only] if !only.starts_with('@') => Some(only.clone()),
        [] | [_] | [_, _, ..] => None,
    };
    Ok(Context {
        survey,
        zone,
        zone_name: if args.filter.tz.is_empty() { "UTC".to_owned() } else { args.filter.tz.clone() },
        clock: survey.filter().clock(),
        people,
        wishes: Wishes { receipts: args.receipts, all: args.all },
        matter: args.matter.clone(),
        custodian,
    })
}

fn begin(format: Format, args: &ExportArgs, output: &Output) -> Result<Box<dyn Writer>, Error> {
    let guard = if args.no_guard { Guard::None } else { Guard::Apostrophe };
    Ok(match format {
        Format::Raw | Format::Jsonl => Box::new(Lines::begin(output, format)?),
        Format::Csv => Box::new(Table::begin(output, guard)?),
        Format::Html => Box::new(Pages::begin()),
        Format::Eml => Box::new(Mails::begin(args.split)),
        Format::Rsmf => Box::new(ShortMessages),
        Format::Actiance => Box::new(Dumps),
    })
}

/// Enters what the format took of a slice, and what it did not.
fn note(slice: &Slice<'_>, format: Format, ledger: &mut Ledger) -> Result<(), Error> {
    let selection = slice.select(format);
    for entry in &selection.entries {
        for member in std::iter::once(&entry.member).chain(&entry.modifiers) {
            ledger.wrote(format, member.place, member.record.kind())?;
        }
    }
    for (member, reason) in &selection.excluded {
        ledger.excluded(format, member.place, member.record.kind(), *reason)?;
    }
    Ok(())
}

fn report_bad(archive: &Archive, wanted: &Wanted, err: &mut dyn Write) -> Result<usize, Error> {
    for line in wanted.bad.iter().take(NAMED_MAX) {
        writeln!(err, "{}: {}", shown(&archive.shown(line.place)), line.fault).map_err(Error::Output)?;
    }
    Ok(wanted.bad.len())
}

fn report(counts: &Counts, err: &mut dyn Write) -> Result<(), Error> {
    for (format, types) in counts {
        let sum = |field: fn(&crate::ledger::Count) -> u64| types.values().map(field).sum::<u64>();
        let (all, out, excluded) = (sum(|count| count.r#in), sum(|count| count.out), sum(|count| count.excluded));
        writeln!(err, "{format}: {all} records, {out} exported, {excluded} excluded").map_err(Error::Output)?;
    }
    Ok(())
}
