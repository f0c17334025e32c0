use serde_json::json;

use super::*;
use crate::samples;

#[test]
fn every_golden_record_is_read_with_its_type() {
    for (name, line) in samples::golden() {
        let record = Record::parse(line.as_bytes()).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        let number = name.split(['-', '.']).next().unwrap();
        assert_eq!(record.msgtype.to_string(), number, "{name}");
        assert_ne!(record.kind(), Kind::Unknown, "{name}");
        assert_eq!(record.raw, line, "{name}");
        assert!(record.seq.is_some() && record.received.is_some() && record.sent.is_some(), "{name}");
        let known = KINDS.iter().any(|(kind, _, msgtype)| *kind == record.kind() && *msgtype == Some(record.msgtype));
        assert!(known, "{name}: the table of kinds");
    }
}

#[test]
fn kinds_have_one_name_each_and_it_is_read_back() {
    for (kind, name, _) in KINDS {
        assert_eq!((kind.name(), name.parse()), (name, Ok(kind)));
    }
    assert!("texts".parse::<Kind>().unwrap_err().contains("key-verification"));
}

fn parsed(line: &serde_json::Value) -> Record {
    Record::parse(line.to_string().as_bytes()).unwrap()
}

#[test]
fn lines_of_the_closed_bot_are_read() {
    let common = json!({"id": "a526085032fa11ee9a74053bb1017859", "sender": "user002", "time": "8/4/23 7:10 PM",
        "vgroupid": samples::ROOM});
    let with = |own: serde_json::Value| {
        let mut line = common.clone();
        line.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        parsed(&line)
    };
    let text = with(json!({"msgtype": 1000, "message": "hi", "ttl": "9/3/23 7:10 PM", "bor": "8/4/23 7:11 PM"}));
    assert_eq!((text.seq, text.message_id.as_str()), (None, "a526085032fa11ee9a74053bb1017859"));
    assert_eq!(text.at(Clock::Accepted).unwrap().to_string(), "2023-08-04T19:10:00Z");
    assert_eq!(text.expires.unwrap().to_string(), "2023-09-03T19:10:00Z");
    assert_eq!(text.bor, Some(Scalar::Text("8/4/23 7:11 PM".to_owned())));
    let recall = with(json!({"msgtype": 4011, "control": {"isrecall": true, "message_id": "4ab5", "msgtype": 4011}}));
    assert_eq!(recall.body, Body::Deletion { target: "4ab5".to_owned(), scope: Scope::Everyone });
    assert_eq!(with(json!({"msgtype": 4003})).body, Body::Left(vec!["user002".to_owned()]));
    let edit = with(json!({"msgtype": 9000, "content_edited": true,
        "edit": {"originalmessageid": "84da", "text": "new", "type": "edit_content"}}));
    assert_eq!(edit.kind(), Kind::Edit);
    let preview = with(json!({"msgtype": 9000, "edit": {"type": "text", "linkimagemeta": {"guid": "x"},
        "links": [{"url": "https://a.example", "pagetitle": "A"}]}}));
    let expected = Edit { target: None, text: None, links: vec!["https://a.example".to_owned()] };
    assert_eq!(preview.body, Body::Edit(expected));
    let file = with(json!({"msgtype": 6000, "file": {"filename": "a.pdf", "guid": "g", "localfilename": "c-a.pdf"}}));
    assert!(file.file().unwrap().is_saved());
    assert_eq!(with(json!({"msgtype": 4242})).body, Body::Unknown);
}

#[test]
fn later_lines_have_the_networks_time_and_the_claim_apart() {
    let base =
        json!({"msgtype": 4005, "vgroupid": "x", "msg_ts": "1691176258.5", "received_iso": "2023-08-04 19:20:00.000"});
    let with = |field: &str, value: &str| {
        let mut line = base.clone();
        line.as_object_mut().unwrap().insert(field.to_owned(), json!(value));
        parsed(&line)
    };
    let shown = |time: Option<jiff::Timestamp>| time.unwrap().to_string();
    let accepted = with("accepted_iso", "2023-08-04 19:11:00.000");
    assert_eq!(shown(accepted.at(Clock::Accepted)), "2023-08-04T19:11:00Z");
    assert_eq!(shown(accepted.at(Clock::Sent)), "2023-08-04T19:10:58.5Z");
    assert!(!accepted.is_backdated(), "two seconds");
    let claimed = with("sent_iso", "2023-08-04 18:00:00.000");
    assert_eq!(shown(claimed.at(Clock::Accepted)), "2023-08-04T19:10:58.5Z");
    assert_eq!(shown(claimed.at(Clock::Sent)), "2023-08-04T18:00:00Z");
    assert!(claimed.is_backdated());
    let today = parsed(&base);
    assert_eq!(shown(today.at(Clock::Accepted)), "2023-08-04T19:20:00Z");
    assert!(today.is_backdated(), "nine minutes before the bot received it");
}

#[test]
fn hostile_lines_are_refused_without_a_panic_and_without_their_content() {
    let deep = format!("{{\"msgtype\":1000,\"vgroupid\":\"x\",\"z\":{}", "[".repeat(100_000));
    let hostile: [&[u8]; 16] = [
        b"",
        b"null",
        b"[]",
        b"\"secret\"",
        b"{",
        b"{\"msgtype\":1000}",
        b"{\"vgroupid\":\"x\",\"message\":\"secret\"}",
        b"{\"msgtype\":1000,\"msgtype\":4005,\"vgroupid\":\"x\"}",
        b"{\"msgtype\":\"secret\",\"vgroupid\":\"x\"}",
        b"{\"msgtype\":1000,\"vgroupid\":[\"secret\"]}",
        b"{\"msgtype\":-1,\"vgroupid\":\"x\"}",
        b"{\"msgtype\":1000,\"vgroupid\":\"x\",\"seq\":1.5,\"message\":\"secret\"}",
        b"{\"msgtype\":1000,\"vgroupid\":\"x\"}",
        b"{\"msgtype\":1000,\"vgroupid\":\"x\",\"message\":\"\\ud800\"}",
        b"{\"msgtype\":1000,\"vgroupid\":\"x\",\"message\":\"secret\xff\"}",
        deep.as_bytes(),
    ];
    for line in hostile {
        let fault = Record::parse(line).unwrap_err().to_string();
        assert!(!fault.contains("secret"), "{fault}");
    }
    let fault = Record::parse(b"{\"msgtype\":7000,\"vgroupid\":\"x\"}").unwrap_err();
    assert_eq!(fault, LineFault::NoField { msgtype: 7000, field: "call" });
    // unknown fields may be anything but too deep
    assert!(Record::parse(b"{\"a\":[{}],\"a\":1,\"msgtype\":4005,\"vgroupid\":\"x\"}").is_ok());
}

#[test]
fn any_cut_or_changed_golden_record_is_read_or_refused() {
    let mut dice = samples::Dice(7);
    for (_, line) in samples::golden() {
        let bytes = line.as_bytes();
        for _ in 0..200 {
            let mut bytes = bytes.to_vec();
            let at = usize::try_from(dice.below(u64::try_from(bytes.len()).unwrap())).unwrap();
            match dice.below(3) {
                0 => bytes.truncate(at),
                1 => bytes[at] = u8::try_from(dice.below(256)).unwrap(),
                _ => drop(bytes.remove(at)),
            }
            drop(Record::parse(&bytes));
        }
    }
}
