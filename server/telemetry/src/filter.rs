//! Which log lines are written.

use tracing::Subscriber;
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::layer::Filter;
use tracing_subscriber::{EnvFilter, Layer};

/// A filter of log lines. One by targets and levels alone is asked once for each place in the code.
/// One by spans or fields looks a span up behind a lock each time that it is entered or left, which is
/// with each poll of a request.
#[derive(Debug)]
pub(crate) enum LogFilter {
    /// `info`, `warn,talksy_server=debug`.
    Targets(Box<Targets>),
    /// All else that [`EnvFilter`] knows.
    Spans(Box<EnvFilter>),
}

impl LogFilter {
    /// Reads a filter in the syntax of [`EnvFilter`].
    ///
    /// # Errors
    /// Where it is none.
    pub(crate) fn parse(text: &str) -> Result<Self, ParseError> {
        let filter = Box::new(EnvFilter::builder().parse(text)?);
        let directives: Vec<_> = text.split(',').filter(|part| !part.is_empty()).collect();
        let is_more = |c: char| "[]{}\"".contains(c) || c.is_whitespace();
        if directives.is_empty() || text.contains(is_more) {
            return Ok(Self::Spans(filter));
        }
        let targets = directives.join(",").parse::<Targets>();
        Ok(targets.map_or(Self::Spans(filter), |targets| {
            Self::Targets(Box::new(targets))
        }))
    }

    /// For all that the process tells.
    pub(crate) fn of_all<S: Subscriber>(self) -> Box<dyn Layer<S> + Send + Sync> {
        match self {
            Self::Targets(targets) => targets,
            Self::Spans(filter) => filter,
        }
    }

    /// For one layer among others.
    pub(crate) fn of_layer<S: 'static>(self) -> Box<dyn Filter<S> + Send + Sync> {
        match self {
            Self::Targets(targets) => targets,
            Self::Spans(filter) => filter,
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    /// What a filter of targets lets pass; `None` where it is no such filter.
    fn passes(text: &str, target: &str, level: Level) -> Option<bool> {
        match LogFilter::parse(text).unwrap() {
            LogFilter::Targets(targets) => Some(targets.would_enable(target, &level)),
            LogFilter::Spans(_) => None,
        }
    }

    #[test]
    fn what_names_targets_and_levels_alone_is_a_filter_of_targets() {
        for text in ["info", "INFO", "info,", ",info"] {
            assert_eq!(passes(text, "talksy", Level::INFO), Some(true), "{text}");
            assert_eq!(passes(text, "talksy", Level::DEBUG), Some(false), "{text}");
        }
        let text = "warn,talksy_server=debug,lapin=off";
        let cases = [
            ("talksy_server::http", Level::DEBUG, true),
            ("talksy_server::http", Level::TRACE, false),
            ("talksy_domain", Level::WARN, true),
            ("talksy_domain", Level::INFO, false),
            ("lapin", Level::ERROR, false),
        ];
        for (target, level, is_let) in cases {
            assert_eq!(
                passes(text, target, level),
                Some(is_let),
                "{target} {level}"
            );
        }
        assert_eq!(passes("off", "talksy", Level::ERROR), Some(false));
    }

    #[test]
    fn what_names_spans_or_fields_is_left_to_who_knows_them() {
        for text in ["", "[request]=debug", "info,talksy[{job=1}]=debug"] {
            assert_eq!(passes(text, "talksy", Level::ERROR), None, "{text}");
        }
        assert!(LogFilter::parse("info,talksy=loud").is_err());
    }
}
