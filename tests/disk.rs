//! Every disk that the bot may be given, and every double of one, keeps the same contract.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io;
use std::path::Path;
use std::sync::Arc;

use retaind::bot::disk::{Disk, DiskCall, DiskError, RealDisk};

use crate::support::asked::AskedDisk;
use crate::support::disk::contract::{holds, is_durable};
use crate::support::disk::{Done, Fault, FaultyDisk};
use crate::support::sim::disk::SimDisk;
use crate::support::traffic::Dice;

const SIMULATED: &str = "/sim/0/messages";

fn simulated(disk: &SimDisk) {
    holds(disk, Path::new(SIMULATED)).unwrap();
}

#[test]
fn the_real_disk_keeps_the_contract() {
    holds(&RealDisk, tempfile::tempdir().unwrap().path()).unwrap();
}

#[test]
fn the_simulated_disk_keeps_the_contract() {
    let disk = SimDisk::default();
    simulated(&disk);
    assert!(disk.files().is_empty() && disk.overwritten().is_empty());
}

#[test]
fn what_is_synced_on_the_simulated_disk_is_there_when_the_power_comes_back() {
    for seed in 0..100 {
        let (disk, mut dice) = (SimDisk::default(), Dice(seed));
        let mut lose_power = || disk.lose_power(&mut || dice.below(u64::MAX));
        is_durable(&disk, Path::new(SIMULATED), &mut lose_power).unwrap();
    }
}

#[test]
fn a_disk_that_asks_before_each_call_keeps_the_contract() {
    holds(&AskedDisk::new(|_, _| Ok(())), tempfile::tempdir().unwrap().path()).unwrap();
}

#[test]
fn what_a_disk_that_asks_refuses_is_an_error_of_that_call() {
    use DiskCall::{
        CreateNew, FreeBytes, Len, List, OpenAppend, OpenRead, Read, Remove, Rename, Renew, SetLen, SyncData, SyncDir,
        WriteAll,
    };
    for refused in [
        CreateNew, OpenAppend, OpenRead, Read, WriteAll, SyncData, SetLen, Len, Rename, Remove, SyncDir, List,
        FreeBytes, Renew,
    ] {
        let disk =
            AskedDisk::new(move |call, _| if call == refused { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) });
        let error = holds(&disk, tempfile::tempdir().unwrap().path()).unwrap_err();
        assert_eq!((error.call, error.source.kind()), (refused, io::ErrorKind::TimedOut));
    }
}

/// Each call of the contract fails once, with nothing or all of it done: that error comes out, and no other.
fn fails_at_each_call(
    disk: &dyn Fn() -> (Arc<dyn Disk>, tempfile::TempDir),
    within: &dyn Fn(&Path) -> std::path::PathBuf,
) {
    for done in [Done::Not, Done::Wholly] {
        for call in 1.. {
            let (inner, home) = disk();
            let faulty = FaultyDisk::new(inner, Some(Fault { call, done, kind: io::ErrorKind::TimedOut }));
            match holds(&faulty, &within(home.path())) {
                Ok(()) if faulty.calls() < call => {
                    assert!(call > 100, "the sweep has reached every call");
                    break;
                }
                // a call that is refused in any case
                Ok(()) => {}
                Err(DiskError { source, .. }) => assert_eq!(source.kind(), io::ErrorKind::TimedOut),
            }
        }
    }
}

#[test]
fn a_disk_that_fails_one_call_keeps_the_contract_but_for_that_call() {
    let nowhere = || tempfile::tempdir().unwrap();
    fails_at_each_call(&|| (Arc::new(SimDisk::default()), nowhere()), &|_| SIMULATED.into());
    fails_at_each_call(&|| (Arc::new(RealDisk), nowhere()), &Path::to_path_buf);
    let disk = FaultyDisk::new(Arc::new(SimDisk::default()), None);
    is_durable(&disk, Path::new(SIMULATED), &mut || ()).unwrap();
}
