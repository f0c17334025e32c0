//! Message files: rotation, names, and what a crash at any step leaves.
//!
//! The bot's state is modelled by [`State`]: rows and a cursor that change together or not at all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use retaind::bot::disk::{Disk, DiskCall, RealDisk};
use retaind::bot::segment::{
    Basename, Place, Recovery, RotationLimits, SegmentError, SegmentRow, SegmentState, Segments, WRITE_BYTES, chained,
};
use retaind::core::fault::{self, Faulty};

use crate::support::committed;
use crate::support::disk::{Done, Fault, FaultyDisk};
use crate::support::sim::disk::SimDisk;

const SECOND: i64 = 1_000_000;
/// 2023-08-04 19:10:58 UTC
const NOON: i64 = 1_691_176_258 * SECOND;

fn place(dir: &Path) -> Place {
    Place { dir: dir.to_path_buf(), basename: Basename::new("m").unwrap() }
}

fn policy(size_max: u64) -> RotationLimits {
    RotationLimits { size_max, age_max: None, first_number: 1 }
}

fn aged(seconds: u64) -> RotationLimits {
    RotationLimits { size_max: u64::MAX, age_max: Some(Duration::from_secs(seconds)), first_number: 1 }
}

/// A record: its line and its received time.
type Record = (Vec<u8>, i64);

/// A line of exactly `bytes` bytes (at least 2) that differs from its neighbours.
fn record(number: usize, bytes: usize) -> Record {
    let mut line: Vec<u8> = format!("{number}.").into_bytes().into_iter().cycle().take(bytes.max(2) - 1).collect();
    line.push(b'\n');
    (line, NOON + i64::try_from(number).unwrap() * SECOND)
}

/// What the state's transactions have made durable.
#[derive(Default, Clone)]
struct State {
    rows: BTreeMap<u64, SegmentRow>,
    /// Records that were committed, and acknowledged.
    cursor: usize,
    /// Names put into the ship queue.
    shipped: Vec<String>,
}

impl State {
    fn rows(&self) -> Vec<SegmentRow> {
        self.rows.values().cloned().collect()
    }

    /// The transaction. Rows that are sealed and newly settled go into the ship queue with it.
    fn commit(&mut self, rows: &[SegmentRow], cursor: usize) {
        for row in rows {
            let before = self.rows.insert(row.number, row.clone());
            if row.state == SegmentState::Sealed && row.settled && !before.is_some_and(|r| r.settled) {
                self.shipped.push(row.sealed_name.clone().unwrap());
            }
        }
        self.cursor = cursor;
    }

    /// The transaction as a step that may fail: before it has happened, or after.
    fn try_commit(&mut self, steps: &FaultyDisk, rows: &[SegmentRow], cursor: usize) -> Result<(), Died> {
        match steps.step() {
            None => {
                self.commit(rows, cursor);
                Ok(())
            }
            Some(fault) => {
                if fault.done == Done::Wholly {
                    self.commit(rows, cursor);
                }
                Err(Died)
            }
        }
    }
}

#[derive(Debug)]
struct Died;

impl From<SegmentError> for Died {
    fn from(error: SegmentError) -> Self {
        assert!(matches!(error, SegmentError::Disk(_)), "only the disk may fail here, not: {error}");
        Self
    }
}

fn recover(
    disk: &dyn Handle,
    place: &Place,
    policy: RotationLimits,
    rows: &[SegmentRow],
) -> Result<Recovery, SegmentError> {
    Segments::recover(disk.shared(), place.clone(), policy, rows)
}

/// The disks of these tests are handles: a clone is the same disk.
trait Handle {
    fn shared(&self) -> Arc<dyn Disk>;
}

impl<D: Disk + Clone> Handle for D {
    fn shared(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }
}

