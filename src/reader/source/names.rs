//! What the names in an archive say. The bot's own rules are in the room `archive`.

use jiff::civil::DateTime;
use jiff::tz::Offset;

use super::Sealing;

/// Beginnings of the names of files that records refer to; some of them end as message files do.
const BESIDE: [&str; 4] = ["attachment_", "partial_", "ciphertext_", "compliance-output-file-"];
/// `20230804T191544.250Z`
const STAMP_BYTES: usize = 20;

/// Is it a message file by its name?
pub(super) fn is_message_file(name: &str) -> bool {
    (name.ends_with(".txt") || name.ends_with(".jsonl"))
        && !name.starts_with(['.', '_'])
        && !BESIDE.iter().any(|beside| name.starts_with(beside))
}

/// One component of a path, which stays in its directory.
pub(super) fn is_component(name: &str) -> bool {
    !name.is_empty() && !matches!(name, "." | "..") && !name.contains(['/', '\\', '\0'])
}

/// Base name, time and number of a sealed file.
fn sealed(name: &str) -> Option<(&str, Sealing)> {
    let (rest, number) = stem(name).rsplit_once('_')?;
    let (base, stamp) = rest.rsplit_once('_')?;
    if stamp.len() != STAMP_BYTES || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let civil = DateTime::strptime("%Y%m%dT%H%M%S%.fZ", stamp).ok()?;
    Some((base, Sealing::Sealed { begun: Offset::UTC.to_timestamp(civil).ok()?, number: number.parse().ok()? }))
}

fn recovered(name: &str) -> Option<(&str, Sealing)> {
    let (rest, number) = stem(name).rsplit_once('_')?;
    Some((rest.strip_suffix("_recovered")?, Sealing::Recovered { number: number.parse().ok()? }))
}

fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// What the name says of its file.
pub(super) fn sealing(name: &str) -> Sealing {
    sealed(name).or_else(|| recovered(name)).map_or(Sealing::Open, |(_, sealing)| sealing)
}

/// What all files of one bot begin with.
pub(super) fn base(name: &str) -> &str {
    sealed(name).or_else(|| recovered(name)).map_or_else(|| stem(name), |(base, _)| base)
}
