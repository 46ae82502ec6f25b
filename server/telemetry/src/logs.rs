//! Log lines: readable on a terminal, elsewhere one JSON object a line, with `timestamp`, `level`,
//! `target` and `message` first, then the event's fields, then those of the spans around it
//! (`request_id`, `job`), all on one level.

use std::fmt;
use std::io::IsTerminal as _;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `Pretty` on a terminal, `Json` elsewhere.
    Auto,
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

pub(crate) fn layer(format: LogFormat) -> Box<dyn Layer<Registry> + Send + Sync> {
    let terminal = crate::writer().is_terminal();
    let pretty = match format {
        LogFormat::Auto => terminal,
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(crate::writer)
        .with_ansi(terminal);
    if pretty {
        lines.compact().boxed()
    } else {
        lines.fmt_fields(SpanFields).event_format(JsonLines).boxed()
    }
}

/// Writes the fields of spans as members of a JSON object: `"request_id":"…",`. Each request has a span,
/// and next to none a line that tells of it: so no more is written than a line would show.
struct SpanFields;

impl<'w> FormatFields<'w> for SpanFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut members = Members {
            writer,
            outcome: Ok(()),
        };
        fields.record(&mut members);
        members.outcome
    }
}

/// Writes members of a JSON object, a comma behind each.
struct Members<'w> {
    writer: Writer<'w>,
    outcome: fmt::Result,
}

impl Members<'_> {
    /// The value is made where it is written: `otel.*` and the like say what a trace needs.
    fn put<V: Into<Value>>(&mut self, field: &Field, value: impl FnOnce() -> V) {
        if self.outcome.is_ok() && !field.name().contains('.') {
            let (name, value) = (Value::from(field.name()), value().into());
            self.outcome = write!(self.writer, "{name}:{value},");
        }
    }
}

impl Visit for Members<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, || format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, || value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, || value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, || value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, || value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, || value);
    }
}

/// The members that [`SpanFields`] has written. None where they cannot be read.
fn members(written: &str) -> Map<String, Value> {
    let members = written.trim_end_matches([',', ' ']);
    serde_json::from_str(&format!("{{{members}}}")).unwrap_or_default()
}

struct JsonLines;

impl<S> FormatEvent<S, SpanFields> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, SpanFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            let Some(formatted) = extensions.get::<FormattedFields<SpanFields>>() else {
                continue;
            };
            for (name, value) in members(&formatted.fields) {
                fields.others.entry(name).or_insert(value);
            }
        }
        write!(
            writer,
            r#"{{"timestamp":"{timestamp}","level":"{}","target":"{}","message":{}"#,
            metadata.level(),
            metadata.target(),
            Value::from(fields.message),
        )?;
        for (name, value) in fields.others {
            write!(writer, ",{}:{value}", Value::from(name))?;
        }
        writeln!(writer, "}}")
    }
}

/// An event's fields as JSON.
#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.others.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.put(field, text);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.put(field, value);
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use serde_json::json;
    use tracing::field::Empty;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// Keeps the lines that are written.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that are written meanwhile.
    fn lines(told: impl FnOnce()) -> Vec<Value> {
        let kept = Kept::default();
        let writer = kept.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .fmt_fields(SpanFields)
            .event_format(JsonLines);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), told);
        let written = kept.0.lock().unwrap();
        let lines = std::str::from_utf8(&written).unwrap().lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn a_line_has_the_fields_of_the_spans_around_it_but_those_of_traces() {
        let lines = lines(|| {
            let id = "a \"quoted\" \\ name\n";
            let outer = tracing::error_span!(
                "request",
                request_id = %id,
                otel.name = "GET /",
                http.response.status_code = Empty,
                later = Empty,
                count = 7_u64,
                less = -7_i64,
                half = 0.5,
                so = true,
                list = ?[1, 2],
                named = "outer",
            );
            outer.record("http.response.status_code", 200);
            outer.record("later", "told");
            outer.record("later", "told again");
            let _outer = outer.enter();
            let _inner = tracing::error_span!("inner", named = "inner").entered();
            tracing::error!(count = 8, "what happened");
        });
        let [line] = &*lines else {
            panic!("{lines:?}");
        };
        let mut told = line.as_object().unwrap().clone();
        for fixed in ["timestamp", "target"] {
            assert!(told.remove(fixed).is_some_and(|text| text.is_string()));
        }
        let expected = json!({
            "level": "ERROR",
            "message": "what happened",
            "request_id": "a \"quoted\" \\ name\n",
            "later": "told again",
            "count": 8,
            "less": -7,
            "half": 0.5,
            "so": true,
            "list": "[1, 2]",
            "named": "inner",
        });
        assert_eq!(Value::Object(told), expected);
    }

    /// Counts how often it is written out.
    struct Counted<'a>(&'a AtomicUsize);

    impl fmt::Display for Counted<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.fetch_add(1, Ordering::Relaxed);
            f.write_str("counted")
        }
    }

    #[test]
    fn what_only_a_trace_tells_is_not_even_written_out() {
        let (shown, hidden) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let lines = lines(|| {
            let (shown, hidden) = (Counted(&shown), Counted(&hidden));
            let span = tracing::error_span!("request", shown = %shown, otel.name = %hidden);
            span.in_scope(|| tracing::error!("told"));
        });
        assert_eq!(lines[0]["shown"], "counted");
        assert_eq!(shown.into_inner(), 1);
        assert_eq!(hidden.into_inner(), 0);
    }

    #[test]
    fn members_are_read_as_they_were_written() {
        assert_eq!(members(""), Map::new());
        let written = members("\"a\":1, \"b\":\"x,\",");
        assert_eq!(Value::Object(written), json!({ "a": 1, "b": "x," }));
    }
}
