//! Many lives, in parallel, and what came of them.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::disk::{Call, Harm, Much};
use super::world::{Build, Cut, Life, Trouble, live};

/// What came of many lives.
#[derive(Debug, Default)]
pub struct Sum {
    pub lives: u64,
    pub owed: u64,
    pub starts: u64,
    pub power: u64,
    pub kills: u64,
    pub errors: u64,
    pub cuts: u64,
    pub flips: u64,
    /// Lives in which an obligation was broken, with what the oracle said.
    pub broken: Vec<(String, String)>,
}

/// One life to be lived.
#[derive(Clone)]
pub struct Job {
    /// How it is called where it fails.
    pub name: String,
    pub seed: u64,
    pub trouble: fn(u64, Much, Option<std::io::ErrorKind>, Option<Cut>) -> Trouble,
    pub call: u64,
    pub much: Much,
    pub kind: Option<std::io::ErrorKind>,
    pub cut: Option<Cut>,
}

impl Job {
    /// Everything goes wrong that `seed` says.
    pub fn of_seed(seed: u64) -> Self {
        Self {
            name: format!("seed {seed}"),
            seed,
            trouble: |_, _, _, _| Trouble::Everything,
            call: 0,
            much: Much::All,
            kind: None,
            cut: None,
        }
    }
}

/// Every call of the disk in the calm life of `seed`, in each way in which it can fail and with the power lost at it; then
/// every call of the connection, in each way. `every` = 1: all of them; n: one of n.
pub fn sweep(seed: u64, every: usize) -> Vec<Job> {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let calm = live(seed, Trouble::Recorded(calls.clone()), Build::Right);
    assert!(calm.is_whole(), "{calm}");
    let mut jobs = Vec::new();
    let calls: Vec<Call> = calls.lock().unwrap().clone();
    for (call, number) in calls.into_iter().zip(1..) {
        for (much, kind) in call.errors() {
            jobs.push(Job {
                name: format!("seed {seed}, {call:?} number {number} fails with {kind:?}, {much:?} done"),
                seed,
                trouble: |call, much, kind, _| {
                    Trouble::At(call, Harm::Error(much, kind.unwrap_or(std::io::ErrorKind::Other)))
                },
                call: number,
                much: *much,
                kind: Some(*kind),
                cut: None,
            });
        }
        for much in [Much::Nothing, Much::Half, Much::All] {
            jobs.push(Job {
                name: format!("seed {seed}, power lost at {call:?} number {number}, {much:?} done"),
                seed,
                trouble: |call, much, _, _| Trouble::At(call, Harm::Off(much)),
                call: number,
                much,
                kind: None,
                cut: None,
            });
        }
    }
    for call in 1..=calm.network_calls {
        for cut in Cut::ALL {
            jobs.push(Job {
                name: format!("seed {seed}, call {call} of the connection: {cut:?}"),
                seed,
                trouble: |call, _, _, cut| cut.map_or(Trouble::None, |cut| Trouble::Cut(call, cut)),
                call,
                much: Much::All,
                kind: None,
                cut: Some(cut),
            });
        }
    }
    jobs.into_iter().step_by(every).collect()
}

/// Lives all of them, in so many threads. `progress` hears of each.
pub fn run(jobs: &[Job], threads: NonZeroUsize, build: Build, progress: &(dyn Fn(&Life) + Sync)) -> Sum {
    let (next, sum) = (AtomicUsize::new(0), Mutex::new(Sum::default()));
    thread::scope(|scope| {
        for _ in 0..threads.get() {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let life = live(job.seed, (job.trouble)(job.call, job.much, job.kind, job.cut), build);
                    progress(&life);
                    sum.lock().unwrap().add(&job.name, &life);
                }
            });
        }
    });
    sum.into_inner().unwrap()
}

impl Sum {
    fn add(&mut self, name: &str, life: &Life) {
        self.lives += 1;
        self.owed += life.owed;
        self.starts += life.starts;
        self.power += life.power;
        self.kills += life.kills;
        self.errors += life.errors;
        self.cuts += life.cuts;
        self.flips += life.flips;
        if !life.is_whole() {
            self.broken.push((name.to_owned(), life.to_string()));
        }
    }
}
