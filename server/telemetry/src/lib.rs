//! What the processes of Talksy share to be observed: log lines, metrics for Prometheus, and
//! traces over OTLP. Owns how they are written; what is worth telling is each crate's own
//! business, said through `tracing` and `metrics`.
//!
//! Nothing here costs anything until it is asked for: without [`Options::metrics`] the recorder
//! is absent and every counter does nothing; without an OTLP endpoint no span is exported, and those
//! alone are made that log lines tell of.

mod collector;
mod filter;
mod logs;
mod process;
mod prometheus;
mod traces;

use std::io;

use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

pub use logs::LogFormat;
pub use prometheus::{CONTENT_TYPE, Metrics};
pub use traces::{continue_trace, is_traced, traceparent};

/// How a process is observed.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    /// The process's name, as `service.name` in traces.
    pub service: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The form of log lines.
    pub format: LogFormat,
    /// What is logged, in the syntax of [`tracing_subscriber::EnvFilter`].
    pub filter: &'a str,
    /// Whether metrics are collected.
    pub metrics: bool,
    /// The OTLP collector's base URL, such as `http://127.0.0.1:4318`. Without it the standard
    /// environment variables decide: `OTEL_EXPORTER_OTLP_ENDPOINT`,
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`.
    pub otlp_endpoint: Option<&'a str>,
}

/// Why a process cannot be observed as it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error("the log filter is not one, such as `info` or `warn,talksy_server=debug`")]
    Filter(#[from] ParseError),
    /// The process has a subscriber already.
    #[error("diagnostics were set up twice")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
    /// The metrics' recorder.
    #[error("metrics cannot be collected")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    /// The exporter of traces.
    #[error("traces cannot be exported")]
    Traces(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The client of the collector.
    #[error("traces cannot be exported")]
    Collector(#[from] reqwest::Error),
    /// The collector's URL is none of HTTP.
    #[error("traces are exported over HTTP: `{0}` must be an `http://` or `https://` URL")]
    CollectorUrl(&'static str),
}

/// What was set up. Shut it down at the end, or the last spans are lost.
#[derive(Debug)]
pub struct Telemetry {
    metrics: Option<Metrics>,
    traces: Option<traces::Traces>,
}

/// Sets up the process's diagnostics. Once a process, on a Tokio runtime.
///
/// # Errors
/// See [`TelemetryError`].
pub fn init(options: &Options<'_>) -> Result<Telemetry, TelemetryError> {
    let filter = filter::LogFilter::parse(options.filter)?;
    let lines = logs::layer(options.format);
    let traces = traces::Traces::start(options)?;
    let registry = tracing_subscriber::registry();
    match &traces {
        // What no log line tells of is not made at all.
        None => registry.with(lines).with(filter.of_all()).try_init()?,
        Some(traces) => {
            let lines = lines.with_filter(filter.of_layer()).boxed();
            let layers = vec![lines, traces.layer(options.service)];
            registry.with(layers).try_init()?;
        }
    }
    log_panics();
    let metrics = if options.metrics {
        Some(Metrics::install(options.version)?)
    } else {
        None
    };
    Ok(Telemetry { metrics, traces })
}

impl Telemetry {
    /// The metrics, where they are collected.
    pub const fn metrics(&self) -> Option<&Metrics> {
        self.metrics.as_ref()
    }

    /// Sends the spans that wait. Up to a few seconds.
    pub async fn shutdown(self) {
        if let Some(traces) = self.traces {
            // The exporter blocks.
            let ended = tokio::task::spawn_blocking(move || traces.shutdown()).await;
            if let Ok(Err(error)) = ended {
                tracing::warn!(%error, "the last traces were not exported");
            }
        }
    }
}

/// A panic is a log line like any other. Its text stays out where it was made at run time: it
/// may hold what a person wrote.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let place = place.as_deref().unwrap_or("unknown");
        let text = panic.payload().downcast_ref::<&'static str>();
        let text = text.copied().unwrap_or("(made at run time, left out)");
        tracing::error!(place, panic = text, "a task panicked");
    }));
}

/// Where log lines go. Standard output belongs to the commands' results.
fn writer() -> io::Stderr {
    io::stderr()
}
