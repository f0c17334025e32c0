use std::io::Write as _;

use serde_json::json;

use super::*;

const ON_TERMINAL: Terminal = Terminal { output: true, errors: true, columns: 60 };

fn guarded(parts: &[&[u8]], terminal: Terminal) -> String {
    let mut out = Vec::new();
    let mut guard = Guarded::new(&mut out, terminal);
    for part in parts {
        guard.write_all(part).unwrap();
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn a_terminal_is_never_steered_by_an_archive() {
    let hostile = "\u{1b}[2J\u{202e}evil\u{2066}\u{9b}31m\r\u{8}\u{7f}\u{e0041}\u{feff}\nplain é 👩🏽‍🚀";
    let shown = guarded(&[hostile.as_bytes()], ON_TERMINAL);
    assert_eq!(shown, "\\u001b[2J\\u202eevil\\u2066\\u009b31m\\u000d\\u0008\\u007f\\udb40\\udc41\\ufeff\nplain é 👩🏽‍🚀");
    assert_eq!(guarded(&[hostile.as_bytes()], NO_TERMINAL), hostile, "elsewhere bytes are bytes");
    // cut anywhere, and with bytes that are no text
    for at in 0..hostile.len() {
        let (head, tail) = hostile.as_bytes().split_at(at);
        assert_eq!(guarded(&[head, tail], ON_TERMINAL), shown, "{at}");
    }
    assert_eq!(guarded(&[b"a\xffb\xc3"], ON_TERMINAL), "a\u{fffd}b");
}

#[test]
fn json_that_a_terminal_shows_is_still_the_same_json() {
    let value = json!({"message": "\u{202e}\u{7f}\u{9b}\u{e0041}"});
    let shown = guarded(&[value.to_string().as_bytes()], ON_TERMINAL);
    assert!(shown.is_ascii());
    assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
}

fn sheet(format: Format, rows: &[[serde_json::Value; 3]]) -> String {
    let mut out = Vec::new();
    let mut sheet = Sheet::new(&mut out, format, &["name", "count", "text"]).unwrap();
    for row in rows {
        sheet.row(row).unwrap();
    }
    sheet.finish().unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn rows_have_four_forms() {
    let rows = [[json!("a"), json!(1), json!("=1+1")], [json!("bcd"), json!(null), json!(["x", "y\nz\u{1b}"])]];
    let table = "NAME  COUNT  TEXT\na     1      =1+1\nbcd          x, y\\u000az\\u001b\n";
    assert_eq!(sheet(Format::Table, &rows), table);
    let jsonl = "{\"name\":\"a\",\"count\":1,\"text\":\"=1+1\"}\n\
        {\"name\":\"bcd\",\"count\":null,\"text\":[\"x\",\"y\\nz\\u001b\"]}\n";
    assert_eq!(sheet(Format::Jsonl, &rows), jsonl);
    let array: Vec<serde_json::Value> = serde_json::from_str(&sheet(Format::Json, &rows)).unwrap();
    assert_eq!(array.len(), 2);
    assert_eq!(sheet(Format::Json, &[]), "[]\n");
    let csv = "\"name\",\"count\",\"text\"\r\n\"a\",\"1\",\"'=1+1\"\r\n\"bcd\",\"\",\"x, y\nz\u{1b}\"\r\n";
    assert_eq!(sheet(Format::Csv, &rows), csv);
    assert_eq!(sheet(Format::Table, &[]), "");
}

#[test]
fn a_table_cuts_all_columns_but_the_last_in_rows_far_down_too() {
    let long = json!("x".repeat(200));
    let rows: Vec<[serde_json::Value; 3]> = (0..500).map(|n| [long.clone(), json!(n), long.clone()]).collect();
    let table = sheet(Format::Table, &rows);
    assert_eq!(table.lines().count(), 501);
    for line in table.lines().skip(1) {
        assert_eq!(line.chars().count(), 64 + 2 + 5 + 2 + 200, "{line}");
    }
}
