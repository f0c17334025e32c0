//! The table of limits is that of the rooms.

use std::collections::BTreeSet;

use retaind::config::env::VARIABLES;
use retaind::core::limit::Limit;
use retaind::{device, network, report, source_mls};

use super::page;
use super::tables::{Made, assert_made, grouped};

const TABLE: Made = Made {
    page: "docs/limits.md",
    begins: "<!-- limits: from the lists of the rooms; RETAIND_BLESS=1 cargo nextest run readme writes them -->\n",
    ends: "<!-- end of limits -->",
};

/// The lists of all rooms: a room that declares limits is here, with what is in its way.
const ROOMS: [(&str, &[Limit]); 5] = [
    ("src/device/limits.rs", device::limits::LIMITS),
    ("src/network/limits.rs", network::LIMITS),
    ("src/network/agreed.rs", network::AGREED),
    ("src/report/limits.rs", report::LIMITS),
    ("src/source_mls/limits.rs", source_mls::limits::LIMITS),
];

fn all() -> Vec<Limit> {
    let mut all: Vec<Limit> = ROOMS.iter().flat_map(|(_, limits)| limits.iter().copied()).collect();
    all.sort_by_key(|limit| limit.name);
    all
}

#[test]
fn the_table_of_limits_is_that_of_the_rooms() {
    let rows = all().into_iter().map(|limit| {
        let Limit { name, value, unit, why, variable } = limit;
        let variable = variable.map_or_else(|| "–".to_owned(), |variable| format!("`{variable}`"));
        format!("| `{name}` | {} {unit} | {why} | {variable} |\n", grouped(value))
    });
    let rows: String = rows.collect();
    assert_made(&TABLE, &format!("| limit | value | why | variable |\n|---|---|---|---|\n{rows}"));
}

#[test]
fn every_limit_has_a_name_of_its_own_and_a_variable_that_there_is() {
    let mut names = BTreeSet::new();
    for limit in all() {
        let Limit { name, value, unit, why, variable } = limit;
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "`{name}` is not in snake case");
        assert!(names.insert(name), "two limits are called `{name}`");
        assert!(value > 0 && !unit.is_empty() && !why.is_empty(), "`{name}`");
        if let Some(variable) = variable {
            assert!(VARIABLES.iter().any(|one| one.name == variable), "`{name}` is set by no `{variable}`");
        }
    }
}

/// A list that is not in the table would be found by no operator.
#[test]
fn every_list_of_limits_is_in_the_table() {
    let mut declaring = Vec::new();
    for (path, text) in super::sources() {
        let lists = text.lines().filter(|line| line.contains(": &[Limit] =")).count();
        declaring.extend(std::iter::repeat_n(path, lists));
    }
    let listed: Vec<&str> = ROOMS.iter().map(|(path, _)| *path).collect();
    declaring.sort();
    let mut wanted: Vec<String> = listed.iter().map(|path| (*path).to_owned()).collect();
    wanted.sort();
    assert_eq!(declaring, wanted, "add the list to `ROOMS`");
    assert!(page(TABLE.page).contains("refusals_total"), "the page says where refusals are counted");
}
