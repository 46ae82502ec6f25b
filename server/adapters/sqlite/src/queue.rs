//! A bounded queue of jobs that threads of their own work off, and how async callers wait for
//! the outcome.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError};
use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;

use super::fault::Fault;

/// The sending end of a bounded queue, with the threads behind it.
pub(super) struct Queue<J> {
    sender: RwLock<Option<Sender<J>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    timeout: Duration,
}

impl<J: Send + 'static> Queue<J> {
    /// A queue of at most `capacity` jobs, whose callers wait for `timeout`, and its other end.
    pub(super) fn new(capacity: usize, timeout: Duration) -> (Self, Receiver<J>) {
        let (sender, receiver) = crossbeam_channel::bounded(capacity);
        let queue = Self {
            sender: RwLock::new(Some(sender)),
            threads: Mutex::new(Vec::new()),
            timeout,
        };
        (queue, receiver)
    }

    /// Starts a thread that works the queue off, until the queue is closed and empty.
    pub(super) fn spawn(
        &self,
        name: String,
        work: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<()> {
        let thread = thread::Builder::new().name(name).spawn(work)?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// Queues a job, and waits for what comes out of it.
    pub(super) async fn call<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, Fault>>) -> J,
    ) -> Result<T, Fault> {
        let (reply, answer) = oneshot::channel();
        self.send(job(reply))?;
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Fault::Closed),
            Err(_) => Err(Fault::TimedOut),
        }
    }

    fn send(&self, job: J) -> Result<(), Fault> {
        let sender = self.sender.read();
        let sender = sender.as_ref().ok_or(Fault::Closed)?;
        sender.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Fault::QueueFull,
            TrySendError::Disconnected(_) => Fault::Closed,
        })
    }

    /// How many jobs wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.sender.read().as_ref().map_or(0, Sender::len)
    }

    /// Takes no more jobs. The threads end once the waiting ones are done.
    pub(super) fn close(&self) {
        self.sender.write().take();
    }

    /// Waits for the threads of a closed queue. Blocks.
    pub(super) fn join(&self) {
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store has panicked");
            }
        }
    }
}

/// Runs a job; a panic in it becomes its fault and ends neither the thread nor other jobs.
pub(super) fn guard<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    // What a job shares with others is the connection alone, and whoever runs jobs rolls back
    // what a failed one has left there.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Fault::Panicked))
}
