//! Lives in a simulated world: some hundred seeds here, any number by `cargo run --release --example campaign`.
#![allow(clippy::unwrap_used, clippy::panic)]

use prost::Message;

use crate::support::sim::recording::{PATH, Recording};
use crate::support::sim::world::{Build, Trouble, live};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_recording_is_of_this_version() {
    if std::env::var_os("RETAIND_BLESS").is_some() {
        std::fs::write(PATH, Recording::make().await.encode_to_vec()).unwrap();
    }
    assert!(Recording::kept().places() > 100);
}

#[test]
fn a_bot_to_which_nothing_happens_archives_everything() {
    let life = live(1, Trouble::None, Build::Right);
    println!("{life:?}");
    assert!(life.is_whole(), "{life}");
}

#[test]
fn some_seeds() {
    let mut bad = 0;
    for seed in 1..=100 {
        let life = live(seed, Trouble::Everything, Build::Right);
        println!("{seed}: {} starts, {} power, {} errors", life.starts, life.power, life.errors);
        if !life.is_whole() { println!("seed {seed}: {life}"); bad += 1; }
    }
    assert_eq!(bad, 0);
}
