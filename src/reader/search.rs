//! `search`: records that match, in the order in which they lie, as soon as they are found.
//!
//! The scan runs over raw blocks: a literal, or the id of a conversation, is looked for in the bytes, and only lines that have it
//! are parsed and judged. So memory is flat, and lines that cannot match are not even checked for being records; those that are
//! looked at and are none are named. `--context`, `--reverse` and `--sample` keep the places of hits, 24 bytes each.

use std::collections::{BTreeMap, BinaryHeap, HashMap};

use aws_lc_rs::digest;
use clap::Args;
use memchr::memmem::Finder;

use crate::cat::{Ordering, in_order};
use crate::command::{AttachmentsArgs, Error, Exit, Run, SourceArgs, survey};
use crate::filter::{FilterArgs, Survey};
use crate::membership::{Moment, moment};
use crate::output::{Format, OutputArgs, Sheet};
use crate::progress::Progress;
use crate::record::Record;
use crate::rows::{self, Row, columns};
use crate::source::{BadLine, Entry, Piece, Place};
use crate::timeline::{Direction, Grouping, Order};
use crate::words::day;

/// Its arguments.
#[derive(Debug, Clone, Default, Args)]
pub struct SearchArgs {
    /// Where the archive is.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Where its attachments are besides.
    #[command(flatten)]
    pub attachments: AttachmentsArgs,
    /// Which records.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Each message with its edits, reactions, recall and receipts, in the order of conversations
    #[arg(long, conflicts_with_all = ["count", "context", "after", "before", "sample"])]
    pub timeline: bool,
    /// How many by person and day, instead of the records
    #[arg(long)]
    pub count: bool,
    /// Also so many neighbours before and after each hit, in its conversation
    #[arg(long, short = 'C', value_name = "N")]
    pub context: Option<u64>,
    /// Also so many after each hit
    #[arg(long, short = 'A', value_name = "N")]
    pub after: Option<u64>,
    /// Also so many before each hit
    #[arg(long, short = 'B', value_name = "N")]
    pub before: Option<u64>,
    /// Only so many hits
    #[arg(long, value_name = "N")]
    pub first: Option<u64>,
    /// The last one first
    #[arg(long)]
    pub reverse: bool,
    /// So many hits by chance, the same ones for the same seed
    #[arg(long, value_name = "N", conflicts_with_all = ["first", "count"])]
    pub sample: Option<usize>,
    /// What the sample depends on
    #[arg(long, value_name = "S", default_value_t, requires = "sample")]
    pub seed: u64,
    /// Form of the output.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What progress says.
const DOING: &str = "searching";

/// Whether the scan goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Hit,
    Enough,
}

/// Runs it.
pub(crate) fn run(args: &SearchArgs, run: &mut Run<'_>) -> Result<Exit, Error> {
    let (archive, filter) = run.begin(&args.source, &args.attachments.attachments, &args.filter)?;
    if filter.is_empty() {
        return Err(Error::Usage(
            "a search needs a condition, `--text`, `--person` or another: `cat` prints everything",
        ));
    }
    let format = run.format(&args.output);
    let survey = survey(&archive, &filter, true)?;
    let hits = if args.timeline {
        let direction = if args.reverse { Direction::Backward } else { Direction::Forward };
        let (order, grouping, first) = (Order::Conversation, Grouping::Modifiers, args.first);
        let how = Ordering { order, direction, grouping, first, is_enriched: true };
        in_order(&survey, &args.source, how, format, run)?
    } else if args.count {
        count(args, &survey, format, run)?
    } else if args.reverse || args.sample.is_some() || around(args) != (0, 0) {
        kept(args, &survey, format, run)?
    } else {
        streamed(args, &survey, format, run)?
    };
    run.sum_up_bad()?;
    Ok(if hits == 0 { Exit::Findings } else { Exit::Done })
}

/// Neighbours before and after.
fn around(args: &SearchArgs) -> (u64, u64) {
    let both = args.context.unwrap_or_default();
    (args.before.unwrap_or(both), args.after.unwrap_or(both))
}

/// Calls `hit` with every record that matches. The result is the lines that were looked at and are no records.
fn scan(
    survey: &Survey<'_>,
    mut progress: Progress<'_>,
    mut hit: impl FnMut(Place, Record) -> Result<Next, Error>,
) -> Result<Vec<BadLine>, Error> {
    let archive = survey.archive();
    let mut bad = Vec::new();
    let literals = survey.needle().map(|needle| [Finder::new(needle.as_bytes()), Finder::new(b"\\u")]);
    'files: for file in archive.indexes() {
        let mut pieces = archive.pieces(file)?;
        let mut offset = 0;
        loop {
            let block = match pieces.next_piece()? {
                None => break,
                Some(Piece::Bad(line)) => {
                    bad.push(line);
                    continue;
                }
                Some(Piece::Block(block)) => block,
            };
            let mut look = |place, line: &[u8]| match Record::parse(line) {
                Ok(record) if survey.matches(&record, place) => hit(place, record),
                Ok(_) => Ok(Next::Hit),
                Err(fault) => {
                    bad.push(BadLine { place, fault });
                    Ok(Next::Hit)
                }
            };
            let found = match &literals {
                Some(literals) => block.lines_with(literals).map(|(place, line)| look(place, line)).find(is_end),
                None => block.lines().map(|(place, line)| look(place, line)).find(is_end),
            };
            match found {
                Some(Err(error)) => return Err(error),
                Some(Ok(_)) => break 'files,
                None => {}
            }
            progress.add(pieces.offset().saturating_sub(offset));
            offset = pieces.offset();
        }
    }
    progress.finish();
    Ok(bad)
}

