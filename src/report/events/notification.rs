//! An event as it stands in an SNS message: one JSON object, fields in alphabetical order as in the guide's example.

use jiff::Timestamp;
use jiff::tz::Offset;
use serde::Serialize;

use super::queue::Pending;
use super::table::Severity;
use crate::origin::Origin;

const MICROS_PER_SEC: i64 = 1_000_000;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Json<'a> {
    compliance_bot: &'a str,
    date_time: String,
    device: &'a str,
    docker_image: &'a str,
    docker_tag: &'a str,
    event_code: &'a str,
    message: &'a str,
    notification_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    occurrences: Option<u64>,
    severity: Severity,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    versions: &'a [String],
}

/// The JSON text of an event.
pub(super) fn text(event: &Pending, origin: &Origin) -> String {
    let json = Json {
        compliance_bot: origin.bot(),
        date_time: date_time(event.at_micros),
        device: origin.device(),
        docker_image: &origin.image().name,
        docker_tag: &origin.image().tag,
        event_code: event.row.code,
        message: &event.row.message,
        notification_type: "Bot Event",
        occurrences: event.occurrences,
        severity: event.row.severity,
        versions: &event.versions,
    };
    // strings and numbers under fixed names: there is nothing that could not be written
    serde_json::to_string(&json).unwrap_or_default()
}

/// `2022-10-12T13:05:39`, UTC. A clock that is beyond all calendars says 1970.
fn date_time(micros: i64) -> String {
    let at = Timestamp::from_second(micros.div_euclid(MICROS_PER_SEC)).unwrap_or_default();
    Offset::UTC.to_datetime(at).to_string()
}
