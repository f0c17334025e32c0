//! `retaind network audit`: failed log-ins, for people and for programs.

use std::io::{self, Write};

use jiff::Timestamp;
use retaind_network::FailedLogIns;
use serde_json::json;

use super::Failure;

/// How they are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A table with a head.
    Table,
    /// One JSON object a line.
    Json,
}

impl From<bool> for Form {
    fn from(json: bool) -> Self {
        if json { Self::Json } else { Self::Table }
    }
}

/// Prints them, in their order.
pub(super) fn print(rows: &[FailedLogIns], form: Form) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if form == Form::Table {
        writeln!(out, "{}", line(["FIRST", "LAST", "COUNT", "ADDRESS", "ACCOUNT"])).map_err(Failure::temporary)?;
    }
    for row in rows {
        let text = match form {
            Form::Table => table(row),
            Form::Json => object(row),
        };
        writeln!(out, "{text}").map_err(Failure::temporary)?;
    }
    out.flush().map_err(Failure::temporary)
}

fn time(micros: i64) -> String {
    let at = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{at:.0}")
}

fn table(row: &FailedLogIns) -> String {
    let named = |name: &Option<String>| name.clone().unwrap_or_else(|| "(others)".to_owned());
    let (first, last, count) = (time(row.first_micros), time(row.last_micros), row.count.to_string());
    line([&first, &last, &count, &named(&row.address), &named(&row.account)])
}

/// The account last: it may be long, and have spaces in it.
fn line([first, last, count, address, account]: [&str; 5]) -> String {
    format!("{first:<20} {last:<20} {count:>7} {address:<24} {account}")
}

fn object(row: &FailedLogIns) -> String {
    let FailedLogIns { first_micros, last_micros, address, account, count } = row;
    let (first, last) = (time(*first_micros), time(*last_micros));
    json!({ "account": account, "address": address, "count": count, "first": first, "last": last }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_line_and_an_object() {
        let mut row = FailedLogIns {
            first_micros: 1_700_000_000_999_999,
            last_micros: 1_700_000_060_000_000,
            address: Some("2001:db8::/64".into()),
            account: Some("bot a \\u{a}".into()),
            count: 17,
        };
        let line = "2023-11-14T22:13:20Z 2023-11-14T22:14:20Z      17 2001:db8::/64            bot a \\u{a}";
        assert_eq!(table(&row), line);
        (row.address, row.account) = (None, None);
        assert!(table(&row).ends_with("17 (others)                 (others)"));
        let json = r#"{"account":null,"address":null,"count":17,"first":"2023-11-14T22:13:20Z","last":"2023-11-14T22:14:20Z"}"#;
        assert_eq!(object(&row), json);
    }
}
