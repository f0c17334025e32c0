//! People by more than one name: `--people FILE.csv` with `user,display,email,from,to,alias_of`.
//!
//! The first line names the columns, in any order; only `user` is needed. A row with `alias_of` is another name of that user,
//! from `from` to `to` (dates of `--tz`, both included) if they are given.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;

use crate::filter::{Edge, FilterError, moment_of};

/// Largest file of people, in bytes: a million rows.
const PEOPLE_BYTES_MAX: u64 = 128 * 1024 * 1024;

#[derive(Debug, Deserialize)]
struct Row {
    user: String,
    display: Option<String>,
    email: Option<String>,
    from: Option<String>,
    to: Option<String>,
    alias_of: Option<String>,
}

/// A name of a person, and when it was theirs: `from` included, `to` not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The user name.
    pub user: String,
    /// From when.
    pub from: Option<Timestamp>,
    /// Until when.
    pub to: Option<Timestamp>,
}

impl Name {
    /// Without a limit in time.
    pub fn always(user: &str) -> Self {
        Self { user: user.to_owned(), from: None, to: None }
    }

    /// Was it theirs then? A record without a time counts.
    pub fn is_at(&self, at: Option<Timestamp>) -> bool {
        let Some(at) = at else { return true };
        self.from.is_none_or(|from| from <= at) && self.to.is_none_or(|to| at < to)
    }
}

/// What is known of a user besides the archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Person {
    /// Display name.
    pub display: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// The user whose other name it is.
    pub alias_of: Option<String>,
}

/// A directory of people; empty without `--people`.
#[derive(Debug, Default)]
pub struct People {
    people: BTreeMap<String, Person>,
    names: BTreeMap<String, Vec<Name>>,
    hashes: HashMap<String, String>,
}

impl People {
    /// Reads the file.
    pub fn read(path: &Path, zone: &TimeZone) -> Result<Self, FilterError> {
        let shown = path.display().to_string();
        let reading = |source| FilterError::File { path: shown.clone(), source };
        let bytes = fs::metadata(path).map_err(reading)?.len();
        if bytes > PEOPLE_BYTES_MAX {
            return Err(FilterError::TooLarge { path: shown, bytes, limit: PEOPLE_BYTES_MAX });
        }
        let text = fs::read(path).map_err(reading)?;
        Self::parse(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text), &shown, zone)
    }

    fn parse(text: &[u8], path: &str, zone: &TimeZone) -> Result<Self, FilterError> {
        let mut people = Self::default();
        let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(text);
        for row in reader.deserialize() {
            let row: Row = row.map_err(|source| FilterError::People { path: path.to_owned(), source })?;
            let filled = |field: Option<String>| field.filter(|text| !text.is_empty());
            let edge = |field: Option<String>, edge| filled(field).map(|text| moment_of(&text, zone, edge)).transpose();
            let name = Name { from: edge(row.from, Edge::From)?, to: edge(row.to, Edge::To)?, user: row.user };
            let alias_of = filled(row.alias_of);
            people.know(&name.user);
            if let Some(user) = &alias_of {
                people.know(user);
                people.names.entry(user.clone()).or_default().push(name.clone());
            }
            let (display, email) = (filled(row.display), filled(row.email));
            people.people.insert(name.user, Person { display, email, alias_of });
        }
        Ok(people)
    }

    /// Takes note of a user name, so that calls that name it by its hash are resolved.
    pub fn know(&mut self, user: &str) {
        self.hashes.entry(hash_of(user)).or_insert_with(|| user.to_owned());
    }

    /// What is known of a user.
    pub fn person(&self, user: &str) -> Option<&Person> {
        self.people.get(user)
    }

    /// Its display name, or that of the user whose other name it is.
    pub fn display(&self, user: &str) -> Option<&str> {
        let person = self.people.get(user)?;
        let other = || self.people.get(person.alias_of.as_ref()?)?.display.as_deref();
        person.display.as_deref().or_else(other)
    }

    /// The user whose name has this hash, which is how calls name their participants.
    pub fn by_hash(&self, hash: &str) -> Option<&str> {
        self.hashes.get(&hash.to_ascii_lowercase()).map(String::as_str)
    }

    /// All names of a person who is given by a user name, an other name, an e-mail address or a display name.
    pub fn names(&self, given: &str) -> Vec<Name> {
        let is_given = |person: &Person| {
            [&person.email, &person.display].into_iter().flatten().any(|known| known.eq_ignore_ascii_case(given))
        };
        let mut users: Vec<&str> =
            self.people.iter().filter(|(_, person)| is_given(person)).map(|(user, _)| user.as_str()).collect();
        users.push(given);
        let mut names: Vec<Name> = Vec::new();
        for user in users {
            let head = self.people.get(user).and_then(|person| person.alias_of.as_deref()).unwrap_or(user);
            if head == user || self.names.get(head).is_none_or(|others| others.iter().all(|name| name.user != user)) {
                names.push(Name::always(user));
            }
            names.push(Name::always(head));
            names.extend(self.names.get(head).into_iter().flatten().cloned());
        }
        names.dedup();
        names
    }
}

/// SHA-256 of a user name in hex.
pub fn hash_of(user: &str) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, user.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests;
