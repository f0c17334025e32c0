//! One event as one line of JSON: a flat object of `timestamp` (UTC), `level`, `target`, `message` and the event's fields.
//!
//! Flat, so that a collector finds a field under the name that the code gives it. Spans are not written: the bot makes
//! none, and those of libraries say nothing that an operator needs.

use std::fmt::{self, Debug};

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use retaind_core::clock::{Clock, SystemClock};

/// Writes events so.
pub(super) struct JsonLine;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields(Map::new());
        event.record(&mut fields);
        let Fields(mut line) = fields;
        let metadata = event.metadata();
        // a time that no calendar has becomes the epoch: only a clock that is set to one gives it
        let now = Timestamp::from_microsecond(SystemClock.now_micros()).unwrap_or(Timestamp::UNIX_EPOCH);
        line.insert("timestamp".to_owned(), format!("{now:.6}").into());
        line.insert("level".to_owned(), metadata.level().as_str().into());
        line.insert("target".to_owned(), part(metadata.target()).into());
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// The part of the program as operators know it, `retaind::bot`: each is a crate of its own, `retaind_bot`.
fn part(target: &str) -> String {
    target.strip_prefix("retaind_").map_or_else(|| target.to_owned(), |part| format!("retaind::{part}"))
}

struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use tracing_subscriber::layer::SubscriberExt;

    use super::super::{Layout, layer};
    use super::*;

    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Output {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_is_one_line_of_json_with_its_fields_whatever_they_hold() {
        let output = Output::default();
        let writer = output.clone();
        let log = tracing_subscriber::registry().with(layer(Layout::Json, move || writer.clone()));
        tracing::subscriber::with_default(log, || {
            let error = std::io::Error::other("two\nlines \"quoted\"");
            tracing::warn!(%error, files = 3u64, ratio = f64::NAN, on = true, "a\nmessage");
            tracing::info!("another");
        });
        let text = String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{text}");
        let first = &lines[0];
        assert_eq!(first["message"], "a\nmessage");
        assert_eq!(first["error"], "two\nlines \"quoted\"");
        assert_eq!((&first["files"], &first["on"], &first["ratio"]), (&3.into(), &true.into(), &Value::Null));
        assert_eq!((&first["level"], &lines[1]["level"]), (&"WARN".into(), &"INFO".into()));
        assert!(first["target"].as_str().unwrap().starts_with("retaind::report::logs"), "{first}");
        first["timestamp"].as_str().unwrap().parse::<Timestamp>().unwrap();
    }
}
