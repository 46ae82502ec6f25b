//! Bringing the database up to date at the start, which may take long: an index of a billion messages
//! takes hours to build.
//!
//! The work is a task of the process, which waits for each of its commands as long as that takes, and
//! goes on behind the answer to who asked for it. It sends `createIndexes` for all that there should
//! be: where they are there that is nothing, and where another instance is building them, the server
//! answers both when they are built. So instances that start together all wait for one build; one
//! that is restarted meanwhile waits for the same build again and does not begin it anew.
//!
//! The server may die in the middle, or elect another primary. Then the command fails, the task ends,
//! and the next call begins another: the build was resumed or given up by then, and is finished or
//! begun again. A connection that has died unnoticed is told from a long build by a `ping` on another
//! one, and by the keep-alive of TCP.

use std::sync::Arc;
use std::time::Duration;

use mongodb::bson::doc;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

use super::Inner;
use super::call::Call;
use super::migrations::{self, PrepareError};
use super::repair;

/// How long the work may take: as long as it does.
const FOR_EVER: Duration = Duration::from_hours(24 * 365);

/// What is under way.
#[derive(Default)]
pub(super) struct Preparing {
    task: Mutex<Option<JoinHandle<Result<(), PrepareError>>>>,
    step: watch::Sender<String>,
}

impl Preparing {
    /// Says what is being done from now on.
    pub(super) fn note(&self, step: impl Into<String>) {
        self.step.send_replace(step.into());
    }
}

/// See [`super::MongoStore::prepare`].
pub(super) async fn prepare(inner: &Arc<Inner>) -> Result<(), PrepareError> {
    let call = Call::new(inner, inner.options.timeout);
    // What is refused is refused at once, and nothing is changed then.
    let found = migrations::check(&call).await?;
    let mut task = inner.preparing.task.lock().await;
    let work = task.get_or_insert_with(|| {
        let call = Call::of_store_within(inner, FOR_EVER);
        inner.preparing.note("indexes");
        tokio::spawn(async move {
            migrations::bring_up_to_date(&call, found).await?;
            call.inner.preparing.note("repair notes");
            repair::take_over_notes(&call).await?;
            Ok(())
        })
    });
    if let Ok(outcome) = tokio::time::timeout(inner.options.prepare_timeout, work).await {
        *task = None;
        return outcome.map_err(|_panic| super::fault::Fault::Panicked)?;
    }
    // Whoever cannot reach the server does not know whether it still works.
    let call = Call::new(inner, inner.options.timeout);
    call.command(doc! { "ping": 1 }).await?;
    let step = inner.preparing.step.borrow().clone();
    Err(PrepareError::Working { step })
}
