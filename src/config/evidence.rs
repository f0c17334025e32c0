//! What proves the archive: where the evidence goes, and how often it is made although nothing happens.

use std::path::PathBuf;
use std::time::Duration;

use retaind_evidence::key::{NAME_BYTES_MAX, is_name};

use crate::mistake::Invalid;
use crate::parse::{number, path};
use crate::reader::Reader;
use crate::report::unless_off;
use crate::variable::{Fallback, variables};

const SECONDS_PER_MINUTE: u64 = 60;
/// A month: a silence that is signed only then is no evidence of a day.
const MINUTES_MAX: u64 = 31 * 24 * 60;

variables! {
    EVIDENCE: "RETAIND_EVIDENCE", Fallback::Derived("`_evidence` beside the messages directory; within it, where that is a volume of its own"), Public,
        "directory of the evidence, which proves that the archive is complete and unchanged; `off` = none is made";
    INTERVAL: "RETAIND_EVIDENCE_INTERVAL", Fallback::Text("60"), Public,
        "minutes after which evidence is made although no message file was sealed; 0 = never; up to 44640";
    CHECKPOINTS: "RETAIND_CHECKPOINT_MINUTES", Fallback::Text("60"), Public,
        "minutes after which a new head of the evidence is signed; 1 to 44640";
    ORIGIN: "RETAIND_EVIDENCE_ORIGIN", Fallback::Derived("`<botname>.<network id>`"), Public,
        "name of the evidence's key and heads, fixed at the first start: best a URL of the organisation's without `https://`";
}

/// How the archive is proved.
#[derive(Debug)]
pub struct Evidence {
    /// Where entries and heads go; `None`: beside the messages directory, or within it.
    pub directory: Option<PathBuf>,
    /// After how long without an entry one is made.
    pub interval: Option<Duration>,
    /// After how long a head is signed.
    pub checkpoints: Duration,
    /// Name of key and heads; `None`: made of the names of bot and network.
    pub origin: Option<String>,
}

/// `None`: a mistake was noted. `Some(None)`: it is off.
pub(crate) fn read(r: &mut Reader) -> Option<Option<Evidence>> {
    let noted = r.mistakes.len();
    let directory = r.optional(&EVIDENCE, unless_off(path));
    let interval = r.read(&INTERVAL, interval);
    let checkpoints = r.read(&CHECKPOINTS, |text| number(text, "minutes", 1, MINUTES_MAX));
    let origin = r.optional(&ORIGIN, origin);
    if r.mistakes.len() > noted {
        return None;
    }
    let checkpoints = minutes(checkpoints?);
    match directory {
        Some(None) => Some(None),
        given => Some(Some(Evidence { directory: given.flatten(), interval: interval?, checkpoints, origin })),
    }
}

pub(crate) fn value(evidence: Option<&Evidence>, name: &str) -> Option<String> {
    let shown = |time: Duration| (time.as_secs() / SECONDS_PER_MINUTE).to_string();
    match (name, evidence) {
        ("RETAIND_EVIDENCE", None) => Some("off".to_owned()),
        ("RETAIND_EVIDENCE", Some(evidence)) => {
            let directory = evidence.directory.as_ref();
            Some(
                directory.map_or_else(|| "beside the messages directory".to_owned(), |path| path.display().to_string()),
            )
        }
        ("RETAIND_EVIDENCE_INTERVAL", Some(evidence)) => Some(evidence.interval.map_or_else(|| "0".to_owned(), shown)),
        ("RETAIND_CHECKPOINT_MINUTES", Some(evidence)) => Some(shown(evidence.checkpoints)),
        ("RETAIND_EVIDENCE_ORIGIN", Some(evidence)) => evidence.origin.clone(),
        _ => None,
    }
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes.saturating_mul(SECONDS_PER_MINUTE))
}

fn interval(text: &str) -> Result<Option<Duration>, Invalid> {
    let given = number(text, "minutes", 0, MINUTES_MAX)?;
    Ok((given > 0).then(|| minutes(given)))
}

fn origin(text: &str) -> Result<String, Invalid> {
    if is_name(text) { Ok(text.to_owned()) } else { Err(Invalid::EvidenceOrigin { max: NAME_BYTES_MAX }) }
}