/// One life of a bot: recovers, then writes `records` from the cursor on, in batches, to the end.
fn live(
    disk: &FaultyDisk,
    place: &Place,
    policy: RotationLimits,
    state: &mut State,
    records: &[Record],
    batch: usize,
) -> Result<(), Died> {
    let recovery = recover(disk, place, policy, &state.rows())?;
    state.try_commit(disk, &recovery.rows, state.cursor)?;
    let mut segments = Recovery::begin(committed(recovery));
    let mut settled_rows: Vec<SegmentRow> = Vec::new();
    while state.cursor < records.len() {
        let end = records.len().min(state.cursor + batch);
        for (line, micros) in &records[state.cursor..end] {
            segments.append(line, *micros)?;
        }
        if end.is_multiple_of(3) && segments.due(records[end - 1].1 + 30 * SECOND) {
            segments.rotate()?;
        }
        let synced = segments.sync()?;
        let rows: Vec<_> = settled_rows.iter().chain(synced.rows()).cloned().collect();
        state.try_commit(disk, &rows, end)?;
        settled_rows = segments.settle(&committed(synced))?.rows().to_vec();
    }
    state.try_commit(disk, &settled_rows, state.cursor)?;
    Ok(())
}

/// All of `records` are in the files, once, in order, whole; files, rows and ship queue agree.
fn check(files: &BTreeMap<PathBuf, Vec<u8>>, place: &Place, policy: RotationLimits, state: &State, records: &[Record]) {
    let mut files = files.clone();
    let mut all = Vec::new();
    let mut numbers = Vec::new();
    let mut before = 0;
    for row in state.rows.values() {
        assert!(row.settled, "{row:?}");
        let path = match &row.sealed_name {
            Some(name) => place.dir.join(name),
            None if row.records == 0 => continue,
            None => place.open(),
        };
        let content = files.remove(&path).unwrap_or_else(|| panic!("{} is missing", path.display()));
        assert!(!content.is_empty(), "{row:?}");
        let lines: Vec<_> = content.split_inclusive(|b| *b == b'\n').collect();
        assert_eq!(row.length, content.len() as u64);
        assert_eq!(row.records, lines.len() as u64);
        assert_eq!(row.chain, lines.iter().fold([0; 32], |chain, line| chained(&chain, line)));
        assert!(row.length <= policy.size_max || row.records == 1, "{row:?} passes {}", policy.size_max);
        let first = records.get(before).map(|(_, micros)| *micros);
        let last = records.get(before + lines.len() - 1).map(|(_, micros)| *micros);
        assert_eq!((row.first_micros, row.last_micros), (first, last));
        before += lines.len();
        numbers.push(row.number);
        all.extend(content);
    }
    assert!(files.is_empty(), "left over: {:?}", files.keys());
    assert!(all == records.concat_lines(), "records are lost, doubled, torn or out of order");
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "numbers have gaps: {numbers:?}");
    let sealed: Vec<_> = state.rows.values().filter_map(|row| row.sealed_name.clone()).collect();
    assert_eq!(state.shipped, sealed, "each sealed file is in the ship queue once");
}

trait ConcatLines {
    fn concat_lines(&self) -> Vec<u8>;
}

impl ConcatLines for [Record] {
    fn concat_lines(&self) -> Vec<u8> {
        self.iter().flat_map(|(line, _)| line.clone()).collect()
    }
}

fn dice(mut seed: u64) -> impl FnMut() -> u64 {
    move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 32
    }
}

