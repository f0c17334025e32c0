//! Up and down between releases: the program never works on a state that it does not know, and says which one it is.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;
use std::process::Command;

use retaind::device::store::STEPS;
use retaind::protocol::ids::ConversationKind;
use retaind::state::schema::{self, Step};
use rusqlite::Connection;

use crate::support::archive::acknowledged;
use crate::support::gate::Gate;
use crate::support::program::{Program, run, run_on};
use crate::support::{Harness, text};

/// What a next release might do to the bot's tables, and to those of a device.
fn next(connection: &Connection) -> rusqlite::Result<()> {
    if schema::has_table(connection, "ship")? {
        connection.execute_batch("ALTER TABLE ship ADD COLUMN tries INTEGER NOT NULL DEFAULT 0")?;
    }
    connection.execute_batch("CREATE TABLE next (one INTEGER PRIMARY KEY) STRICT")
}

fn newer() -> Vec<Step> {
    STEPS.iter().copied().chain([next as Step]).collect()
}

fn bring_up(path: &Path) {
    schema::bring_up(&mut Connection::open(path).unwrap(), path, &newer()).unwrap();
}

async fn stops(program: Program) {
    program.signal("TERM");
    assert_eq!(program.ends().await.0, Some(0));
}

/// A bot and its network in `home`, started once and stopped.
async fn was_there(home: &Path) -> Command {
    let mut command = run(home);
    command.env("RETAIND_LISTEN", "127.0.0.1:0");
    let mut program = Program::start(&mut command);
    program.says("receives").await;
    stops(program).await;
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_on_the_state_of_a_newer_release_is_78_and_changes_nothing() {
    let harness = Harness::start();
    let gate = Gate::to(&harness.endpoint).await;
    let mut command = run_on(harness.path(), &gate.endpoint(&harness.endpoint));
    let mut program = Program::start(&mut command);
    program.says("receives").await;
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    alice.send(&room, &text("one")).await.unwrap();
    acknowledged(&harness).await;
    stops(program).await;

    let path = harness.path().join("state/bot.db");
    let current = fs::read(&path).unwrap();
    bring_up(&path);
    let copy = harness.path().join(format!("state/bot.db.v{}", STEPS.len()));
    let (newer, asked) = (fs::read(&path).unwrap(), gate.accepted.get());
    let (code, log) = Program::start(&mut command).ends().await;
    assert_eq!(code, Some(78), "{log}");
    let (version, known) = (STEPS.len() + 1, STEPS.len());
    let told =
        format!("state/bot.db` has schema version `{version}`, this release of retaind knows versions up to `{known}`");
    assert!(log.contains(&told) && log.contains("run the newer release"), "{log}");
    assert_eq!(fs::read(&path).unwrap(), newer, "byte for byte");
    assert_eq!(gate.accepted.get(), asked, "the network was not asked");
    assert!(!harness.path().join("state/starts.json").exists(), "and it is no failed start");

    // what was kept is the whole state of the older release, and works
    assert_ne!(newer, current);
    fs::copy(&copy, &path).unwrap();
    let mut program = Program::start(&mut command);
    program.says("receives").await;
    alice.send(&room, &text("two")).await.unwrap();
    acknowledged(&harness).await;
    stops(program).await;
    assert_eq!(harness.records().len(), 3, "each place once");
    harness.stop().await;
}

/// Version and tables of a file, as SQL.
fn tables(path: &Path) -> String {
    let database = Connection::open(path).unwrap();
    let version: i64 = database.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    let sql = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY tbl_name, name";
    let mut statement = database.prepare(sql).unwrap();
    let all = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let mut text = format!("-- {name}, version {version}\n");
    for sql in all {
        let words = sql.unwrap();
        text += &words.split_whitespace().collect::<Vec<_>>().join(" ");
        text += ";\n";
    }
    text
}

/// Who changes a table adds a step to `STEPS`, and a version. Before the first release: `RETAIND_BLESS=1`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_do_not_change_without_a_new_version() {
    let home = tempfile::tempdir().unwrap();
    was_there(home.path()).await;
    let state = home.path().join("state");
    let found = tables(&state.join("bot.db")) + &tables(&state.join("network/network.sqlite"));
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tables.sql");
    if std::env::var_os("RETAIND_BLESS").is_some() {
        fs::write(&golden, &found).unwrap();
    }
    assert_eq!(found, fs::read_to_string(&golden).unwrap(), "tables changed, and their version did not");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedded_network_of_a_newer_release_is_78_and_left_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let mut command = was_there(home.path()).await;
    let path = home.path().join("state/network/network.sqlite");
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 9).unwrap();
    let before = fs::read(&path).unwrap();
    let (code, log) = Program::start(&mut command).ends().await;
    assert_eq!(code, Some(78), "{log}");
    assert!(log.contains("network.sqlite` has schema version `9`"), "{log}");
    assert_eq!(fs::read(&path).unwrap(), before);
}
