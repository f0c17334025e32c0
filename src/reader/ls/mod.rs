//! `ls`: what is in the archive: message files, conversations, people, attachments, gaps.

mod attachments;
mod conversations;
mod gaps;
mod people;
mod segments;

#[cfg(test)]
mod tests;

use clap::Args;

use crate::command::{Error, Exit, Run, SourceArgs, survey};
use crate::filter::{FilterArgs, Survey};
use crate::output::{Format, OutputArgs};
use crate::record::Record;
use crate::source::{BadLine, Entry, Place};

/// Its arguments. The lists take the names of two options, so that `--people FILE.csv` is `--people-file` here.
#[derive(Debug, Clone, Default, Args)]
#[command(mut_arg("people", |people| people.long("people-file")))]
pub struct LsArgs {
    /// Where the archive is.
    #[command(flatten)]
    pub source: SourceArgs,
    /// What is listed; message files unless given.
    #[command(flatten)]
    pub what: WhatArgs,
    /// Which records.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Form of the output.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What is listed: one of these, or message files.
#[derive(Debug, Clone, Default, Args)]
#[group(multiple = false)]
#[command(next_help_heading = "Lists")]
pub struct WhatArgs {
    /// Conversations: kind, titles over time, members now, first and last record, holes
    #[arg(long)]
    pub conversations: bool,
    /// People: first and last seen, records by type, conversations
    #[arg(id = "list_people", long = "people")]
    pub people: bool,
    /// Attachments: name, size, hash, whether they are in the archive
    #[arg(long)]
    pub attachments: bool,
    /// Messages that are missing in a conversation, declared holes, and places that are recorded twice. Exit code 1 if there are any
    #[arg(long)]
    pub gaps: bool,
}

/// What the lists have in common.
pub(crate) struct Listing<'a, 'r> {
    pub args: &'a LsArgs,
    pub survey: &'a Survey<'a>,
    pub format: Format,
    pub run: &'a mut Run<'r>,
}

impl Listing<'_, '_> {
    /// Every record that the filter wants.
    fn each(&mut self, mut take: impl FnMut(Place, &Record)) -> Result<(), Error> {
        let survey = self.survey;
        self.every(|place, record| {
            if survey.matches(record, place) {
                take(place, record);
            }
        })
    }

    /// Every record.
    fn every(&mut self, mut take: impl FnMut(Place, &Record)) -> Result<(), Error> {
        let archive = self.survey.archive();
        let mut bad: Vec<BadLine> = Vec::new();
        let mut progress = self.run.progress(&self.args.source, "listing", archive);
        for entry in archive.entries() {
            match entry? {
                Entry::Record(place, record) => {
                    progress.add(u64::from(place.bytes).saturating_add(1));
                    take(place, &record);
                }
                Entry::Bad(line) => bad.push(line),
            }
        }
        progress.finish();
        self.run.note_bad(archive, &bad)
    }
}

/// Runs it.
pub(crate) fn run(args: &LsArgs, run: &mut Run<'_>) -> Result<Exit, Error> {
    let (archive, filter) = run.begin(&args.source, &[], &args.filter)?;
    let survey = survey(&archive, &filter, false)?;
    let format = run.format(&args.output);
    let mut listing = Listing { args, survey: &survey, format, run };
    let what = &args.what;
    let exit = if what.conversations {
        conversations::list(&mut listing).map(|()| Exit::Done)
    } else if what.people {
        people::list(&mut listing).map(|()| Exit::Done)
    } else if what.attachments {
        attachments::list(&mut listing).map(|()| Exit::Done)
    } else if what.gaps {
        gaps::list(&mut listing)
    } else {
        segments::list(&mut listing).map(|()| Exit::Done)
    }?;
    run.sum_up_bad()?;
    Ok(exit)
}
