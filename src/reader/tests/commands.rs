use serde_json::{Value, json};

use super::{run, run_on};
use crate::output::Terminal;
use crate::samples::{
    DIRECT, ROOM, Sample, edit, golden, joined, members, reaction, recall, receipt, record, text, titled,
};

fn story() -> Sample {
    let file = json!({"filename": "plan.pdf", "filesize": 5, "filehash": "ab".repeat(32), "guid": "g",
        "localfilename": "attachment_1_plan.pdf", "status": "saved"});
    let sample = Sample::of(&[
        vec![
            joined(ROOM, 1, &["alice", "bob", "carol"]),
            titled(ROOM, 2, "Budget"),
            text(ROOM, 3, "alice", "the first figure"),
            text(ROOM, 4, "bob", "a second text"),
            edit(ROOM, 5, "alice", 3, "the corrected number"),
            members(ROOM, 6, &[], &["carol"]),
        ],
        vec![
            record(ROOM, 7, "bob", 6000, json!({"file": file})),
            reaction(ROOM, 8, "bob", 3, true),
            recall(ROOM, 9, "bob", 4),
            receipt(ROOM, 10, "bob", 3),
            titled(ROOM, 11, "Budget 2027"),
            record(DIRECT, 1, "carol", 1000, json!({"message": "hello", "receiver": "dave"})),
        ],
    ]);
    std::fs::write(sample.path().join("attachment_1_plan.pdf"), "%PDF-").unwrap();
    sample
}

fn lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn field(out: &str, name: &str) -> Vec<Value> {
    lines(out).iter().map(|line| line[name].clone()).collect()
}

#[test]
fn a_search_finds_an_edited_message_by_any_of_its_versions() {
    let sample = story();
    for (needle, found) in [("first figure", vec![3]), ("corrected", vec![3, 5]), ("FIRST", vec![])] {
        let (code, out, _) = run(&sample, "search", &["--text", needle]);
        assert_eq!(field(&out, "seq"), found, "{needle}");
        assert_eq!(code, u8::from(found.is_empty()), "{needle}");
    }
    let (_, out, _) = run(&sample, "search", &["--text", "FIRST", "--ignore-case", "--word"]);
    let hit = &lines(&out)[0];
    assert_eq!(
        (&hit["title"], &hit["file"]),
        (&json!("Budget"), &json!("receivedMessages_20260601T100000.000Z_47000001.txt"))
    );
    assert_eq!(hit["could_see"], json!(["alice", "bob", "carol"]));
    assert_eq!(hit["state"], json!(["edited", "reacted"]));
    assert_eq!(hit["line"], 3);
}

#[test]
fn a_person_is_found_by_what_they_could_see_and_no_longer() {
    let sample = story();
    let seqs = |options: &[&str]| field(&run(&sample, "search", options).1, "seq");
    assert_eq!(seqs(&["--person", "carol"]), [1, 2, 3, 4, 5, 6, 1], "until she was removed, and her own");
    assert_eq!(seqs(&["--person", "carol", "--role", "author"]), [1]);
    assert_eq!(seqs(&["--person", "carol", "--role", "mentioned"]), [1, 6]);
    assert_eq!(seqs(&["--person", "dave", "--role", "receiver"]), [1]);
    let list = sample.path().join("people.list");
    std::fs::write(&list, "carol\n\n dave \n").unwrap();
    let given = format!("@{}", list.display());
    assert_eq!(seqs(&["--person", &given, "--kind", "direct"]), [1]);
}

#[test]
fn a_timeline_shows_both_texts_the_recall_with_its_text_and_the_file() {
    let sample = story();
    let (code, out, _) = run(&sample, "search", &["--person", "bob", "--timeline"]);
    assert_eq!(code, 0);
    let items = lines(&out);
    let of = |seq: u64| items.iter().find(|item| item["message"]["seq"] == seq).unwrap();
    let texts: Vec<&Value> = of(3)["versions"].as_array().unwrap().iter().map(|version| &version["text"]).collect();
    assert_eq!(texts, ["the first figure", "the corrected number"]);
    assert_eq!(of(3)["reactions"], json!([{"reaction": "👍", "users": ["bob"]}]));
    assert_eq!(of(3)["modifiers"].as_array().unwrap().len(), 3);
    assert_eq!(of(4)["recalled"]["by"], "bob");
    assert_eq!(of(4)["message"]["message"], "a second text");
    assert_eq!(of(4)["message"]["_state"], json!(["recalled"]));
    assert_eq!(of(7)["message"]["file"]["filehash"], "ab".repeat(32));
    assert_eq!(of(1)["message"]["_participants"], json!(["alice", "bob", "carol"]));
    let (_, table, _) = run(&sample, "cat", &["--timeline", "--format", "table"]);
    let first = table.lines().position(|line| line.contains("the first figure")).unwrap();
    assert!(table.lines().nth(first + 1).unwrap().contains("└ edited: the corrected number"), "{table}");
}

