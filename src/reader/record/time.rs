//! The forms in which records give a time, all UTC. What no calendar has is the nearest time that it has.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

const MICROS_PER_SEC: i64 = 1_000_000;

/// `1691176258.000000`: seconds since 1970 with up to six decimals.
pub(super) fn decimal(text: &str) -> Option<Timestamp> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (secs, micros) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if secs.is_empty() || !all_digits(secs) || !all_digits(micros) {
        return None;
    }
    let micros: i64 = format!("{:0<6}", micros.get(..6).unwrap_or(micros)).parse().ok()?;
    // more digits than a number of seconds has: far beyond the calendar
    let secs: i64 = secs.parse().unwrap_or(i64::MAX);
    Some(from_micros(secs.saturating_mul(MICROS_PER_SEC).saturating_add(micros).saturating_mul(sign)))
}

/// Whole seconds and microseconds since 1970.
pub(super) fn from_parts(secs: i64, micros: i64) -> Timestamp {
    from_micros(secs.saturating_mul(MICROS_PER_SEC).saturating_add(micros))
}

fn from_micros(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(if micros < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// `2023-08-04 19:10:58.000`, or RFC 3339 with an offset.
pub(super) fn iso(text: &str) -> Option<Timestamp> {
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp);
    }
    Offset::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok()
}

/// `8/4/23 7:10 PM`: the closed bot's form, with a year of two digits.
pub(super) fn minutes(text: &str) -> Option<Timestamp> {
    let mut words = text.split_ascii_whitespace();
    let (date, clock, half) = (words.next()?, words.next()?, words.next()?);
    let mut date = date.split('/').map(|part| part.parse::<i16>().ok());
    let (month, day, year) = (date.next()??, date.next()??, date.next()??);
    let (hour, minute) = clock.split_once(':')?;
    let (hour, minute): (i8, i8) = (hour.parse().ok()?, minute.parse().ok()?);
    let hour = match (hour, half) {
        (12, "AM") => 0,
        (12, "PM") => 12,
        (1..=11, "AM") => hour,
        (1..=11, "PM") => hour.checked_add(12)?,
        _ => return None,
    };
    let year = if (0..100).contains(&year) { year.checked_add(2000)? } else { year };
    let civil = DateTime::new(year, month.try_into().ok()?, day.try_into().ok()?, hour, minute, 0, 0).ok()?;
    Offset::UTC.to_timestamp(civil).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(time: Option<Timestamp>) -> String {
        time.map(|time| time.to_string()).unwrap_or_default()
    }

    #[test]
    fn the_forms_of_one_time_agree() {
        let time = "2023-08-04T19:10:58Z";
        assert_eq!(shown(decimal("1691176258.000000")), time);
        assert_eq!(shown(decimal("1691176258")), time);
        assert_eq!(shown(iso("2023-08-04 19:10:58.000")), time);
        assert_eq!(shown(iso("2023-08-04T15:10:58-04:00")), time);
        assert_eq!(shown(minutes("8/4/23 7:10 PM")), "2023-08-04T19:10:00Z");
        assert_eq!(shown(minutes("1/1/70 12:00 AM")), "2070-01-01T00:00:00Z");
    }

    #[test]
    fn what_no_calendar_has_is_clamped_and_what_is_no_time_is_none() {
        assert_eq!(decimal("9223372036854.775807"), Some(Timestamp::MAX));
        assert_eq!(decimal("-9223372036854.775808"), Some(Timestamp::MIN));
        assert_eq!(decimal("99999999999999999999999.5"), Some(Timestamp::MAX));
        assert_eq!(shown(decimal("-0.000001")), "1969-12-31T23:59:59.999999Z");
        for no_time in ["", "-", ".5", "1.2.3", "x", "1e9", "+-1"] {
            assert_eq!(decimal(no_time), None, "{no_time}");
        }
        for no_time in ["", "13/1/23 1:00 AM", "1/1/23 13:00 PM", "1/1/23 0:00 AM", "1/1/23", "a/b/c d e"] {
            assert_eq!(minutes(no_time), None, "{no_time}");
        }
        assert_eq!(iso("yesterday"), None);
    }
}
