//! A search finds what a naive filter finds, for hundreds of random archives and queries.

use serde_json::{Value, json};

use super::run;
use crate::samples::{DIRECT, Dice, ROOM, Sample, edit, id, joined, members, reaction, recall, record, text};

const WORDS: [&str; 12] = [
    "alpha",
    "Beta",
    "gamma;",
    "K2",
    "caf\u{e9}",
    "cafe\u{301}",
    "a/b",
    "\"q\"",
    "日本",
    "be\\ta",
    "\u{212a}2",
    "\u{85}x",
];
const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];
const QUERIES: [&str; 14] = [
    "alpha",
    "Beta",
    "beta",
    "gamma;",
    "K2",
    "caf\u{e9}",
    "cafe\u{301}",
    "a/b",
    "\"q\"",
    "日本",
    "e\\t",
    "cafe",
    "x",
    "al",
];

fn words(dice: &mut Dice) -> String {
    (0..1 + dice.below(4)).map(|_| *dice.pick(&WORDS)).collect::<Vec<_>>().join(" ")
}

/// Lines, and for each the raw text that some writer may make of it.
fn archive(dice: &mut Dice) -> Vec<Value> {
    let mut lines = vec![joined(ROOM, 1, &["alice", "bob"]), joined(DIRECT, 1, &["carol", "dave"])];
    for seq in 2..40 {
        let conversation = *dice.pick(&[ROOM, DIRECT]);
        let (sender, target) = (*dice.pick(&USERS), 2 + dice.below(40));
        let said = words(dice);
        lines.push(match dice.below(8) {
            0 => edit(conversation, seq, sender, target, &said),
            1 => reaction(conversation, seq, sender, target, true),
            2 => recall(conversation, seq, sender, target),
            3 if dice.below(2) == 0 => members(conversation, seq, &[sender], &[]),
            3 => members(conversation, seq, &[], &[sender]),
            4 => record(conversation, seq, sender, 6000, json!({"file": {"filename": said, "status": "missing"}})),
            _ => text(conversation, seq, sender, &said),
        });
    }
    lines
}

/// JSON with some characters as `\u` that need none, as other writers may have it.
fn written(line: &Value, dice: &mut Dice) -> String {
    let raw = line.to_string();
    match dice.below(3) {
        0 => raw.chars().map(|c| if c.is_ascii() { c.to_string() } else { escape(c) }).collect(),
        1 => raw.replace("alpha", "\\u0061lpha").replace('/', "\\/"),
        _ => raw,
    }
}

fn escape(c: char) -> String {
    c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
}

/// What the filter's documentation says, over the parsed lines, as simply as can be.
struct Naive<'a> {
    lines: &'a [Value],
}

impl Naive<'_> {
    fn own_text(line: &Value) -> String {
        let part = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let all = part(&line["message"]) + &part(&line["edit"]["text"]) + &part(&line["file"]["filename"]);
        use unicode_normalization::UnicodeNormalization as _;
        all.nfc().collect()
    }

    fn has_text(&self, line: &Value, query: &str) -> bool {
        use unicode_normalization::UnicodeNormalization as _;
        let query: String = query.nfc().collect();
        let is_edit_of = |other: &&Value| {
            other["edit"]["originalmessageid"] == line["message_id"]
                && other["msgtype"] == 9000
                && other["sender"] == line["sender"]
                && other["vgroupid"] == line["vgroupid"]
        };
        Self::own_text(line).contains(&query)
            || self.lines.iter().filter(is_edit_of).any(|edit| Self::own_text(edit).contains(&query))
    }

    /// Goes through the conversation from its beginning to the line.
    fn is_member(&self, line: &Value, user: &str) -> bool {
        let lists = |value: &Value| value.as_array().is_some_and(|users| users.iter().any(|name| name == user));
        let seq = line["seq"].as_u64().unwrap();
        let mut of: Vec<&Value> = self.lines.iter().filter(|other| other["vgroupid"] == line["vgroupid"]).collect();
        of.sort_by_key(|other| other["seq"].as_u64());
        let mut is = false;
        for other in of.iter().take_while(|other| other["seq"].as_u64().unwrap() <= seq) {
            let control = &other["control"];
            is |= lists(&control["members"]) || lists(&control["addedusers"]);
            // whoever is removed by this very record is involved in it
            is &= !(lists(&control["deletedusers"]) && other["seq"].as_u64().unwrap() < seq);
        }
        let is_named = |name: &str| lists(&line["control"][name]);
        is || is_named("members") || is_named("addedusers") || is_named("deletedusers")
    }

    fn is_involved(&self, line: &Value, user: &str) -> bool {
        line["sender"] == user || self.is_member(line, user)
    }
}

#[test]
fn a_search_finds_what_a_naive_filter_finds() {
    for seed in 0..150 {
        let mut dice = Dice(seed);
        let lines = archive(&mut dice);
        let mut segments = vec![Vec::new(), Vec::new(), Vec::new()];
        for line in &lines {
            let segment = usize::try_from(dice.below(3)).unwrap();
            segments[segment].push(written(line, &mut dice));
        }
        let sample = Sample::of_lines(&segments);
        let naive = Naive { lines: &lines };
        for _ in 0..4 {
            let (query, user) = (*dice.pick(&QUERIES), *dice.pick(&USERS));
            let (with_text, with_user, with_type) = (dice.below(3) > 0, dice.below(2) > 0, dice.below(3) == 0);
            let mut options = Vec::new();
            if with_text || !with_user {
                options.extend(["--text", query]);
            }
            if with_user {
                options.extend(["--person", user]);
            }
            if with_type {
                options.extend(["--type", "text,6000"]);
            }
            let wanted = |line: &&Value| {
                (!with_text && with_user || naive.has_text(line, query))
                    && (!with_user || naive.is_involved(line, user))
                    && (!with_type || line["msgtype"] == 1000 || line["msgtype"] == 6000)
            };
            let key = |line: &Value| {
                (
                    line["vgroupid"].as_str().or(line["conversation"].as_str()).unwrap().to_owned(),
                    line["seq"].as_u64().unwrap(),
                )
            };
            let mut expected: Vec<_> = lines.iter().filter(wanted).map(key).collect();
            let (code, out, err) = run(&sample, "search", &options);
            let mut found: Vec<_> =
                out.lines().map(|line| key(&serde_json::from_str::<Value>(line).unwrap())).collect();
            expected.sort();
            found.sort();
            assert_eq!(found, expected, "seed {seed}: {options:?} {err}");
            assert_eq!(code, u8::from(expected.is_empty()));
        }
    }
    assert_eq!(id(ROOM, 1).len(), 32);
}