/// A scenario with rotations inside batches, between them, by age, and a record that is larger than a file may be.
fn scenario() -> (RotationLimits, Vec<Record>) {
    let policy = RotationLimits { size_max: 100, age_max: Some(Duration::from_secs(40)), first_number: 1 };
    let sizes = [30, 40, 50, 20, 20, 120, 30, 99, 100, 101, 10, 10, 10, 10, 60, 60, 60, 5, 5, 5, 5];
    (policy, sizes.iter().enumerate().map(|(number, bytes)| record(number, *bytes)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        rng_seed: RngSeed::Fixed(2),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]
    #[test]
    fn the_size_is_never_passed_but_by_a_single_larger_record(
        sizes in prop::collection::vec(2usize..300, 1..80),
        size_max in 1u64..400,
        batch in 1usize..12,
    ) {
        let sim = SimDisk::default();
        let (place, policy, mut state) = (place(Path::new("/m")), policy(size_max), State::default());
        let records: Vec<_> = sizes.iter().enumerate().map(|(number, bytes)| record(number, *bytes)).collect();
        let disk = FaultyDisk::new(Arc::new(sim.clone()), None);
        live(&disk, &place, policy, &mut state, &records, batch).unwrap();
        check(&sim.files(), &place, policy, &state, &records);
        // nor is a file sealed that had room for the next record
        let rows = state.rows();
        let mut next = 0;
        for row in &rows {
            next += usize::try_from(row.records).unwrap();
            if row.state == SegmentState::Sealed {
                prop_assert!(row.length + records[next].0.len() as u64 > size_max);
            }
        }
    }
}

#[test]
fn a_file_is_sealed_when_its_first_record_is_too_old_with_or_without_traffic() {
    let sim = SimDisk::default();
    let recovery = recover(&sim, &place(Path::new("/m")), aged(60), &[]).unwrap();
    let mut state = State::default();
    state.commit(&recovery.rows, 0);
    let mut segments = Recovery::begin(committed(recovery));
    assert!(!segments.due(i64::MAX), "an empty file never gets old");

    // with traffic: the record that comes too late opens the next file
    for seconds in [0, 30, 59] {
        segments.append(b"early\n", NOON + seconds * SECOND).unwrap();
    }
    segments.append(b"late\n", NOON + 60 * SECOND).unwrap();

    // without: counted from the first record, not from the last or from the start
    assert!(!segments.due(NOON + 120 * SECOND - 1));
    assert!(segments.due(NOON + 120 * SECOND));
    segments.rotate().unwrap();
    let synced = segments.sync().unwrap();
    state.commit(synced.rows(), 0);
    let records: Vec<_> = synced.rows().iter().map(|row| (row.number, row.records)).collect();
    assert_eq!(records, [(1, 3), (2, 1), (3, 0)]);
    let settled = segments.settle(&committed(synced)).unwrap();
    let names: Vec<_> = settled.sealed().map(|row| row.sealed_name.clone().unwrap()).collect();
    assert_eq!(names, ["m_20230804T191058.000Z_00000001.txt", "m_20230804T191158.000Z_00000002.txt"]);
    assert!(!segments.due(i64::MAX));
    assert_eq!(sim.files().len(), 2, "no open file before its first record: {:?}", sim.files().keys());
}

#[test]
fn the_age_outlives_a_restart_and_a_clock_set_back_delays_it_no_more_than_once() {
    let sim = SimDisk::default();
    let place = place(Path::new("/m"));
    let mut state = State::default();
    let disk = FaultyDisk::new(Arc::new(sim), None);
    live(&disk, &place, aged(60), &mut state, &[(b"a\n".to_vec(), NOON)], 1).unwrap();
    let recovery = recover(&disk, &place, aged(60), &state.rows()).unwrap();
    state.commit(&recovery.rows, 1);
    let mut segments = Recovery::begin(committed(recovery));
    assert_eq!([-1, 0].map(|micros| segments.due(NOON + 60 * SECOND + micros)), [false, true]);
    // the clock was a day ahead: without this the file would stay open for a day
    let back = NOON - 86_400 * SECOND;
    segments.append(b"b\n", back).unwrap();
    assert_eq!([-1, 0].map(|micros| segments.due(back + 60 * SECOND + micros)), [false, true]);
    let synced = segments.sync().unwrap();
    let open: Vec<_> = synced.rows().iter().map(|row| (row.records, row.first_micros)).collect();
    assert_eq!(open, [(2, Some(NOON))], "the name keeps the first record's time");
}

#[test]
fn an_empty_file_is_never_sealed() {
    let sim = SimDisk::default();
    let recovery = recover(&sim, &place(Path::new("/m")), aged(1), &[]).unwrap();
    let mut state = State::default();
    state.commit(&recovery.rows, 0);
    let mut segments = Recovery::begin(committed(recovery));
    for _ in 0..3 {
        segments.rotate().unwrap();
        let synced = segments.sync().unwrap();
        assert!(synced.rows().is_empty());
        state.commit(synced.rows(), 0);
        assert!(segments.settle(&committed(synced)).unwrap().rows().is_empty());
    }
    assert!(sim.files().is_empty());
    segments.append(b"first\n", NOON).unwrap();
    assert_eq!(segments.sync().unwrap().rows()[0].number, 1);
}

#[test]
fn names_never_repeat_over_1000_restarts_lost_states_and_clocks_set_back() {
    let sim = SimDisk::default();
    let place = place(Path::new("/m"));
    let mut state = State::default();
    let (mut names, mut roll) = (BTreeSet::new(), dice(7));
    let mut lost = 0;
    for restart in 0..1000u64 {
        match roll() % 8 {
            // the state directory is lost; what lies there stays
            0 => {
                state = State::default();
                lost += 1;
            }
            // the state keeps only the rows that it must
            1..4 => state.rows.retain(|_, row| row.state == SegmentState::Open || !row.settled),
            _ => {}
        }
        let before = sim.files();
        let recovery = recover(&sim, &place, policy(8), &state.rows()).unwrap();
        state.commit(&recovery.rows, 0);
        let mut segments = Recovery::begin(committed(recovery));
        // most restarts write at the same instant: only the number tells the names apart
        let micros = NOON - i64::try_from(roll() % 3).unwrap() * 86_400 * SECOND;
        for _ in 0..roll() % 4 {
            segments.append(format!("{restart:5}\n").as_bytes(), micros).unwrap();
        }
        let synced = segments.sync().unwrap();
        state.commit(synced.rows(), 0);
        let settled = segments.settle(&committed(synced)).unwrap();
        for row in settled.sealed() {
            let name = row.sealed_name.clone().unwrap();
            assert!(names.insert(name.clone()), "`{name}` was given twice");
        }
        // a crash before this is stored is another test
        state.commit(settled.rows(), 0);
        let after = sim.files();
        for (path, content) in before.iter().filter(|(path, _)| **path != place.open()) {
            assert!(after.get(path) == Some(content), "{} is finished, and changed", path.display());
        }
    }
    assert!(lost > 50 && names.len() > 500, "{lost} lost states, {} names", names.len());
    let numbers: BTreeSet<_> = sim.files().keys().filter_map(|path| number_of(path)).collect();
    assert!(numbers.len() >= names.len() + lost / 2, "numbers are not shared, also not with recovered files");
}

fn number_of(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.rsplit_once('_')?.1.parse().ok()
}

/// Sweeps a fault over every step of the scenario, and a second one over every step of the recovery after it.
fn sweep(batch: usize, power: Option<u64>) {
    let (policy, records) = scenario();
    let place = place(Path::new("/m"));
    let mut crashes = 0u64;
    for done in [Done::Not, Done::Wholly] {
        for first in 1.. {
            let (sim, mut state) = (SimDisk::default(), State::default());
            let fault = |call| Some(Fault { call, done, kind: io::ErrorKind::Other });
            let mut roll = dice(power.unwrap_or(0) + first);
            let mut disk = FaultyDisk::new(Arc::new(sim.clone()), fault(first));
            if live(&disk, &place, policy, &mut state, &records, batch).is_ok() {
                assert!(disk.calls() < first && first > 50, "the sweep has reached every step");
                break;
            }
            // now the recovery fails at its step `second`, again and again one step later, until it comes through
            for second in 1.. {
                assert!(second < 1000, "recovery never comes through");
                crashes += 1;
                if power.is_some() {
                    sim.lose_power(&mut roll);
                }
                disk = FaultyDisk::new(Arc::new(sim.clone()), fault(second));
                if live(&disk, &place, policy, &mut state, &records, batch).is_ok() {
                    break;
                }
            }
            check(&sim.files(), &place, policy, &state, &records);
        }
    }
    assert!(crashes > 1000, "{crashes}");
}

#[test]
fn a_bot_killed_at_any_step_loses_doubles_and_tears_nothing() {
    for batch in [1, 4, 21] {
        sweep(batch, None);
    }
}

#[test]
fn a_power_loss_at_any_step_loses_doubles_and_tears_nothing() {
    for (batch, seed) in [(1, 1), (4, 1000), (4, 2000), (7, 3000), (21, 4000), (21, 5000)] {
        sweep(batch, Some(seed));
    }
}

fn files_of(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).map(|p| (p.clone(), std::fs::read(p).unwrap())).collect()
}

