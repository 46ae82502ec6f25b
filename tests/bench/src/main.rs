//! The load tool, `talksy-bench`: what the server does a second, beside what this machine allows.
//!
//! It starts the release binary as a process of its own on the loopback interface, signs users in
//! as anybody would, and measures sends, deliveries, memory and start-up. In between it measures
//! the limits with the same clients and the same bytes: a bare axum handler, a bare axum broadcast
//! (this program again, as a second process) and bare SQLite inserts; and, as a peer of the
//! transports, the same schema through async-graphql-axum. Rounds alternate, so that what else
//! happens on the machine hits both.
//!
//! The clients are written for this: they parse no JSON on the hot path and allocate nothing for a
//! message, since they share the machine's cores with the server. Yet they check every message:
//! a hole, a double or a loss makes the run fail.

mod account;
mod audits;
mod backends;
mod bare;
mod crowd;
mod deliveries;
mod frames;
mod goals;
#[cfg(feature = "heap")]
mod heap_server;
mod hostile;
mod http;
mod inbox;
mod indexing;
mod inserts;
mod large_group;
mod memory;
mod metrics;
mod options;
mod outcome;
mod personal;
mod process;
mod queries;
mod reactions;
mod readers;
mod reconnects;
mod report;
mod run;
mod search;
mod sends;
mod site;
mod socket;
mod startup;
mod stats;
mod stock;
#[cfg(feature = "stock")]
mod stock_server;
mod template;
mod unread;
mod uploads;

use std::process::ExitCode;

use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use options::{Options, Role};
use outcome::{Context as _, Outcome};

/// Runs the tool with the process's arguments. Fails where the server lost, doubled or reordered
/// something, or could not be measured; not where a target is missed.
#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match options.role {
        Some(Role::Bare(arguments)) => bare::serve(arguments).await,
        #[cfg(feature = "stock")]
        Some(Role::Stock(settings)) => stock_server::serve(&settings).await,
        #[cfg(feature = "heap")]
        Some(Role::Heap(settings)) => heap_server::serve(&settings).await,
        Some(Role::Hostile(arguments)) => Box::pin(until_signal(hostile::run(&arguments))).await,
        #[cfg(not(all(feature = "stock", feature = "heap")))]
        Some(_) => Err("built without this feature".into()),
        None => until_signal(run::run(&options)).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("talksy-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Gives up at a signal. Dropping the work stops the servers that it has started.
async fn until_signal(work: impl Future<Output = Outcome<()>>) -> Outcome<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    tokio::select! {
        outcome = work => outcome,
        _ = interrupt.recv() => Err("interrupted".into()),
        _ = terminate.recv() => Err("terminated".into()),
    }
}
