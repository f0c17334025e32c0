//! `cat`: records in order.
//!
//! In the order of conversations or of time, doubled ones once, different ones of one place marked. `--timeline` puts what changes
//! a message under it. `--raw` is the other extreme: the lines as they lie, byte for byte, and nothing else.

use clap::Args;
use serde_json::Value;

use crate::command::{AttachmentsArgs, Error, Exit, Run, SourceArgs, survey};
use crate::enrich;
use crate::filter::{FilterArgs, Survey};
use crate::output::{Format, OutputArgs, Sheet};
use crate::record::Record;
use crate::rows::{self, Row, columns};
use crate::source::{Archive, BadLine, Piece};
use crate::timeline::{Direction, Grouping, Item, Order, Timeline};

/// Its arguments.
#[derive(Debug, Clone, Default, Args)]
pub struct CatArgs {
    /// Where the archive is.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Where its attachments are besides.
    #[command(flatten)]
    pub attachments: AttachmentsArgs,
    /// The lines as they lie, byte for byte: not put in order, doubled ones as often as they are there
    #[arg(long, conflicts_with_all = ["timeline", "enrich", "order", "reverse", "format", "json"])]
    pub raw: bool,
    /// Add `_title`, `_participants`, `_state` and `_source` to each record
    #[arg(long)]
    pub enrich: bool,
    /// Put edits, reactions, recalls, deletions, receipts and stars under their message
    #[arg(long)]
    pub timeline: bool,
    /// What comes first
    #[arg(long, value_enum, default_value_t)]
    pub order: Order,
    /// The newest first
    #[arg(long)]
    pub reverse: bool,
    /// Only so many records; with `--timeline`, messages
    #[arg(long, value_name = "N")]
    pub first: Option<u64>,
    /// Which records.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Form of the output.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Runs it.
pub(crate) fn run(args: &CatArgs, run: &mut Run<'_>) -> Result<Exit, Error> {
    let (archive, filter) = run.begin(&args.source, &args.attachments.attachments, &args.filter)?;
    if args.raw {
        let survey = survey(&archive, &filter, false)?;
        raw(args, &archive, &survey, run)?;
        run.sum_up_bad()?;
        return Ok(Exit::Done);
    }
    let format = run.format(&args.output);
    let with_states = args.enrich || args.timeline || matches!(format, Format::Table | Format::Csv);
    let survey = survey(&archive, &filter, with_states)?;
    let order = Ordering {
        order: args.order,
        direction: if args.reverse { Direction::Backward } else { Direction::Forward },
        grouping: if args.timeline { Grouping::Modifiers } else { Grouping::Single },
        first: args.first,
        is_enriched: args.enrich,
    };
    in_order(&survey, &args.source, order, format, run)?;
    run.sum_up_bad()?;
    Ok(Exit::Done)
}

fn raw(args: &CatArgs, archive: &Archive, survey: &Survey<'_>, run: &mut Run<'_>) -> Result<(), Error> {
    let mut left = args.first.unwrap_or(u64::MAX);
    for file in archive.indexes() {
        let mut pieces = archive.pieces(file)?;
        while let Some(piece) = pieces.next_piece()? {
            let block = match piece {
                Piece::Block(block) => block,
                Piece::Bad(bad) => {
                    run.note_bad(archive, &[bad])?;
                    continue;
                }
            };
            for (place, line) in block.lines() {
                if left == 0 {
                    return Ok(());
                }
                match Record::parse(line) {
                    Ok(record) if survey.matches(&record, place) => {
                        left = left.saturating_sub(1);
                        run.out.write_all(line)?;
                        run.out.write_all(b"\n")?;
                    }
                    Ok(_) => {}
                    Err(fault) => run.note_bad(archive, &[BadLine { place, fault }])?,
                }
            }
        }
    }
    Ok(())
}

/// How records are put in order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ordering {
    pub order: Order,
    pub direction: Direction,
    pub grouping: Grouping,
    pub first: Option<u64>,
    pub is_enriched: bool,
}

/// Writes what the survey's filter wants. The result is the number of records, or of messages with their modifiers.
pub(crate) fn in_order(
    survey: &Survey<'_>,
    source: &SourceArgs,
    how: Ordering,
    format: Format,
    run: &mut Run<'_>,
) -> Result<u64, Error> {
    let archive = survey.archive();
    let mut progress = run.progress(source, "reading", archive);
    let seen = |bytes| progress.add(bytes);
    let mut timeline = Timeline::of(survey, how.order, how.direction, how.grouping, seen)?;
    progress.finish();
    run.note_bad(archive, timeline.bad_lines())?;
    let limit = how.first.unwrap_or(u64::MAX);
    let mut written: u64 = 0;
    if matches!(format, Format::Table | Format::Csv) {
        let mut sheet = Sheet::new(&mut *run.out, format, columns(format))?;
        while written < limit
            && let Some(item) = timeline.next_item()?
        {
            written = written.saturating_add(1);
            sheet_item(&item, survey, format, &mut sheet)?;
        }
        sheet.finish()?;
        return Ok(written);
    }
    // JSON is written line by line, so that records stay what they were
    let mut is_first = true;
    while written < limit
        && let Some(item) = timeline.next_item()?
    {
        written = written.saturating_add(1);
        let lines = match how.grouping {
            Grouping::Modifiers => vec![enrich::item(&item, survey, how.is_enriched)],
            Grouping::Single => single(&item, survey, how.is_enriched),
        };
        for line in lines {
            json_line(&line, format, is_first, run)?;
            is_first = false;
        }
    }
    if format == Format::Json {
        run.out.write_all(if is_first { b"[]\n" } else { b"\n]\n" })?;
    }
    Ok(written)
}

fn json_line(line: &str, format: Format, is_first: bool, run: &mut Run<'_>) -> Result<(), Error> {
    let (before, after) = match format {
        Format::Json if is_first => ("[\n", ""),
        Format::Json => (",\n", ""),
        Format::Jsonl | Format::Table | Format::Csv => ("", "\n"),
    };
    Ok(write!(run.out, "{before}{line}{after}")?)
}

/// The lines of records that stand by themselves.
fn single(item: &Item, survey: &Survey<'_>, is_enriched: bool) -> Vec<String> {
    let line = |member: &crate::timeline::Member| {
        let mut fields = Vec::new();
        if is_enriched {
            fields = enrich::fields(&member.record, member.place, survey, member.is_conflict);
        } else if member.is_conflict {
            fields.push(("_conflict", Value::Bool(true)));
        }
        if fields.is_empty() { member.record.raw.clone() } else { enrich::with_fields(&member.record.raw, &fields) }
    };
    item.members().map(line).collect()
}

fn sheet_item(item: &Item, survey: &Survey<'_>, format: Format, sheet: &mut Sheet<'_>) -> Result<(), Error> {
    let seq = item.message.record.seq;
    for member in item.members() {
        let under = seq.filter(|_| item.modifiers.iter().any(|modifier| std::ptr::eq(modifier, member)));
        let row = Row {
            record: &member.record,
            place: member.place,
            is_conflict: member.is_conflict,
            under,
            is_context: false,
        };
        rows::write(row, survey, format, sheet)?;
    }
    Ok(())
}