#[test]
fn a_full_disk_at_any_step_of_a_real_directory_loses_nothing_and_is_waited_for() {
    let (policy, records) = scenario();
    for call in (1..).step_by(3) {
        let dir = tempfile::tempdir().unwrap();
        let (place, mut state) = (place(dir.path()), State::default());
        let fault = Fault { call, done: Done::Not, kind: io::ErrorKind::StorageFull };
        let disk = FaultyDisk::new(Arc::new(RealDisk), Some(fault));
        if live(&disk, &place, policy, &mut state, &records, 6).is_ok() {
            assert!(call > 50);
            check(&files_of(dir.path()), &place, policy, &state, &records);
            break;
        }
        live(&FaultyDisk::new(Arc::new(RealDisk), None), &place, policy, &mut state, &records, 6).unwrap();
        check(&files_of(dir.path()), &place, policy, &state, &records);
    }
}

#[test]
fn a_failed_call_poisons_the_writer_until_it_is_recovered() {
    for failing in [DiskCall::CreateNew, DiskCall::WriteAll, DiskCall::SyncData, DiskCall::SyncDir] {
        let sim = SimDisk::default();
        let place = place(Path::new("/m"));
        let mut state = State::default();
        let recovery = recover(&sim, &place, policy(100), &[]).unwrap();
        state.commit(&recovery.rows, 0);
        // find the call's place in the order of calls, then let it fail
        let probe = FaultyDisk::new(Arc::new(SimDisk::default()), None);
        let write = |disk: &FaultyDisk, state: &State| {
            let recovery = recover(disk, &place, policy(100), &state.rows()).unwrap();
            let mut segments = Recovery::begin(committed(recovery));
            segments.append(b"a\n", NOON).unwrap();
            let result = segments.sync().map(|_| ());
            (segments, result)
        };
        write(&probe, &state).1.unwrap();
        let call = probe.take_log().iter().rposition(|(call, _)| *call == failing).unwrap() as u64 + 1;
        let fault = Fault { call, done: Done::Wholly, kind: io::ErrorKind::StorageFull };
        let disk = FaultyDisk::new(Arc::new(sim.clone()), Some(fault));
        let (mut segments, result) = write(&disk, &state);
        let error = result.unwrap_err();
        assert!(matches!(&error, SegmentError::Disk(e) if e.call == failing), "{failing}: {error}");
        assert_eq!(error.fault(), fault::Fault::Temporary, "the disk may have space again, after a recovery");
        let calls = disk.calls();
        assert!(matches!(segments.append(b"b\n", NOON), Err(SegmentError::Poisoned)));
        assert!(matches!(segments.rotate(), Err(SegmentError::Poisoned)));
        assert!(matches!(segments.sync(), Err(SegmentError::Poisoned)));
        assert_eq!(disk.calls(), calls, "a poisoned writer leaves the disk alone");
        let records = [(b"a\n".to_vec(), NOON), (b"b\n".to_vec(), NOON)];
        live(&FaultyDisk::new(Arc::new(sim.clone()), None), &place, policy(100), &mut state, &records, 1).unwrap();
        check(&sim.files(), &place, policy(100), &state, &records);
    }
}

