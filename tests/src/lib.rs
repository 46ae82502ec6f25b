//! What Talksy's tests share: a server on a port of its own with a clock that only the test
//! moves and a mailbox that it reads, the clients to talk to it, and the contract suites that
//! every adapter of a port passes.
//!
//! Test code panics where something is not as a test expects; nothing here is for production.

pub mod answer;
pub mod app;
pub mod backend;
pub mod chaos;
pub mod client;
pub mod clock;
pub mod cluster;
pub mod contract;
pub mod crowd;
pub mod event_sinks;
pub mod faulty_store;
pub mod feeds;
pub mod mailbox;
pub mod multipart;
pub mod process;
pub mod replica;
pub mod servers;
pub mod sidebars;
pub mod slow_way;
pub mod touched;
pub mod uploads;
pub mod websocket;
pub mod wire;

use std::time::Duration;

/// How long a test waits for what must come. It only ends a hang and is never a measure: a healthy
/// server needs a thousandth of it, and a machine with other work to do may need a hundred times
/// what an idle one does.
pub const DEADLINE: Duration = Duration::from_mins(2);

/// A plain HTTP client. The server's build gives reqwest TLS without a provider of cryptography,
/// which each process then has to name.
pub fn http_client() -> reqwest::Client {
    // Another client of the process may have named it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

/// Waits for what must come.
///
/// # Panics
/// When it has not come by the [`DEADLINE`].
pub async fn soon<T>(what: &str, event: impl Future<Output = T>) -> T {
    let Ok(value) = tokio::time::timeout(DEADLINE, event).await else {
        panic!("waited {DEADLINE:?} in vain for {what}");
    };
    value
}

/// Asks again and again until the answer is there. For what no event tells of: a file, another
/// process, a state behind an API.
///
/// # Panics
/// When there is none by the [`DEADLINE`].
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    soon(what, async {
        loop {
            if let Some(value) = ask().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}
