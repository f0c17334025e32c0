//! Up, never half, never without a copy, and never down.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::*;

const ROWS: i64 = 20_000;

fn one(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("CREATE TABLE record (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT")
}

fn two(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("ALTER TABLE record ADD COLUMN length INTEGER; UPDATE record SET length=length(text);")
}

fn broken(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("DELETE FROM record; ALTER TABLE record ADD COLUMN nothing NONSENSE STRICT STRICT;")
}

fn dies(connection: &Connection) -> rusqlite::Result<()> {
    two(connection)?;
    std::process::abort()
}

const V1: &[Step] = &[one];
const V2: &[Step] = &[one, two];

fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;").unwrap();
    connection
}

/// A file of version 1 with rows.
fn first(path: &Path) {
    let mut connection = open(path);
    bring_up(&mut connection, path, V1).unwrap();
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < ?1)
        INSERT INTO record SELECT i, 'text ' || i FROM n";
    connection.execute(sql, [ROWS]).unwrap();
}

/// The version of a file that is whole; panics at one that is half.
fn whole(path: &Path) -> i64 {
    let connection = open(path);
    let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let found = version(&connection).unwrap();
    assert_eq!(connection.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0)).unwrap(), "ok");
    assert_eq!(count("SELECT count(*) FROM record").unwrap(), ROWS);
    let measured = count("SELECT count(*) FROM record WHERE length=length(text)");
    match found {
        1 => assert!(measured.is_err(), "the column of version 2"),
        2 => assert_eq!(measured.unwrap(), ROWS),
        other => panic!("version {other}"),
    }
    found
}

fn names(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| !name.ends_with("-wal") && !name.ends_with("-shm")).collect();
    names.sort();
    names
}

#[test]
fn a_new_file_is_of_the_newest_version_and_has_no_copy() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("bot.db");
    refuse_newer(&path, V2).unwrap();
    assert!(!path.exists(), "a look makes no file");
    let mut connection = open(&path);
    bring_up(&mut connection, &path, V2).unwrap();
    bring_up(&mut connection, &path, V2).unwrap();
    assert_eq!((version(&connection).unwrap(), names(home.path())), (2, vec!["bot.db".to_owned()]));
    assert!(has_table(&connection, "record").unwrap() && !has_table(&connection, "ship").unwrap());
}

#[test]
fn an_older_file_is_brought_up_and_what_it_was_lies_beside_it_for_nobody_else() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("bot.db");
    first(&path);
    bring_up(&mut open(&path), &path, V2).unwrap();
    assert_eq!(whole(&path), 2);
    assert_eq!(names(home.path()), ["bot.db", "bot.db.v1"]);
    let copy = home.path().join("bot.db.v1");
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(whole(&copy), 1);
}

#[test]
fn a_step_that_fails_changes_nothing_and_makes_one_copy_however_often_it_is_tried() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("bot.db");
    first(&path);
    for _ in 0..3 {
        let error = bring_up(&mut open(&path), &path, &[one, broken]).unwrap_err();
        assert!(matches!(error, SchemaError::Step { from: 1, to: 2, .. }) && error.fault() == Fault::Stop);
        assert!(error.to_string().contains("bot.db` cannot be brought from schema version `1` to `2`"), "{error}");
        assert_eq!(whole(&path), 1);
    }
    assert_eq!(names(home.path()), ["bot.db", "bot.db.v1"]);
    bring_up(&mut open(&path), &path, V2).unwrap();
    assert_eq!((whole(&path), names(home.path()).len()), (2, 2));
}

#[test]
fn an_earlier_copy_is_never_replaced_and_there_is_an_end_to_copies() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("bot.db");
    first(&path);
    fs::write(home.path().join("bot.db.v1"), "of an earlier try").unwrap();
    bring_up(&mut open(&path), &path, V2).unwrap();
    assert_eq!(fs::read(home.path().join("bot.db.v1")).unwrap(), b"of an earlier try");
    assert_eq!(names(home.path()), ["bot.db", "bot.db.v1", "bot.db.v1.2"]);
    assert_eq!(whole(&home.path().join("bot.db.v1.2")), 1);

    let path = home.path().join("full.db");
    first(&path);
    fs::write(home.path().join("full.db.v1"), "1").unwrap();
    for number in 2..=COPIES_MAX {
        fs::write(home.path().join(format!("full.db.v1.{number}")), number.to_string()).unwrap();
    }
    let error = bring_up(&mut open(&path), &path, V2).unwrap_err();
    assert!(error.fault() == Fault::Configuration && error.to_string().contains("move some away"), "{error}");
    assert_eq!(whole(&path), 1);
    assert!(!home.path().join("full.db.v1.part").exists());
}

