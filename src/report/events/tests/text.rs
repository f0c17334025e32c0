//! Texts of events: how often, and how long.

use super::*;

#[test]
fn a_folded_storm_says_how_often_it_happened() {
    let event = Pending { occurrences: Some(7), ..Pending::new(Event::LoggedIn, NOW_MICROS) };
    let text = notification::text(&event, &origin());
    assert!(text.ends_with(r#""notificationType":"Bot Event","occurrences":7,"severity":"normal"}"#), "{text}");
}

#[test]
fn a_text_is_bounded_and_on_one_line_whatever_aws_says() {
    let error = format!("{}\n{}", "\u{7}", "ü".repeat(100_000));
    let row = Event::S3Failed { file: "f".into(), error }.row();
    assert_eq!(row.message.chars().count(), MESSAGE_CHARS_MAX);
    assert!(!row.message.contains(char::is_control));
}