#[test]
fn steps_out_of_turn_and_records_that_are_not_lines_are_refused_and_change_nothing() {
    let sim = SimDisk::default();
    let recovery = recover(&sim, &place(Path::new("/m")), policy(100), &[]).unwrap();
    let mut segments = Recovery::begin(committed(recovery));
    for bad in [&b""[..], b"no end", b"two\nlines\n", b"\n\n"] {
        assert!(matches!(segments.append(bad, NOON), Err(SegmentError::NotALine)), "{bad:?}");
    }
    assert!(matches!(segments.append(b"a\n", -1), Err(SegmentError::Time { micros: -1 })));
    segments.append(b"a\n", NOON).unwrap();
    let synced = segments.sync().unwrap();
    assert_eq!(synced.rows()[0].records, 1);
    assert!(matches!(segments.append(b"b\n", NOON), Err(SegmentError::OutOfTurn(_))));
    assert!(matches!(segments.rotate(), Err(SegmentError::OutOfTurn(_))));
    assert!(matches!(segments.sync(), Err(SegmentError::OutOfTurn(_))));
    let _ = segments.settle(&committed(synced)).unwrap();
    segments.append(b"b\n", NOON).unwrap();
    assert_eq!(segments.sync().unwrap().rows()[0].records, 2);
}