#[test]
fn a_newer_file_is_refused_with_both_versions_and_left_byte_for_byte() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("bot.db");
    first(&path);
    bring_up(&mut open(&path), &path, V2).unwrap();
    let before = fs::read(&path).unwrap();
    let error = refuse_newer(&path, V1).unwrap_err();
    assert!(error.fault() == Fault::Configuration);
    let text = error.to_string();
    assert!(text.contains("bot.db` has schema version `2`") && text.contains("up to `1`: run the newer"), "{text}");
    assert!(bring_up(&mut Connection::open(&path).unwrap(), &path, V1).is_err());
    assert_eq!(fs::read(&path).unwrap(), before);
    // what no release has written is newer as well
    open(&path).pragma_update(None, "user_version", -1).unwrap();
    assert!(matches!(refuse_newer(&path, V2), Err(SchemaError::Newer { found: -1, known: 2, .. })));
}

/// What a test starts as another process, to be killed.
#[test]
fn child() {
    let Ok(path) = std::env::var("SCHEMA_TEST_FILE") else { return };
    let steps: &[Step] = if std::env::var("SCHEMA_TEST_DIES").is_ok() { &[one, dies] } else { V2 };
    bring_up(&mut open(Path::new(&path)), Path::new(&path), steps).unwrap();
}

fn spawn(path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "schema::tests::child"]).env("SCHEMA_TEST_FILE", path);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
fn a_process_that_dies_in_the_transaction_leaves_the_old_version_and_its_copy() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("bot.db");
    first(&path);
    for _ in 0..2 {
        assert!(!spawn(&path).env("SCHEMA_TEST_DIES", "1").status().unwrap().success());
        assert_eq!(whole(&path), 1);
        assert_eq!(names(home.path()), ["bot.db", "bot.db.v1"]);
    }
    bring_up(&mut open(&path), &path, V2).unwrap();
    assert_eq!((whole(&path), whole(&home.path().join("bot.db.v1"))), (2, 1));
}

#[test]
fn what_a_kill_around_the_copy_leaves_is_no_obstacle() {
    let home = tempfile::tempdir().unwrap();
    // in the middle of the copy
    let path = home.path().join("middle.db");
    first(&path);
    fs::write(home.path().join("middle.db.v1.part"), &fs::read(&path).unwrap()[..5000]).unwrap();
    bring_up(&mut open(&path), &path, V2).unwrap();
    assert_eq!((whole(&path), whole(&home.path().join("middle.db.v1"))), (2, 1));
    // it has its name, and the next start was killed in the middle of its own
    let path = home.path().join("named.db");
    first(&path);
    keep_copy(&path, 1).unwrap();
    fs::write(home.path().join("named.db.v1.part"), "SQLite").unwrap();
    bring_up(&mut open(&path), &path, V2).unwrap();
    assert_eq!((whole(&path), whole(&home.path().join("named.db.v1"))), (2, 1));
    assert_eq!(names(home.path()), ["middle.db", "middle.db.v1", "named.db", "named.db.v1"]);
}

#[test]
fn killed_at_any_instant_the_file_is_old_or_new() {
    const KILLS: u32 = 40;
    let home = tempfile::tempdir().unwrap();
    let made = home.path().join("made.db");
    first(&made);
    let path = home.path().join("bot.db");
    fs::copy(&made, &path).unwrap();
    let began = Instant::now();
    assert!(spawn(&path).status().unwrap().success());
    let lasts = began.elapsed();
    let mut ended = [0, 0];
    for kill in 0..KILLS {
        for name in names(home.path()).iter().filter(|name| name.starts_with("bot.db")) {
            for end in ["", "-wal", "-shm"] {
                fs::remove_file(home.path().join(format!("{name}{end}"))).ok();
            }
        }
        fs::copy(&made, &path).unwrap();
        let mut process = spawn(&path).spawn().unwrap();
        // the instant is what is tested; nothing is waited for
        std::thread::sleep(lasts * kill / KILLS);
        process.kill().unwrap();
        process.wait().unwrap();
        let version = whole(&path);
        ended[usize::try_from(version).unwrap() - 1] += 1;
        if version == 2 {
            assert_eq!(whole(&home.path().join("bot.db.v1")), 1);
        }
        bring_up(&mut open(&path), &path, V2).unwrap();
        assert_eq!((whole(&path), whole(&home.path().join("bot.db.v1"))), (2, 1));
        assert!(!home.path().join("bot.db.v1.2").exists() && !home.path().join("bot.db.v1.part").exists());
    }
    println!("old {}, new {}", ended[0], ended[1]);
}
