//! What each port promises, as rules that every adapter of it passes: public async functions that
//! test the port through its trait object alone.
//!
//! A backend may be shared and may hold data already: a rule works with users, chats, addresses
//! and keys of its own, which nobody else knows, and never counts on emptiness. Where a port acts
//! on all there is (presence sweeps, the mail queue, a clock that is moved), its fixture says so
//! and asks for a namespace of its own.
//!
//! Times are arguments. They lie about the present, so that a backend which forgets by the real
//! clock does not forget them while the rule runs. No rule measures time.
//!
//! [`contract_suite!`](crate::contract_suite) makes a test of each rule for an adapter.

#![expect(
    clippy::unwrap_used,
    reason = "a rule panics where an adapter breaks it"
)]

pub mod announcing;
pub mod attachments;
pub mod blocks;
pub mod bus;
pub mod changes;
pub mod chat_list;
pub mod chats;
pub mod codes;
pub mod content;
pub mod deletion;
pub mod directory;
pub mod erasing;
mod fixture;
pub mod groups;
pub mod history;
pub mod jobs;
pub mod limits;
pub mod mail;
pub mod marking_unread;
pub mod mentions;
pub mod moderation;
pub mod names;
pub mod objects;
pub mod own_data;
pub mod pins;
pub mod presence;
pub mod reactions;
pub mod reading;
pub mod refreshing;
pub mod replies;
pub mod retries;
pub mod search;
pub mod sending;
pub mod sessions;
mod suite;
pub mod unread;
pub mod users;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use talksy_domain::clock::{Clock as _, Entropy as _, SystemClock, SystemEntropy, Timestamp};
use talksy_domain::id::IdGenerator;
use tokio::sync::Barrier;

pub use fixture::Stores;

/// Runs tasks at the same time and returns what came of each, in their order. They start
/// together, so that they do meet.
async fn at_once<T, F>(tasks: impl IntoIterator<Item = F>) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<F> = tasks.into_iter().collect();
    let start = Arc::new(Barrier::new(tasks.len()));
    let running: Vec<_> = tasks
        .into_iter()
        .map(|task| {
            let start = Arc::clone(&start);
            tokio::spawn(async move {
                start.wait().await;
                task.await
            })
        })
        .collect();
    let mut results = Vec::with_capacity(running.len());
    for task in running {
        match crate::soon("a task among others", task).await {
            Ok(result) => results.push(result),
            Err(failure) => std::panic::resume_unwind(failure.into_panic()),
        }
    }
    results
}

/// How long a rule may take: one that pages on for ever ends too.
const RULE_DEADLINE: Duration = Duration::from_mins(2);

/// Runs a rule, which must end.
pub async fn in_time(rule: impl Future<Output = ()>) {
    let ended = tokio::time::timeout(RULE_DEADLINE, rule).await;
    assert!(ended.is_ok(), "the rule has not ended in {RULE_DEADLINE:?}");
}

/// A rule while it runs.
pub type Running<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Runs rules at the same time over one backend: none may disturb another.
pub async fn together(rules: Vec<Running<'_>>) {
    futures_util::future::join_all(rules).await;
}

/// The present, to which rules add.
fn now() -> Timestamp {
    SystemClock.now()
}

/// Makes ids that nobody has yet.
fn ids() -> IdGenerator {
    IdGenerator::new(Arc::new(SystemClock), Arc::new(SystemEntropy))
}

/// Bytes that nobody has yet.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemEntropy.fill(&mut bytes);
    bytes
}

/// A word that nobody has yet: 16 lower-case letters and digits, the first a letter.
fn word() -> String {
    let digits = u64::from_be_bytes(random()) >> 4;
    format!("w{digits:015x}")
}
