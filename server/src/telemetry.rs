//! How the configuration asks for the process to be observed.

use talksy_telemetry::{LogFormat, Options, Telemetry, TelemetryError};

use crate::config::{self, Config};
use crate::metrics;

/// Sets up the process's diagnostics. Once a process, on a Tokio runtime.
///
/// # Errors
/// [`TelemetryError`].
pub fn init(config: &Config) -> Result<Telemetry, TelemetryError> {
    let format = match config.log.format {
        config::LogFormat::Auto => LogFormat::Auto,
        config::LogFormat::Pretty => LogFormat::Pretty,
        config::LogFormat::Json => LogFormat::Json,
    };
    let telemetry = talksy_telemetry::init(&Options {
        service: "talksy",
        version: env!("CARGO_PKG_VERSION"),
        format,
        filter: &config.log.filter,
        metrics: config.metrics.listen.is_some(),
        otlp_endpoint: config.telemetry.otlp_endpoint.as_deref(),
    })?;
    metrics::describe();
    Ok(telemetry)
}
