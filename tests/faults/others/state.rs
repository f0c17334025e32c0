//! The state: a bit that has flipped in it, and a file with nothing in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{contents, ends, killed_between, program, room, stops};
use crate::support::Harness;
use crate::support::archive::{acknowledged, are_archived, say};
use crate::support::gate::Gate;
use crate::support::program::{Program, run_on};

/// Puts the files of a directory back as they were.
fn put_back(directory: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) {
    fs::remove_dir_all(directory).unwrap();
    fs::create_dir(directory).unwrap();
    files.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
}

/// One flipped bit in a position file made an archive skip what it had not read, or cut off what it had. Here each
/// number that decides what counts as archived is guarded: the bot says that the state is damaged, and neither
/// acknowledges nor changes anything on its word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_the_state_is_told_and_nothing_is_acknowledged_cut_or_skipped_on_its_word() {
    let harness = Harness::start();
    let (_alice, room) = killed_between(&harness).await;
    let state = harness.path().join("state");
    let (good, archive) = (contents(std::slice::from_ref(&state)), contents(&[harness.messages()]));
    let flips = [
        // further on or back: what was not archived would be acknowledged, or what was would be there twice
        ("session", "UPDATE session SET cursor = (cursor | 8) - (cursor & 8)"),
        ("session", "UPDATE session SET cursor = (cursor | 1) - (cursor & 1)"),
        // shorter by its lowest bit: committed records would be cut off
        ("segment", "UPDATE segment SET length = length - (length & -length)"),
        // the open file would be taken for a stranger's
        ("segment", "UPDATE segment SET state = 'opeo'"),
        ("segment", "UPDATE segment SET number = (number | 1) - (number & 1)"),
        ("segment", "UPDATE segment SET settled = 1 - settled"),
    ];
    for (table, flip) in flips {
        put_back(&state, &good);
        Connection::open(state.join("bot.db")).unwrap().execute(flip, []).unwrap();
        let log = ends(Program::start(&mut program(&harness)), 75).await;
        assert!(
            log.contains(&format!("state is damaged: a row of `{table}` is not as it was written")),
            "{flip}: {log}"
        );
        assert!(log.contains("restore the newest copy of the state directory"), "{log}");
        assert!(log.contains("evidence_chain_broken"), "{log}");
        assert_eq!(harness.unacknowledged(), 5, "{flip}");
        assert!(contents(&[harness.messages()]) == archive, "{flip}");
    }
    // a key that has changed opens nothing, and the conversation is not passed over
    put_back(&state, &good);
    let database = Connection::open(state.join("bot.db")).unwrap();
    let (secrets, row): (Vec<u8>, i64) =
        database.query_row("SELECT secrets, rowid FROM session", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let mut flipped = secrets;
    let middle = flipped.len() / 2;
    flipped[middle] ^= 16;
    database.execute("UPDATE session SET secrets = ? WHERE rowid = ?", rusqlite::params![flipped, row]).unwrap();
    drop(database);
    let log = ends(Program::start(&mut program(&harness)), 75).await;
    assert!(log.contains("error: "), "{log}");
    assert_eq!(harness.unacknowledged(), 5);
    assert!(
        contents(&[harness.messages()]).into_values().eq(archive.values().cloned()),
        "sealed at the end, as it was"
    );

    put_back(&state, &good);
    put_back(&harness.messages(), &archive);
    let bot = Program::start(&mut program(&harness));
    acknowledged(&harness).await;
    stops(bot, 0).await;
    are_archived(&harness.records(), &room, 10);
    harness.stop().await;
}

/// A crash left a position file with no byte in it, and the archive took that for its first start. Here an empty state
/// is a damaged one: the bot does not start, asks nobody, and changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_was_cut_to_nothing_is_not_taken_for_a_new_one() {
    let harness = Harness::start();
    let gate = Gate::to(&harness.endpoint).await;
    let mut command = run_on(harness.path(), &gate.endpoint(&harness.endpoint));
    let mut first = Program::start(&mut command);
    first.says("receives").await;
    let (mut alice, room) = room(&harness).await;
    say(&mut alice, &room, 0..5).await;
    acknowledged(&harness).await;
    // as a kill leaves it, with a log of what is not in the file yet, and as a stop does, without
    for killed in [true, false] {
        if killed {
            first.kill();
        } else {
            stops(first, 0).await;
        }
        let state = harness.path().join("state");
        let (good, archive) = (contents(std::slice::from_ref(&state)), contents(&[harness.messages()]));
        fs::write(state.join("bot.db"), b"").unwrap();
        let (before, asked) = (contents(std::slice::from_ref(&state)), gate.accepted.get());
        let log = ends(Program::start(&mut command), 78).await;
        assert!(log.contains("state/bot.db` is empty") && log.contains("restore the state directory"), "{log}");
        assert!(log.contains("evidence_chain_broken"), "{log}");
        let ours = |mut files: BTreeMap<_, _>| {
            files.remove(&state.join("bot.pid"));
            files
        };
        assert!(ours(contents(std::slice::from_ref(&state))) == ours(before), "something was changed");
        assert!(contents(&[harness.messages()]) == archive);
        assert_eq!(gate.accepted.get(), asked, "the network was asked");
        put_back(&state, &good);
        first = Program::start(&mut command);
        first.says("receives").await;
    }
    say(&mut alice, &room, 5..8).await;
    acknowledged(&harness).await;
    stops(first, 0).await;
    are_archived(&harness.records(), &room, 8);
    harness.stop().await;
}
