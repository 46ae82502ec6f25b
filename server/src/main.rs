//! The `talksy` binary.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;

use axum::Router;
use clap::Parser as _;
use talksy_domain::error::chain;
use talksy_server::app::{Environment, Server};
use talksy_server::cli::{Cli, Serving, welcome};
use talksy_server::config::Config;
use talksy_server::demo::Demo;
use talksy_server::lifecycle::Shutdown;
use talksy_server::telemetry;
use talksy_telemetry::Metrics;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A list of chats is some ten thousand small blocks, of ours and of SQLite, made on one thread and
/// freed on another. With the allocator of the system it costs half as much again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// After how many of its own tasks a worker thread looks for those that were woken from outside.
/// The store answers from threads of its own: with a thousand subscribers to serve, its answers
/// must not wait behind them, and messages that were committed together should be published
/// together, so that each subscriber is woken once for all.
const OUTSIDE_EVERY: u32 = 4;

/// After how many tasks a worker thread looks for bytes that have come. Where a thousand clients come back
/// at once, each of their tasks takes tenths of a millisecond: with tokio's 61 of them, whoever sends
/// a message waits for all these before anybody knows of it.
const EVENTS_EVERY: u32 = 16;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .global_queue_interval(OUTSIDE_EVERY)
        .event_interval(EVENTS_EVERY)
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(Cli::parse().run(serve)),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "talksy: cannot start threads: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(serving: Serving) -> ExitCode {
    match try_serve(&serving).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where even this cannot be written, the exit code still tells.
            let _ = writeln!(std::io::stderr(), "talksy: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Each socket is an open file, and the usual limit of 1,024 is meant for programs that cannot count
/// further. What the system allows at most is taken.
fn raise_open_files() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => tracing::debug!(limit, "so many files may be open"),
        Err(error) => tracing::debug!(%error, "the limit of open files stays as it is"),
    }
}

async fn try_serve(serving: &Serving) -> Result<(), Box<dyn std::error::Error>> {
    let config = serving.config();
    let telemetry = telemetry::init(config)?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    raise_open_files();
    let served = match serving {
        Serving::Usual(config) => observed(config, telemetry.metrics()).await,
        Serving::Demo(demo) => shown(demo).await,
    };
    telemetry.shutdown().await;
    served
}

async fn observed(
    config: &Config,
    metrics: Option<&Metrics>,
) -> Result<(), Box<dyn std::error::Error>> {
    let shutdown = Shutdown::new();
    shutdown.on_signals()?;
    let server = Server::build(config, Environment::default(), shutdown.clone()).await?;
    if let (Some(metrics), Some(listen)) = (metrics, config.metrics.listen) {
        let pages = server.operator_pages(metrics.clone());
        serve_pages(listen, pages, shutdown.hard().clone()).await?;
    }
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", config.listen))?;
    let url = announced(config, &listener)?;
    if io::stderr().is_terminal() {
        // Where this cannot be written, the log has it too.
        let _ = io::stderr().write_all(welcome(config, &url).as_bytes());
    }
    server.serve(listener).await?;
    tracing::info!("stopped");
    Ok(())
}

/// `talksy demo`.
async fn shown(demo: &Demo) -> Result<(), Box<dyn std::error::Error>> {
    let shutdown = Shutdown::new();
    shutdown.on_signals()?;
    let (server, play) = demo.build(&shutdown).await?;
    let listener = demo.listen().await?;
    let url = announced(&demo.config, &listener)?;
    let playing = shutdown.spawn(play.run(url));
    server.serve(listener).await?;
    playing.await??;
    tracing::info!("stopped, and the data is gone");
    Ok(())
}

/// The server's URL, of which the log is told.
fn announced(config: &Config, listener: &TcpListener) -> io::Result<String> {
    let address = listener.local_addr()?;
    let url = config.public_url.clone();
    let url = url.unwrap_or_else(|| format!("http://{address}"));
    tracing::info!(
        data_dir = %config.data_dir.display(),
        "Talksy serves {url}/graphql (web chat: {url}/, GraphiQL: {url}/graphiql)"
    );
    Ok(url)
}

/// Serves the operator's pages to the very end, so that the stop can be watched too.
async fn serve_pages(listen: SocketAddr, pages: Router, end: CancellationToken) -> io::Result<()> {
    let bound = TcpListener::bind(listen).await;
    let listener = bound.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {listen}: {error}"))
    })?;
    let address = listener.local_addr()?;
    tracing::info!("metrics are served at http://{address}/metrics");
    tokio::spawn(async move {
        let served = axum::serve(listener, pages).with_graceful_shutdown(end.cancelled_owned());
        if let Err(error) = served.await {
            tracing::error!(%error, "metrics are no longer served");
        }
    });
    Ok(())
}
