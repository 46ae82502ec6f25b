//! The server, with an allocator that counts what lives on the heap: how many blocks there are of
//! which size. In a process of its own, which is built with the feature `heap`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use talksy_server::app::{Environment, Server};
use talksy_server::cli::SettingsArgs;
use talksy_server::config::Config;
use talksy_server::lifecycle::Shutdown;
use tokio::net::TcpListener;
use tracking_allocator::{AllocationGroupId, AllocationRegistry, AllocationTracker, Allocator};

use super::outcome::{Context as _, Outcome};

#[global_allocator]
static ALLOCATOR: Allocator<std::alloc::System> = Allocator::system();

/// Sizes up to here are told apart; all that are larger are one class, of this size.
const LARGEST: usize = 256 * 1024;

/// How many blocks live, by their size in bytes.
#[derive(Clone)]
struct Blocks(Arc<[AtomicI64]>);

impl Blocks {
    fn count(&self, size: usize, change: i64) {
        if let Some(blocks) = self.0.get(size.min(LARGEST)) {
            blocks.fetch_add(change, Ordering::Relaxed);
        }
    }
}

impl AllocationTracker for Blocks {
    fn allocated(&self, _: usize, size: usize, _: usize, _: AllocationGroupId) {
        self.count(size, 1);
    }

    fn deallocated(
        &self,
        _: usize,
        size: usize,
        _: usize,
        _: AllocationGroupId,
        _: AllocationGroupId,
    ) {
        self.count(size, -1);
    }
}

/// Serves until a signal. The counts are at `/heap`, where the server has its metrics.
pub(super) async fn serve(settings: &SettingsArgs) -> Outcome<()> {
    rlimit::increase_nofile_limit(u64::MAX).context("cannot open more files")?;
    let blocks = Blocks((0..=LARGEST).map(|_| AtomicI64::new(0)).collect());
    AllocationRegistry::set_global_tracker(blocks.clone())
        .map_err(|error| format!("cannot count allocations: {error}"))?;
    AllocationRegistry::enable_tracking();
    let config = Config::load(&settings.sources())?;
    let pages = TcpListener::bind(config.metrics.listen.context("no metrics.listen")?).await?;
    let router = Router::new().route("/heap", get(heap)).with_state(blocks);
    tokio::spawn(async move { axum::serve(pages, router).await });
    let shutdown = Shutdown::new();
    shutdown.on_signals()?;
    let server = Server::build(&config, Environment::default(), shutdown).await?;
    let listener = TcpListener::bind(config.listen).await?;
    Ok(server.serve(listener).await?)
}

/// Sizes and their numbers of blocks, where there are any.
async fn heap(State(blocks): State<Blocks>) -> Json<Vec<(usize, i64)>> {
    let counts = blocks.0.iter().map(|count| count.load(Ordering::Relaxed));
    let counts = counts.enumerate().filter(|(_, count)| *count != 0);
    Json(counts.collect())
}