fn is_end(next: &Result<Next, Error>) -> bool {
    !matches!(next, Ok(Next::Hit))
}

fn row(record: &Record, place: Place, is_context: bool) -> Row<'_> {
    Row { record, place, is_conflict: false, under: None, is_context }
}

fn streamed(args: &SearchArgs, survey: &Survey<'_>, format: Format, run: &mut Run<'_>) -> Result<u64, Error> {
    let limit = args.first.unwrap_or(u64::MAX);
    if limit == 0 {
        return Ok(0);
    }
    let mut hits: u64 = 0;
    let progress = Progress::new(args.source.progress, run.terminal, &mut *run.err, DOING, survey.archive().bytes());
    let mut sheet = Sheet::new(&mut *run.out, format, columns(format))?;
    let bad = scan(survey, progress, |place, record| {
        hits = hits.saturating_add(1);
        rows::write(row(&record, place, false), survey, format, &mut sheet)?;
        Ok(if hits < limit { Next::Hit } else { Next::Enough })
    })?;
    sheet.finish()?;
    run.note_bad(survey.archive(), &bad)?;
    Ok(hits)
}

/// A hit that is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Kept {
    /// What a sample is chosen by; 0 without one.
    lot: u64,
    place: Place,
}

fn kept(args: &SearchArgs, survey: &Survey<'_>, format: Format, run: &mut Run<'_>) -> Result<u64, Error> {
    let archive = survey.archive();
    let (before, after) = around(args);
    let mut hits: BinaryHeap<Kept> = BinaryHeap::new();
    let progress = Progress::new(args.source.progress, run.terminal, &mut *run.err, DOING, archive.bytes());
    let limit = args.first.map_or(usize::MAX, |first| usize::try_from(first).unwrap_or(usize::MAX));
    let bad = scan(survey, progress, |place, record| {
        let lot = args.sample.map_or(0, |_| lot(args.seed, &record, place));
        hits.push(Kept { lot, place });
        if args.sample.is_some_and(|sample| hits.len() > sample) {
            hits.pop();
        }
        // of the last ones first, all have to be known
        Ok(if hits.len() < limit || args.reverse { Next::Hit } else { Next::Enough })
    })?;
    run.note_bad(archive, &bad)?;
    let mut places: Vec<Place> = hits.into_iter().map(|hit| hit.place).collect();
    places.sort_unstable();
    if args.reverse {
        places.reverse();
        places.truncate(limit);
    }
    let count = u64::try_from(places.len()).unwrap_or(u64::MAX);
    let mut all: BTreeMap<Place, bool> = places.iter().map(|place| (*place, false)).collect();
    if (before, after) != (0, 0) {
        for place in neighbours(survey, &places, before, after)? {
            all.entry(place).or_insert(true);
        }
    }
    let mut sheet = Sheet::new(&mut *run.out, format, columns(format))?;
    let mut write = |(place, is_context): (&Place, &bool)| -> Result<(), Error> {
        let record = archive.record(*place)?;
        Ok(rows::write(row(&record, *place, *is_context), survey, format, &mut sheet)?)
    };
    if args.reverse {
        all.iter().rev().try_for_each(&mut write)?
    } else {
        all.iter().try_for_each(&mut write)?
    }
    sheet.finish()?;
    Ok(count)
}

/// The number that a record draws: the least ones are the sample, whatever the order of the files.
fn lot(seed: u64, record: &Record, place: Place) -> u64 {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&seed.to_be_bytes());
    context.update(record.conversation.as_bytes());
    context.update(&moment(record, place).to_be_bytes());
    context.finish().as_ref().first_chunk().map_or(0, |head| u64::from_be_bytes(*head))
}

/// Places of the records around these, by their `seq`.
fn neighbours(survey: &Survey<'_>, places: &[Place], before: u64, after: u64) -> Result<Vec<Place>, Error> {
    let archive = survey.archive();
    let mut wanted: HashMap<String, Vec<(Moment, Moment)>> = HashMap::new();
    for place in places {
        let record = archive.record(*place)?;
        let at = moment(&record, *place);
        wanted.entry(record.conversation).or_default().push((at.saturating_sub(before), at.saturating_add(after)));
    }
    for spans in wanted.values_mut() {
        spans.sort_unstable();
    }
    let is_wanted = |record: &Record, place| {
        let at = moment(record, place);
        let Some(spans) = wanted.get(&record.conversation) else { return false };
        // spans have one length: the last one that begins before reaches furthest
        let begun = spans.partition_point(|(from, _)| *from <= at);
        begun.checked_sub(1).and_then(|last| spans.get(last)).is_some_and(|(_, to)| at <= *to)
    };
    let mut found = Vec::new();
    for entry in archive.entries() {
        if let Entry::Record(place, record) = entry?
            && is_wanted(&record, place)
        {
            found.push(place);
        }
    }
    Ok(found)
}

fn count(args: &SearchArgs, survey: &Survey<'_>, format: Format, run: &mut Run<'_>) -> Result<u64, Error> {
    let filter = survey.filter();
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    let progress = Progress::new(args.source.progress, run.terminal, &mut *run.err, DOING, survey.archive().bytes());
    let bad = scan(survey, progress, |_, record| {
        let day = day(record.at(filter.clock()), filter.zone());
        let of = counts.entry((record.sender, day)).or_default();
        *of = of.saturating_add(1);
        Ok(Next::Hit)
    })?;
    run.note_bad(survey.archive(), &bad)?;
    let mut sheet = Sheet::new(&mut *run.out, format, &["sender", "day", "records"])?;
    for ((sender, day), records) in &counts {
        sheet.row(&[sender.clone().into(), day.clone().into(), (*records).into()])?;
    }
    sheet.finish()?;
    Ok(counts.values().sum())
}