#[test]
fn conversations_are_named_by_id_beginning_or_title() {
    let sample = story();
    for given in [ROOM, &ROOM[..8], "Budget", "Budget 2027"] {
        let (code, out, err) = run(&sample, "search", &["--conversation", given]);
        assert_eq!((code, lines(&out).len()), (0, 11), "{given}: {err}");
    }
    assert_eq!(lines(&run(&sample, "search", &["--title-regex", "^Budg.t$"]).1).len(), 11);
    let (code, _, err) = run(&sample, "search", &["--conversation", "Budge"]);
    assert_eq!(code, 78);
    assert!(err.contains("`Budge`"), "{err}");
    let twin = format!("{}{}", &ROOM[..20], "0".repeat(44));
    let two = Sample::of(&[vec![text(ROOM, 1, "a", "x"), text(&twin, 1, "a", "x")]]);
    let (code, _, err) = run(&two, "search", &["--conversation", &ROOM[..20]]);
    assert!(code == 78 && err.contains(&twin), "{err}");
}

#[test]
fn cat_gives_lines_back_byte_for_byte() {
    let all: Vec<String> = golden().into_iter().map(|(_, line)| line).collect();
    let sample = Sample::of_lines(std::slice::from_ref(&all));
    let (code, out, _) = run(&sample, "cat", &["--raw"]);
    assert_eq!((code, out.lines().collect::<Vec<_>>()), (0, all.iter().map(String::as_str).collect()));
    // golden records of one place differ: each is there, and marked
    let (_, out, _) = run(&sample, "cat", &[]);
    let distinct: std::collections::BTreeSet<&String> = all.iter().collect();
    assert_eq!(out.lines().count(), distinct.len());
    let (_, out, _) = run(&sample, "cat", &["--enrich", "--json"]);
    let array: Vec<Value> = serde_json::from_str(&out).unwrap();
    assert!(array.iter().all(|line| line["_source"]["file"] == "receivedMessages.txt" && line["_state"].is_array()));
    assert!(array.iter().any(|line| line["_state"].as_array().unwrap().contains(&json!("conflict"))));
    for options in [&["--timeline", "--format", "csv"][..], &["--format", "table"], &["--timeline", "--json"]] {
        assert_eq!(run(&sample, "cat", options).0, 0, "{options:?}");
    }
}

