//! The process's end, in two steps.
//!
//! The **soft** token asks for an orderly stop: listeners accept no more, running requests finish,
//! sockets close with a resumable code. The **hard** token follows when the drain time is over:
//! whatever still runs drops its work. Whoever starts a task that must end before the process
//! does spawns it through [`Shutdown::spawn`]. Nothing here knows what the tasks do.

use std::io;
use std::process;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long tasks have to notice the hard token before they are left behind.
const ABANDON_AFTER: Duration = Duration::from_secs(1);

/// How the drain went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drain {
    /// Every task ended in time.
    Complete,
    /// The time ran out; so many tasks were still running then.
    Cut {
        /// Tasks that the hard token had to stop.
        running: usize,
    },
}

/// The two cancellation tokens and the tasks that listen to them. Clones share both.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// Nothing is stopping yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when an orderly stop begins.
    pub fn soft(&self) -> &CancellationToken {
        &self.soft
    }

    /// Cancelled when the drain time is over.
    pub fn hard(&self) -> &CancellationToken {
        &self.hard
    }

    /// The tasks that [`Shutdown::finish`] waits for.
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Spawns a task that the stop waits for.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(task)
    }

    /// Begins the orderly stop. Again is harmless.
    pub fn begin(&self) {
        self.soft.cancel();
    }

    /// Begins the stop at the first SIGINT or SIGTERM. The second ends the process at once, with
    /// the shell's code for that signal: 130 or 143.
    ///
    /// # Errors
    /// Where the operating system refuses the signal handlers.
    pub fn on_signals(&self) -> io::Result<()> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let soft = self.soft.clone();
        tokio::spawn(async move {
            let name = either(&mut interrupt, &mut terminate).await.0;
            tracing::info!(signal = name, "stopping; a second signal stops at once");
            soft.cancel();
            let (name, code) = either(&mut interrupt, &mut terminate).await;
            tracing::warn!(signal = name, "stopped at once");
            process::exit(code);
        });
        Ok(())
    }

    /// Stops: waits up to `limit` for the tasks, then cancels the hard token and gives them a
    /// last second.
    pub async fn finish(&self, limit: Duration) -> Drain {
        self.begin();
        self.tasks.close();
        if tokio::time::timeout(limit, self.tasks.wait()).await.is_ok() {
            self.hard.cancel();
            return Drain::Complete;
        }
        let running = self.tasks.len();
        tracing::warn!(running, ?limit, "drain time is over");
        self.hard.cancel();
        if tokio::time::timeout(ABANDON_AFTER, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::error!(
                tasks = self.tasks.len(),
                "tasks did not stop and are left behind"
            );
        }
        Drain::Cut { running }
    }
}

/// The next of both signals: its name and the exit code that a shell gives it.
async fn either(interrupt: &mut Signal, terminate: &mut Signal) -> (&'static str, i32) {
    tokio::select! {
        _ = interrupt.recv() => ("SIGINT", 130),
        _ = terminate.recv() => ("SIGTERM", 143),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_heeds_the_soft_token_ends_the_drain() {
        let shutdown = Shutdown::new();
        let soft = shutdown.soft().clone();
        let task = shutdown.spawn(async move { soft.cancelled().await });
        assert_eq!(
            shutdown.finish(Duration::from_secs(10)).await,
            Drain::Complete
        );
        task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_is_cut_at_the_deadline() {
        let shutdown = Shutdown::new();
        let hard = shutdown.hard().clone();
        shutdown.spawn(async move { hard.cancelled().await });
        let started = tokio::time::Instant::now();
        assert_eq!(
            shutdown.finish(Duration::from_secs(10)).await,
            Drain::Cut { running: 1 }
        );
        assert_eq!(started.elapsed().as_secs(), 10);
        assert!(shutdown.tasks().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_heeds_nothing_is_left_behind_after_a_second() {
        let shutdown = Shutdown::new();
        shutdown.spawn(std::future::pending::<()>());
        let started = tokio::time::Instant::now();
        shutdown.finish(Duration::from_secs(10)).await;
        assert_eq!(started.elapsed().as_secs(), 11);
    }
}
