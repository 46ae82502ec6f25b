//! Where diagnostics go: `tracing` events on standard error, readable on a terminal and one JSON
//! object a line elsewhere. Standard output belongs to the commands' results.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogConfig, LogFormat};

/// Why diagnostics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse. A validated configuration has none of these.
    #[error("`log.filter` is not a filter")]
    Filter(#[from] ParseError),
    /// The process has a subscriber already.
    #[error("diagnostics were set up twice")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Sets up the process's diagnostics. Once a process.
///
/// # Errors
/// [`TelemetryError`] where the filter does not parse or a subscriber is in place.
pub fn init(config: &LogConfig) -> Result<(), TelemetryError> {
    let filter = EnvFilter::builder().parse(&config.filter)?;
    let terminal = io::stderr().is_terminal();
    let pretty = match config.format {
        LogFormat::Auto => terminal,
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(terminal);
    if pretty {
        subscriber.compact().finish().try_init()?;
    } else {
        subscriber
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .finish()
            .try_init()?;
    }
    Ok(())
}