#[test]
fn bad_lines_are_named_and_change_the_exit_code_unless_they_may_be_there() {
    let good = text(ROOM, 1, "alice", "needle").to_string();
    let sample = Sample::of_lines(&[vec![good, r#"{"message":"needle","msgtype":"secret"}"#.to_owned()]]);
    for (command, options) in
        [("cat", &[][..]), ("cat", &["--raw"]), ("search", &["--text", "needle"]), ("stats", &[]), ("ls", &[])]
    {
        let (code, _, err) = run(&sample, command, options);
        assert_eq!(code, 1, "{command}");
        assert!(err.contains("receivedMessages.txt:2: line is not a record"), "{command}: {err}");
        assert!(err.contains("1 line is no record") && !err.contains("secret"), "{command}: {err}");
        let (code, _, _) = run(&sample, command, &[options, &["--allow-bad-lines"]].concat());
        assert_eq!(code, 0, "{command}");
    }
}

#[test]
fn neighbours_first_reverse_and_samples() {
    let sample =
        Sample::of(&[(1..=20).map(|seq| text(ROOM, seq, "alice", if seq == 10 { "hit" } else { "-" })).collect()]);
    let seqs = |options: &[&str]| field(&run(&sample, "search", options).1, "seq");
    assert_eq!(seqs(&["--text", "hit", "-B", "2", "-A", "1"]), [8, 9, 10, 11]);
    assert_eq!(seqs(&["--text", "hit", "-C", "1"]), [9, 10, 11]);
    assert_eq!(seqs(&["--type", "text", "--first", "3"]), [1, 2, 3]);
    assert_eq!(seqs(&["--type", "text", "--first", "3", "--reverse"]), [20, 19, 18]);
    let (one, again) = (seqs(&["--type", "text", "--sample", "5"]), seqs(&["--type", "text", "--sample", "5"]));
    let other = seqs(&["--type", "text", "--sample", "5", "--seed", "2"]);
    assert!(one.len() == 5 && one == again && one != other);
    let cat = |options: &[&str]| field(&run(&sample, "cat", options).1, "seq");
    assert_eq!(cat(&["--reverse", "--first", "2"]), [20, 19]);
    let (code, _, err) = run(&sample, "search", &[]);
    assert!(code == 78 && err.contains("condition"), "{err}");
}

#[test]
fn stats_count_and_compare() {
    let sample = story();
    let (code, out, _) = run(&sample, "stats", &["--json"]);
    let stats: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 0);
    let total = &stats["total"];
    assert_eq!([&total["records"], &total["edits"], &total["recalls"], &total["attachments"]], [12, 1, 1, 1]);
    assert_eq!((&total["attachment_bytes"], &total["conversations"]), (&json!(5), &json!(2)));
    assert_eq!(stats["type"]["text"]["records"], 3);
    assert_eq!(stats["msgtype"]["4002"]["records"], 1);
    assert_eq!(stats["conversation"][ROOM]["name"], "Budget 2027");
    let replica = story();
    let other = replica.path().to_str().unwrap();
    assert_eq!(run(&sample, "stats", &["--compare", other]), (0, String::new(), String::new()));
    std::fs::remove_file(replica.path().join("receivedMessages.txt")).unwrap();
    let (code, out, _) = run(&sample, "stats", &["--compare", other, "--format", "csv"]);
    assert_eq!(code, 1);
    assert!(out.contains("\"total\",\"records\",\"12\",\"6\""), "{out}");
}

#[test]
fn ls_lists_files_conversations_people_attachments_and_gaps() {
    let sample = story();
    let (_, out, _) = run(&sample, "ls", &[]);
    assert_eq!(field(&out, "records"), [6, 6]);
    assert_eq!(field(&out, "state"), ["sealed", "open"]);
    let (_, out, _) = run(&sample, "ls", &["--conversations"]);
    let room = lines(&out).into_iter().find(|line| line["id"] == ROOM).unwrap();
    assert_eq!((&room["title"], &room["members"]), (&json!("Budget 2027"), &json!(["alice", "bob"])));
    assert_eq!(room["titles"].as_array().unwrap().len(), 2);
    let (_, out, _) = run(&sample, "ls", &["--people"]);
    assert_eq!(field(&out, "user"), ["alice", "bob", "carol"]);
    assert_eq!(lines(&out)[1]["types"]["reaction"], 1);
    let (_, out, _) =
        run(&sample, "ls", &["--attachments", "--file-type", "pdf", "--file-size", ">4", "--file-name", "PLAN*"]);
    assert_eq!(field(&out, "in_archive"), [true]);
    assert_eq!(run(&sample, "ls", &["--gaps"]), (0, String::new(), String::new()));
    let hole = record(ROOM, 5, "", 0, json!({"hole": {"fromseq": 5, "toseq": 7}, "reason": "r"}));
    let holed = Sample::of(&[vec![text(ROOM, 2, "a", "x"), text(ROOM, 4, "a", "x"), hole, text(ROOM, 6, "a", "x")]]);
    let (code, out, _) = run(&holed, "ls", &["--gaps"]);
    assert_eq!((code, field(&out, "what")), (1, vec![json!("gap"), json!("hole"), json!("doubled")]));
    assert_eq!(field(&out, "from_seq"), [3, 5, 6]);
}

#[test]
fn no_format_lets_a_message_steer_the_terminal() {
    let sample = Sample::of(&[vec![text(ROOM, 1, "ali\u{202e}ce", "a\u{1b}[31m\u{9b}2J\r\u{2066}b")]]);
    let terminal = Terminal { output: true, errors: false, columns: 80 };
    let path = sample.path().to_str().unwrap();
    for options in [
        &["cat", path][..],
        &["cat", path, "--raw"],
        &["cat", path, "--json"],
        &["cat", path, "--timeline"],
        &["cat", path, "--format", "csv"],
        &["search", path, "--type", "text"],
        &["stats", path],
        &["ls", path, "--people"],
    ] {
        let (code, out, _) = run_on(terminal, options);
        assert_eq!(code, 0, "{options:?}");
        let steering = out.chars().find(|c| *c != '\n' && (c.is_control() || ('\u{202a}'..='\u{2069}').contains(c)));
        assert_eq!(steering, None, "{options:?}: {out}");
    }
}

#[test]
fn a_formula_is_a_text_in_a_csv() {
    let sample = Sample::of(&[vec![text(ROOM, 1, "alice", "=HYPERLINK(\"http://x\",\"y\")")]]);
    let (_, out, _) = run(&sample, "search", &["--type", "text", "--format", "csv"]);
    assert!(out.contains("\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\""), "{out}");
}
