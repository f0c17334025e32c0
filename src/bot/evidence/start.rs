//! The start of a run: the log continues, begins, or ends.

use std::path::Path;

use retaind_evidence::entry::{GenesisBecause, PreviousLog};
use retaind_state::{Store, StoreError};

use super::log::Before;
use super::publish::before;
use super::{Account, Attestor, Evidence, EvidenceError, Settings};
use crate::disk::Disk;
use crate::segment::{Place, SegmentRow};

/// What a start has to look at.
pub(crate) struct Found<'a> {
    /// Where message files are.
    pub(crate) place: &'a Place,
    /// The one that is written to.
    pub(crate) open: &'a SegmentRow,
    /// The bot's clock, microseconds since 1970.
    pub(crate) now: i64,
}

/// The log of this run, with the account of the open file; published when this returns.
pub(crate) fn start(
    store: &mut Store,
    disk: &dyn Disk,
    found: &Found<'_>,
    settings: &Settings,
    who: Attestor,
) -> Result<(Evidence, Account), EvidenceError> {
    let Found { place, open, now } = found;
    let (account, whole) = Account::reread(disk, &place.open(), open)?;
    let log = match Evidence::load(store, Some(settings), who)? {
        Ok(log) if log.is_closed() => {
            let previous = log.as_previous()?;
            begin(store, disk, found, (log.into_attestor(), settings), Some((GenesisBecause::FirstStart, previous)))?
        }
        Ok(mut log) => {
            log.make_directories(disk)?;
            let forked = match log.publish(store, disk) {
                Ok(()) => log.is_forked(store, disk)?,
                Err(EvidenceError::Forked { .. }) => true,
                Err(error) => return Err(error),
            };
            if forked {
                log.report_fork("another copy of this bot's state has continued it; a new chain begins");
                let previous = log.as_previous()?;
                store.write::<_, StoreError>(|tx| tx.execute("DELETE FROM evidence_object", []))?;
                begin(
                    store,
                    disk,
                    found,
                    (log.into_attestor(), settings),
                    Some((GenesisBecause::StateOlder, previous)),
                )?
            } else {
                let name = place.open();
                let altered = name.file_name().and_then(|name| name.to_str()).filter(|_| !whole);
                if let Some(file) = altered {
                    tracing::error!(file, "the open message file was changed while the bot did not run");
                }
                store.write(|tx| log.resume(tx, *now, altered))?;
                log
            }
        }
        Err(who) => begin(store, disk, found, (who, settings), None)?,
    };
    log.publish(store, disk)?;
    tracing::info!(log = %log.id(), entries = log.size(), key = %log.vkey(), "the archive is attested");
    Ok((log, account))
}

/// Evidence is switched off: a log that is open ends, so that nobody takes the silence for an archive without messages.
pub(crate) fn end(store: &mut Store, disk: &dyn Disk, now: i64, who: Attestor) -> Result<(), EvidenceError> {
    let Ok(mut log) = Evidence::load(store, None, who)? else { return Ok(()) };
    if !log.is_closed() {
        store.write(|tx| log.close(tx, now))?;
        tracing::warn!(log = %log.id(), "evidence is off: its chain ends here, and from now on nothing proves the archive");
    }
    log.make_directories(disk)?;
    log.publish(store, disk)
}

fn begin(
    store: &mut Store,
    disk: &dyn Disk,
    found: &Found<'_>,
    (who, settings): (Attestor, &Settings),
    earlier: Option<(GenesisBecause, PreviousLog)>,
) -> Result<Evidence, EvidenceError> {
    let directory: &Path = &settings.directory;
    disk.make_dir(directory)?;
    let sealed = store.rows("SELECT count(*) FROM segment WHERE state='sealed'", |row| row.get::<_, u64>(0))?;
    let sealed_here = sealed.iter().any(|sealed| *sealed > 0);
    let before = before(disk, directory, found.place, sealed_here)?;
    let before = match earlier {
        Some((because, log)) => Before { because, log: Some(log), ..before },
        None => before,
    };
    let mut log = Evidence::begin(settings, who, found.now)?;
    log.make_directories(disk)?;
    store.write(|tx| log.first(tx, found.now, before))?;
    log.report_key();
    Ok(log)
}
