//! Times as records show them, all UTC.
//!
//! A sender may claim any time at all. The exact claim is in `msg_ts`; the forms for people show what is before the
//! year 1 or after 9999-12-30 as the first or last moment of that span.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// 0001-01-01 00:00:00.
const MICROS_MIN: i64 = -62_135_596_800_000_000;
/// 9999-12-30 21:59:59.999999, the last moment that `jiff` has in every time zone.
const MICROS_MAX: i64 = 253_402_207_199_999_999;
const MICROS_PER_SEC: i64 = 1_000_000;
/// The same, for times without their sign.
const PER_SEC: u64 = MICROS_PER_SEC.unsigned_abs();

/// `1691176258.000000`: seconds since 1970 with six decimals, exact for every value.
pub(super) fn decimal(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let micros = micros.unsigned_abs();
    format!("{sign}{}.{:06}", micros / PER_SEC, micros % PER_SEC)
}

/// `8/4/23 7:10 PM`.
pub(super) fn minutes(micros: i64) -> String {
    let t = civil(micros);
    let (hour, half) = match t.hour() {
        0 => (12, "AM"),
        hour @ 1..=11 => (hour, "AM"),
        12 => (12, "PM"),
        hour => (hour.saturating_sub(12), "PM"),
    };
    format!("{}/{}/{:02} {hour}:{:02} {half}", t.month(), t.day(), t.year() % 100, t.minute())
}

/// `2023-08-04 19:10:58.000`.
pub(super) fn millis(micros: i64) -> String {
    format!("{}.{:03}", civil_seconds(micros), civil(micros).millisecond())
}

/// `2023-08-04 19:10:58`.
pub(super) fn seconds(secs: i64) -> String {
    civil_seconds(micros_of(secs))
}

/// Seconds as microseconds; what is too large is cut to the range.
pub(super) fn micros_of(secs: i64) -> i64 {
    secs.saturating_mul(MICROS_PER_SEC)
}

/// Whole seconds and the microseconds after them.
pub(super) fn split(micros: i64) -> (i64, i64) {
    (micros.div_euclid(MICROS_PER_SEC), micros.rem_euclid(MICROS_PER_SEC))
}

fn civil_seconds(micros: i64) -> String {
    let t = civil(micros);
    format!("{:04}-{:02}-{:02} {:02}:{:02}:{:02}", t.year(), t.month(), t.day(), t.hour(), t.minute(), t.second())
}

fn civil(micros: i64) -> DateTime {
    // within the range it is never the default
    let timestamp = Timestamp::from_microsecond(micros.clamp(MICROS_MIN, MICROS_MAX)).unwrap_or_default();
    Offset::UTC.to_datetime(timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    #[test]
    fn times_look_as_in_the_published_examples() {
        let micros = 1_691_176_258_000_000;
        assert_eq!(decimal(micros), "1691176258.000000");
        assert_eq!(minutes(micros), "8/4/23 7:10 PM");
        assert_eq!(millis(micros), "2023-08-04 19:10:58.000");
        assert_eq!(seconds(1_691_176_258), "2023-08-04 19:10:58");
    }

    #[test]
    fn noon_and_midnight_are_twelve() {
        assert_eq!(minutes(0), "1/1/70 12:00 AM");
        assert_eq!(minutes(micros_of(12 * 3600)), "1/1/70 12:00 PM");
        assert_eq!(minutes(micros_of(11 * 3600 + 59 * 60)), "1/1/70 11:59 AM");
        assert_eq!(minutes(micros_of(23 * 3600)), "1/1/70 11:00 PM");
    }

    #[test]
    fn a_claimed_time_outside_all_calendars_is_exact_in_msg_ts_and_clamped_for_people() {
        assert_eq!(decimal(i64::MIN), "-9223372036854.775808");
        assert_eq!(decimal(i64::MAX), "9223372036854.775807");
        assert_eq!(decimal(-1), "-0.000001");
        assert_eq!(millis(i64::MIN), "0001-01-01 00:00:00.000");
        assert_eq!(millis(i64::MAX), "9999-12-30 21:59:59.999");
        assert_eq!(minutes(i64::MIN), "1/1/01 12:00 AM");
        assert_eq!(minutes(i64::MAX), "12/30/99 9:59 PM");
        assert_eq!(seconds(i64::MIN), "0001-01-01 00:00:00");
        assert_eq!(seconds(i64::MAX), "9999-12-30 21:59:59");
        assert_eq!(millis(-1), "1969-12-31 23:59:59.999");
    }

    #[test]
    fn the_limits_are_moments_that_the_calendar_has() {
        for micros in [MICROS_MIN, MICROS_MAX] {
            assert_eq!(Timestamp::from_microsecond(micros).map(|t| t.as_microsecond()).ok(), Some(micros));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

        #[test]
        fn any_time_has_every_form(micros: i64) {
            let exact: i128 = decimal(micros).replace('.', "").parse().unwrap();
            prop_assert_eq!(exact, i128::from(micros));
            prop_assert_eq!(millis(micros).len(), 23);
            prop_assert!(minutes(micros).ends_with('M'));
            let (secs, rest) = split(micros);
            prop_assert_eq!(i128::from(secs) * 1_000_000 + i128::from(rest), i128::from(micros));
        }
    }
}
