//! Whichever system call fails, and however: nothing is lost, doubled or torn, and the program ends with one clear error or goes on.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::time::Instant;

use super::campaigns::tell;
use crate::support::faults::sweep::{self, Which};
use crate::support::program::built;

/// Runs at once: most of a run is waiting.
const LANES: usize = 4;
/// Of the gate.
const SAMPLE: usize = 80;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_system_call_fails_once_and_nothing_is_lost() {
    let prepared = match sweep::prepare(built()).await {
        Ok(prepared) => Arc::new(prepared),
        Err(reason) => {
            // `tests/run` sets it, and says so
            assert!(std::env::var_os("RETAIND_TESTS_WITHOUT_TRACING").is_some(), "{reason}");
            return println!("WITHOUT system calls that fail: {reason}");
        }
    };
    let counts = prepared.count().await;
    let calls: u64 = counts.values().sum();
    let all = sweep::faults(&counts, Which::All).len();
    println!("{calls} calls on {} kinds of objects, {all} faults", counts.len());
    let faults = sweep::faults(&counts, Which::Sample(SAMPLE));
    let began = Instant::now();
    let figures = sweep::sweep(prepared, faults, LANES, &|_| ()).await;
    println!("{:?}", began.elapsed());
    tell(&figures);
}
