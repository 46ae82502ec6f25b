//! The life of the process, and what it lets an operator see.

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::duration::{HOUR, MINUTE, SECOND};
use crate::config::section::section;
use crate::config::values::{LogFormat, is_collector_url, is_log_filter};

section! {
    /// How the process starts.
    pub struct StartConfig {
        /// How long backends that are not there yet are waited for, before the server gives up
        /// with exit code 1. The time in which MongoDB builds indexes does not count.
        timeout: Duration = 2 * MINUTE, in SECOND..=HOUR;
    }
}

section! {
    /// How the process stops.
    pub struct ShutdownConfig {
        /// How long running requests may take to finish after SIGTERM.
        drain: Duration = 10 * SECOND, in Duration::ZERO..=10 * MINUTE;
    }
}

section! {
    /// Durable jobs: what must happen, though no request waits for it.
    pub struct JobsConfig {
        /// How often due jobs are looked for.
        poll: Duration = 5 * SECOND, in SECOND / 10..=MINUTE;
        /// How long the other instances wait before they take over the jobs of one that has
        /// crashed.
        lease: Duration = 30 * SECOND, in SECOND..=10 * MINUTE;
        /// How often a job is tried before it is set aside for `talksy jobs`. The waits between
        /// tries double, from two seconds to an hour.
        attempts: u32 = 15, in 1..=100;
    }
}

section! {
    /// What is logged, and how.
    pub struct LogConfig {
        /// `auto` (pretty on a terminal, JSON elsewhere), `pretty` or `json`.
        format: LogFormat = LogFormat::Auto;
        /// What is logged.
        filter: String = "info".to_owned(),
            must "be a filter such as `info` or `warn,talksy_server=debug`" =>
                |log| is_log_filter(&log.filter);
    }
}

section! {
    /// Where metrics are served.
    pub struct MetricsConfig {
        /// The address and port of `/metrics` for Prometheus, with `/livez` and `/readyz` beside
        /// it. Not the address that clients use: they have no business there. Without it nothing
        /// is counted.
        listen: Option<SocketAddr> = None, such as "127.0.0.1:9464";
    }
}

section! {
    /// Where traces go.
    pub struct TelemetryConfig {
        /// The base URL of an OpenTelemetry collector that takes OTLP over HTTP, or HTTPS with
        /// the system's authorities. Without it `OTEL_EXPORTER_OTLP_ENDPOINT` decides, and without
        /// that nothing is traced. How many requests are traced is set by `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`.
        otlp_endpoint: Option<String> = None, such as "http://127.0.0.1:4318",
            must "be a URL such as `http://127.0.0.1:4318`" =>
                |telemetry| telemetry.otlp_endpoint.as_deref().is_none_or(is_collector_url);
    }
}