#[test]
fn a_huge_batch_is_written_in_large_blocks_and_synced_once() {
    let disk = FaultyDisk::new(Arc::new(SimDisk::default()), None);
    let recovery = recover(&disk, &place(Path::new("/m")), policy(u64::MAX), &[]).unwrap();
    let mut segments = Recovery::begin(committed(recovery));
    let mut written = 0;
    for batch in 0..3 {
        disk.take_log();
        for number in 0..40_000 {
            let (line, micros) = record(number, 100);
            written += line.len();
            segments.append(&line, micros).unwrap();
        }
        let large = record(0, 3 * WRITE_BYTES);
        written += large.0.len();
        segments.append(&large.0, large.1).unwrap();
        let synced = segments.sync().unwrap();
        assert_eq!(synced.rows()[0].length, written as u64);
        let _ = segments.settle(&committed(synced)).unwrap();
        let log = disk.take_log();
        let count = |call| log.iter().filter(|(c, _)| *c == call).count();
        assert_eq!(count(DiskCall::SyncData), 1);
        assert_eq!(count(DiskCall::SyncDir), if batch == 0 { 2 } else { 0 }, "names change in the first batch only");
        assert!(count(DiskCall::WriteAll) <= 40_000 * 100 / WRITE_BYTES + 3, "{}", count(DiskCall::WriteAll));
        let beyond: Vec<_> = log.iter().filter(|(_, bytes)| *bytes > WRITE_BYTES).collect();
        assert_eq!(beyond.len(), 1, "only the large record is a write of its own");
    }
}

#[test]
fn what_a_bot_with_lost_state_left_is_kept_under_another_name_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| std::fs::write(dir.path().join(name), content).unwrap();
    write("m_20230804T191058.000Z_00000041.txt", "sealed\n");
    write("m.txt", "open\ntor");
    write(".m.00000043.part", "part\n");
    write(".m.00000044.part", "");
    write("other.txt", "not ours");
    let place = place(dir.path());
    let before = files_of(dir.path());
    let recovery = recover(&RealDisk, &place, policy(100), &[]).unwrap();
    let found: Vec<_> = recovery.found.iter().map(|f| (f.name.as_str(), f.length)).collect();
    assert_eq!(
        found,
        [("m_20230804T191058.000Z_00000041.txt", 7), ("m_recovered_00000045.txt", 8), ("m_recovered_00000046.txt", 5)]
    );
    assert_eq!(recovery.rows.iter().map(|row| row.number).collect::<Vec<_>>(), [47]);
    let after = files_of(dir.path());
    let kept = |name: &str| &after[&dir.path().join(name)];
    assert_eq!(kept("m_recovered_00000045.txt"), &before[&place.open()]);
    assert_eq!(kept("m_recovered_00000046.txt"), b"part\n");
    assert_eq!(kept("other.txt"), b"not ours");
    assert_eq!(after.len(), 4);
    // not committed: the next start finds the same
    let again = recover(&RealDisk, &place, policy(100), &[]).unwrap();
    assert_eq!(again.found, recovery.found);
    assert_eq!(again.rows, recovery.rows);
}

/// A directory with one sealed file (2 records) and an open one (1 record), and its state.
fn written() -> (tempfile::TempDir, Place, State) {
    let dir = tempfile::tempdir().unwrap();
    let (place, mut state) = (place(dir.path()), State::default());
    let records: Vec<_> = (0..3).map(|number| record(number, 10)).collect();
    live(&FaultyDisk::new(Arc::new(RealDisk), None), &place, policy(20), &mut state, &records, 1).unwrap();
    (dir, place, state)
}

