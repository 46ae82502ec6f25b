//! One call of a port: its deadline, and how it waits. Its commands stand in `commands`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mongodb::Database;
use talksy_domain::events::Announcement;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::Span;

use super::fault::Fault;
use super::{Inner, connect};

/// The pause before another try, at first and at most. Each is scaled by what tells writers apart.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(32);

/// A call of a port on its way.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) inner: Arc<Inner>,
    deadline: Instant,
    /// Within which it was made.
    pub(super) span: Span,
    /// Whether its commands are part of the store's figures.
    is_counted: bool,
}

impl Call {
    /// A call that waits for its answer until `timeout` from now.
    pub(super) fn new(inner: &Arc<Inner>, timeout: Duration) -> Self {
        Self {
            inner: Arc::clone(inner),
            deadline: Instant::now() + timeout,
            span: Span::current(),
            is_counted: true,
        }
    }

    /// A call that nobody has made: the store's own work.
    pub(super) fn of_store(inner: &Arc<Inner>) -> Self {
        Self::of_store_within(inner, inner.options.timeout)
    }

    /// The same, which waits for its answer until `timeout` from now.
    pub(super) fn of_store_within(inner: &Arc<Inner>, timeout: Duration) -> Self {
        Self {
            is_counted: false,
            ..Self::new(inner, timeout)
        }
    }

    /// Counts documents that the database has returned.
    pub(super) fn note_returned(&self, documents: usize) {
        if self.is_counted {
            let documents = u64::try_from(documents).unwrap_or(u64::MAX);
            self.inner.documents.fetch_add(documents, Ordering::Relaxed);
        }
    }

    /// Waits for something of this process, not for the driver.
    pub(super) async fn wait<T>(&self, event: impl Future<Output = T>) -> Result<T, Fault> {
        let outcome = timeout_at(self.deadline, event).await;
        outcome.map_err(|_elapsed| Fault::TimedOut)
    }

    /// Pauses before try number `attempt`, from 1, for a time that grows with it. `spread` scales
    /// it, so that writers who met once do not meet again.
    pub(super) async fn pause(&self, attempt: u32, spread: u8) -> Result<(), Fault> {
        let longest = LONGEST_PAUSE.min(FIRST_PAUSE * 2_u32.saturating_pow(attempt.min(16)));
        let pause = longest * u32::from(spread) / 255;
        if Instant::now() + pause >= self.deadline {
            return Err(Fault::Contended);
        }
        sleep(pause).await;
        Ok(())
    }

    /// Hands over what follows from a commit.
    pub(super) fn announce(&self, announcements: Vec<Announcement>) {
        self.announcing(announcements)();
    }

    /// Hands over what follows from a commit as soon as it is called, whoever waits then.
    pub(super) fn announcing(
        &self,
        announcements: Vec<Announcement>,
    ) -> impl FnOnce() + Send + use<> {
        let (events, span) = (Arc::clone(&self.inner.events), self.span.clone());
        move || {
            let caused = announcements.into_iter().map(|one| one.within(&span));
            events.put(caused.collect());
        }
    }

    /// Runs commands of the driver to their end, and waits for it until the deadline.
    pub(super) async fn run<T, W>(&self, work: impl FnOnce(Database) -> W) -> Result<T, Fault>
    where
        T: Send + 'static,
        W: Future<Output = mongodb::error::Result<T>> + Send + 'static,
    {
        self.run_then(work, |_| {}).await
    }

    /// The same, and has `then` see the outcome at its end: also where that comes behind the
    /// deadline, or when nobody waits for it any more.
    pub(super) async fn run_then<T, W>(
        &self,
        work: impl FnOnce(Database) -> W,
        then: impl FnOnce(&mongodb::error::Result<T>) + Send + 'static,
    ) -> Result<T, Fault>
    where
        T: Send + 'static,
        W: Future<Output = mongodb::error::Result<T>> + Send + 'static,
    {
        let inner = &self.inner;
        if inner.closed.load(Ordering::SeqCst) {
            return Err(Fault::Closed);
        }
        let client = inner.client.get_or_try_init(|| inner.location.client());
        let client = self.wait(client).await??;
        let permit = Arc::clone(&inner.permits).try_acquire_owned();
        let permit = permit.map_err(|_full| Fault::Busy)?;
        if self.is_counted {
            inner.commands.fetch_add(1, Ordering::Relaxed);
        }
        let options = connect::durable(inner.options.timeout);
        let work = work(client.database_with_options(inner.location.database(), options));
        let task = tokio::spawn(async move {
            let outcome = work.await;
            then(&outcome);
            drop(permit);
            outcome
        });
        let outcome = self.wait(task).await?;
        Ok(outcome.map_err(|_panic| Fault::Panicked)??)
    }
}
