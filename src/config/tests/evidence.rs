//! What proves the archive: switched off, and with values that make no sense.

use super::*;

#[test]
fn evidence_is_on_unless_it_is_switched_off() {
    let on = loaded(&[BOT]).evidence.unwrap();
    assert_eq!((on.directory, on.interval), (None, Some(Duration::from_secs(3600))));
    assert!(loaded(&[BOT, ("RETAIND_EVIDENCE", "off")]).evidence.is_none());
    let quiet = loaded(&[BOT, ("RETAIND_EVIDENCE_INTERVAL", "0")]).evidence.unwrap();
    assert_eq!((quiet.interval, quiet.checkpoints), (None, Duration::from_secs(3600)));
}

#[test]
fn a_name_that_no_note_can_carry_is_refused_and_so_is_a_time_without_end() {
    for (name, value, why) in [
        ("RETAIND_EVIDENCE_ORIGIN", "a bot", "not a name of a key: 1 to 256 bytes"),
        ("RETAIND_EVIDENCE_ORIGIN", "a+b", "not a name of a key: 1 to 256 bytes"),
        ("RETAIND_EVIDENCE_INTERVAL", "44641", "not a whole number of minutes from 0 to 44640"),
        ("RETAIND_CHECKPOINT_MINUTES", "0", "not a whole number of minutes from 1 to 44640"),
    ] {
        assert!(mistakes(&[(name, value)]).contains(&format!("`{name}` = `{value}`: {why}")));
    }
}