#[test]
fn files_that_contradict_the_state_halt_the_bot_and_are_not_touched() {
    type Damage = fn(&Place, &mut State);
    let unsettle: Damage = |place, state| {
        // as if killed right after the commit that sealed the first file
        let row = state.rows.get_mut(&1).unwrap();
        row.settled = false;
        std::fs::rename(place.dir.join(row.sealed_name.as_ref().unwrap()), place.dir.join(".m.00000001.part")).unwrap();
    };
    type Case = (&'static str, Damage, fn(&SegmentError) -> bool);
    let cases: [Case; 8] = [
        ("shorter", |p, _| std::fs::write(p.open(), "short\n").unwrap(), |e| matches!(e, SegmentError::Short { .. })),
        ("missing", |p, _| std::fs::remove_file(p.open()).unwrap(), |e| matches!(e, SegmentError::Missing { .. })),
        (
            "older state",
            |_, s| {
                s.rows.remove(&2);
                let row = s.rows.get_mut(&1).unwrap();
                (row.state, row.sealed_name) = (SegmentState::Open, None);
            },
            |e| matches!(e, SegmentError::StateOlder { number: 1, .. }),
        ),
        (
            "not ours",
            |_, s| {
                let row = s.rows.get_mut(&2).unwrap();
                (row.length, row.records) = (0, 0);
            },
            |e| matches!(e, SegmentError::NameTaken { .. }),
        ),
        (
            "two open",
            |_, s| s.rows.get_mut(&1).unwrap().state = SegmentState::Open,
            |e| matches!(e, SegmentError::Rows(_)),
        ),
        ("none open", |_, s| drop(s.rows.remove(&2)), |e| matches!(e, SegmentError::Rows(_))),
        (
            "finished, but longer",
            |p, s| {
                s.rows.get_mut(&1).unwrap().settled = false;
                let path = p.dir.join(s.rows[&1].sealed_name.as_ref().unwrap());
                std::fs::write(path, "longer than it was committed\n").unwrap();
            },
            |e| matches!(e, SegmentError::Long { .. }),
        ),
        (
            "a directory",
            |p, _| {
                std::fs::remove_file(p.open()).unwrap();
                std::fs::create_dir(p.open()).unwrap();
            },
            |e| matches!(e, SegmentError::Disk(_)),
        ),
    ];
    for (name, damage, expected) in cases {
        let (dir, place, mut state) = written();
        damage(&place, &mut state);
        let listing = || std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).collect::<BTreeSet<_>>();
        let before = listing();
        let error = recover(&RealDisk, &place, policy(20), &state.rows()).err().unwrap_or_else(|| panic!("{name}"));
        assert!(expected(&error), "{name}: {error}");
        assert_eq!(error.fault(), fault::Fault::Stop, "{name}");
        assert_eq!(listing(), before, "{name}");
    }
    // and the control: the same directory, undamaged or only unsettled, is accepted
    let (_dir, place, mut state) = written();
    assert!(recover(&RealDisk, &place, policy(20), &state.rows()).unwrap().rows.is_empty());
    unsettle(&place, &mut state);
    assert_eq!(recover(&RealDisk, &place, policy(20), &state.rows()).unwrap().rows.len(), 1);
}

#[test]
fn bytes_beyond_the_commit_are_cut_and_uncommitted_parts_deleted() {
    let (dir, place, state) = written();
    let before = files_of(dir.path());
    let mut open = before[&place.open()].clone();
    open.extend(b"not committed\nand to");
    std::fs::write(place.open(), open).unwrap();
    std::fs::write(dir.path().join(".m.00000003.part"), "not committed either\n").unwrap();
    let recovery = recover(&RealDisk, &place, policy(20), &state.rows()).unwrap();
    assert_eq!((recovery.cut_bytes, recovery.removed_parts), (20, 1));
    assert_eq!(files_of(dir.path()), before);
}

#[test]
fn a_cut_is_durable_before_anything_is_built_on_it() {
    let (sim, mut state) = (SimDisk::default(), State::default());
    let place = place(Path::new("/m"));
    let records = [record(0, 10)];
    live(&FaultyDisk::new(Arc::new(sim.clone()), None), &place, policy(100), &mut state, &records, 1).unwrap();
    let mut file = sim.open_append(&place.open()).unwrap();
    file.write_all(b"not committed\n").unwrap();
    file.sync_data().unwrap();
    // the file is sealed without another byte, so that no later sync covers the cut
    let recovery = recover(&sim, &place, policy(100), &state.rows()).unwrap();
    assert_eq!(recovery.cut_bytes, 14);
    state.commit(&recovery.rows, 1);
    let mut segments = Recovery::begin(committed(recovery));
    segments.rotate().unwrap();
    let synced = segments.sync().unwrap();
    state.commit(synced.rows(), 1);
    let settled = segments.settle(&committed(synced)).unwrap();
    state.commit(settled.rows(), 1);
    for seed in 0..8 {
        sim.lose_power(&mut dice(seed));
        check(&sim.files(), &place, policy(100), &state, &records);
    }
}
