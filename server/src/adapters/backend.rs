//! What every server outside this process has in common: it may be away when this one starts,
//! and go away later. The order in which they start does not matter.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use metrics::gauge;
use parking_lot::Mutex;
use talksy_domain::backoff::Backoff;
use talksy_domain::error::PortError;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::metrics::BACKEND_UP;

/// How often all are asked whether they answer. Whoever asks for readiness is told what was found
/// last, so that asking costs no backend anything.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);

/// How long such a look may take.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// The waits between tries at the start.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why a backend cannot be used yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotReady {
    /// It may be later: it is down, or starting.
    Yet(String),
    /// It is there and being made ready, which takes the time that it takes: indexes are built.
    Working(String),
    /// It will not be: a wrong password, a version that is too old. Names the setting.
    Ever(String),
}

/// A store, bus or queue behind the ports.
#[async_trait]
pub trait Backend: Send + Sync {
    /// What a person calls it, such as `MongoDB`.
    fn name(&self) -> &'static str;

    /// Whether [`Backend::prepare`] has to be waited for: not for what lies in this process.
    fn is_remote(&self) -> bool {
        true
    }

    /// Connects, checks that the backend can be used, and makes what is needed there. Idempotent.
    /// Where that takes long it answers [`NotReady::Working`] every few seconds, and goes on.
    ///
    /// # Errors
    /// [`NotReady`].
    async fn prepare(&self) -> Result<(), NotReady>;

    /// Whether it answers now.
    ///
    /// # Errors
    /// What is wrong, for an operator to read.
    async fn ping(&self) -> Result<(), String>;

    /// Lets go of it in order.
    async fn close(&self);
}

/// The store as the process sees it, beside its ports.
#[async_trait]
pub trait Store: Backend {
    /// How many calls the ports have taken so far, without those of jobs.
    fn calls(&self) -> u64;

    /// Gives the store another [incarnation](talksy_domain::incarnation): it was restored.
    ///
    /// # Errors
    /// Where the store is down.
    async fn renew_incarnation(&self) -> Result<(), PortError>;
}

/// A backend was not there in time, or never will be. Reads as a line for an operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartFailure {
    /// Trying again is in vain.
    #[error("{backend} cannot be used: {reason}")]
    Refused {
        /// Its name.
        backend: &'static str,
        /// What it said.
        reason: String,
    },
    /// The time to wait is over.
    #[error("{backend} was waited for in vain for {waited:?}: {reason}")]
    TimedOut {
        /// Its name.
        backend: &'static str,
        /// What it said last.
        reason: String,
        /// For how long.
        waited: Duration,
    },
}

/// What keeps requests from being served. Reads as a line for an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unready {
    /// Which part, and no more: for anybody to read.
    pub part: String,
    /// Why, where that is known. It may name hosts and versions: for operators alone.
    pub reason: Option<String>,
}

impl Unready {
    fn new(part: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            part: part.into(),
            reason: Some(reason.into()),
        }
    }
}

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.part)?;
        match &self.reason {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

/// All backends of the process, whether each has been prepared, and how each was found last.
#[derive(Clone)]
pub struct Backends {
    all: Arc<[Arc<dyn Backend>]>,
    /// What is waited for; `None` once everything has been prepared.
    waiting: Arc<watch::Sender<Option<Unready>>>,
    /// What was found of each at the last look, in their order; `None` where it answers.
    found: Arc<Mutex<Vec<Option<Unready>>>>,
}

impl Backends {
    /// Remote ones have not been prepared yet.
    pub fn new(all: Vec<Arc<dyn Backend>>) -> Self {
        let remote = all.iter().any(|backend| backend.is_remote());
        let starting = || Unready {
            part: "starting".to_owned(),
            reason: None,
        };
        for backend in &all {
            show(&**backend, !backend.is_remote());
        }
        Self {
            found: Arc::new(Mutex::new(vec![None; all.len()])),
            all: all.into(),
            waiting: Arc::new(watch::Sender::new(remote.then(starting))),
        }
    }

    /// Whether all have been prepared, so that requests may be served.
    pub fn are_prepared(&self) -> bool {
        self.waiting.borrow().is_none()
    }

    /// Waits until all have been prepared.
    pub async fn prepared(&self) {
        let mut waiting = self.waiting.subscribe();
        // The sender lives as long as this does.
        let _ = waiting.wait_for(Option::is_none).await;
    }

    /// Prepares all, each as soon as it is there. Says once which are waited for.
    ///
    /// # Errors
    /// [`StartFailure`] where one refuses, or is not there after `timeout`. The time in which a
    /// backend is there and at work does not count.
    pub async fn prepare(&self, timeout: Duration) -> Result<(), StartFailure> {
        let preparing = self
            .all
            .iter()
            .map(|backend| async move { prepare(&**backend, timeout, &self.waiting).await });
        futures_util::future::try_join_all(preparing).await?;
        self.waiting.send_replace(None);
        Ok(())
    }

    /// What keeps requests from being served, as of the last look: nothing where all is well.
    pub fn unready(&self) -> Vec<Unready> {
        if let Some(waiting) = &*self.waiting.borrow() {
            return vec![waiting.clone()];
        }
        self.found.lock().iter().flatten().cloned().collect()
    }

    /// Once all have been prepared, looks again and again whether they answer, until `stop`. Says so
    /// once where one no longer does, or does again.
    pub async fn watch(&self, stop: CancellationToken) {
        let looking = async {
            self.prepared().await;
            loop {
                let looks = (0..).zip(&*self.all);
                join_all(looks.map(|(place, backend)| self.look(place, &**backend))).await;
                sleep(LOOK_INTERVAL).await;
            }
        };
        tokio::select! {
            () = looking => {}
            () = stop.cancelled() => {}
        }
    }

    async fn look(&self, place: usize, backend: &dyn Backend) {
        let name = backend.name();
        let now = match timeout(PING_TIMEOUT, backend.ping()).await {
            Ok(Ok(())) => None,
            Ok(Err(reason)) => Some(Unready::new(format!("{name} is not ready"), reason)),
            Err(_elapsed) => Some(Unready {
                part: format!("{name} does not answer"),
                reason: None,
            }),
        };
        show(backend, now.is_none());
        let before = match self.found.lock().get_mut(place) {
            Some(found) => std::mem::replace(found, now.clone()),
            None => return,
        };
        match (before, now) {
            (None, Some(unready)) => tracing::warn!(backend = name, "{unready}"),
            (Some(_), None) => tracing::info!(backend = name, "is ready again"),
            _ => {}
        }
    }

    /// Lets go of all.
    pub async fn close(&self) {
        let closing = self.all.iter().map(|backend| backend.close());
        join_all(closing).await;
    }
}

/// Shows in the metrics whether a backend can be used.
fn show(backend: &dyn Backend, is_up: bool) {
    gauge!(BACKEND_UP, "backend" => backend.name()).set(u32::from(is_up));
}

async fn prepare(
    backend: &dyn Backend,
    timeout: Duration,
    waiting: &watch::Sender<Option<Unready>>,
) -> Result<(), StartFailure> {
    let name = backend.name();
    let mut deadline = Instant::now() + timeout;
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    let (mut waits, mut work) = (false, None);
    loop {
        let reason = match backend.prepare().await {
            Ok(()) if waits || work.is_some() => {
                tracing::info!(backend = name, "is there");
                show(backend, true);
                return Ok(());
            }
            Ok(()) => {
                show(backend, true);
                return Ok(());
            }
            Err(NotReady::Ever(reason)) => {
                return Err(StartFailure::Refused {
                    backend: name,
                    reason,
                });
            }
            Err(NotReady::Working(reason)) => {
                // To end now would only have the next start wait for the same.
                deadline = Instant::now() + timeout;
                backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
                let preparing = Unready::new(format!("preparing {name}"), &reason);
                waiting.send_replace(Some(preparing));
                if work.as_ref() != Some(&reason) {
                    tracing::info!(backend = name, %reason, "preparing a backend");
                    work = Some(reason);
                }
                sleep(FIRST_PAUSE).await;
                continue;
            }
            Err(NotReady::Yet(reason)) => reason,
        };
        let pause = backoff.next_wait();
        if Instant::now() + pause >= deadline {
            return Err(StartFailure::TimedOut {
                backend: name,
                reason,
                waited: timeout,
            });
        }
        let missing = Unready::new(format!("waiting for {name}"), &reason);
        waiting.send_replace(Some(missing));
        if !waits {
            tracing::warn!(backend = name, %reason, ?timeout, "waiting for a backend");
            waits = true;
        }
        sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Answers `prepare` from a list, the last answer for ever.
    struct Scripted(Mutex<Vec<Result<(), NotReady>>>);

    /// Is there at once, answers pings as it is told, and counts them.
    #[derive(Default)]
    struct Pinged {
        trouble: Mutex<Option<String>>,
        pings: AtomicU32,
    }

    #[async_trait]
    impl Backend for Pinged {
        fn name(&self) -> &'static str {
            "Pinged"
        }
        fn is_remote(&self) -> bool {
            false
        }
        async fn prepare(&self) -> Result<(), NotReady> {
            Ok(())
        }
        async fn ping(&self) -> Result<(), String> {
            self.pings.fetch_add(1, Ordering::Relaxed);
            self.trouble.lock().clone().map_or(Ok(()), Err)
        }
        async fn close(&self) {}
    }

    /// What operators are told.
    fn told(backends: &Backends) -> Vec<String> {
        backends.unready().iter().map(Unready::to_string).collect()
    }

    #[async_trait]
    impl Backend for Scripted {
        fn name(&self) -> &'static str {
            "Scripted"
        }
        async fn prepare(&self) -> Result<(), NotReady> {
            let mut answers = self.0.lock();
            if answers.len() > 1 {
                answers.remove(0)
            } else {
                answers[0].clone()
            }
        }
        async fn ping(&self) -> Result<(), String> {
            Err("no".to_owned())
        }
        async fn close(&self) {}
    }

    fn backends(answers: Vec<Result<(), NotReady>>) -> Backends {
        Backends::new(vec![Arc::new(Scripted(Mutex::new(answers)))])
    }

    fn later() -> Result<(), NotReady> {
        Err(NotReady::Yet("refused".to_owned()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_that_comes_late_is_waited_for() {
        let backends = backends(vec![later(), later(), Ok(())]);
        assert_eq!(told(&backends), ["starting"]);
        let start = {
            let backends = backends.clone();
            tokio::spawn(async move { backends.prepare(Duration::from_mins(1)).await })
        };
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(told(&backends), ["waiting for Scripted: refused"]);
        assert_eq!(backends.unready()[0].part, "waiting for Scripted");
        assert!(!backends.are_prepared());
        assert_eq!(start.await.unwrap(), Ok(()));
        assert!(backends.are_prepared());
        assert_eq!(told(&backends), [""; 0], "what was just prepared is there");
    }

    #[tokio::test(start_paused = true)]
    async fn readiness_is_what_the_last_look_has_found_however_often_it_is_asked_for() {
        let backend = Arc::new(Pinged::default());
        let backends = Backends::new(vec![Arc::clone(&backend) as _]);
        let stop = CancellationToken::new();
        let watching = tokio::spawn({
            let (backends, stop) = (backends.clone(), stop.clone());
            async move { backends.watch(stop).await }
        });
        // Paused time goes on only where everybody waits: each span is one look further.
        sleep(LOOK_INTERVAL / 2).await;
        for _ in 0..1_000 {
            assert_eq!(told(&backends), [""; 0]);
        }
        assert_eq!(backend.pings.load(Ordering::Relaxed), 1);

        let reason = "mongo-3.internal:27017 refuses".to_owned();
        *backend.trouble.lock() = Some(reason.clone());
        assert_eq!(told(&backends), [""; 0], "nobody has looked yet");
        sleep(LOOK_INTERVAL).await;
        assert_eq!(told(&backends), [format!("Pinged is not ready: {reason}")]);
        assert_eq!(backends.unready()[0].part, "Pinged is not ready");

        *backend.trouble.lock() = None;
        sleep(LOOK_INTERVAL).await;
        assert_eq!(told(&backends), [""; 0]);
        assert_eq!(backend.pings.load(Ordering::Relaxed), 3);
        stop.cancel();
        watching.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_in_which_one_is_at_work_does_not_count() {
        let timeout = Duration::from_secs(1);
        let working = || Err(NotReady::Working("indexes".to_owned()));
        let mut answers: Vec<_> = (0..600).map(|_| working()).collect();
        let backends = backends([answers.clone(), vec![later(), Ok(())]].concat());
        let start = {
            let backends = backends.clone();
            tokio::spawn(async move { backends.prepare(timeout).await })
        };
        // Long behind the timeout, and long ahead of the end of the work.
        tokio::time::sleep(timeout * 30).await;
        assert_eq!(told(&backends), ["preparing Scripted: indexes"]);
        assert!(!start.is_finished());
        assert_eq!(start.await.unwrap(), Ok(()));
        assert!(backends.are_prepared());

        // Who is away behind that is waited for no longer than others.
        answers.push(later());
        let outcome = self::backends(answers).prepare(timeout).await;
        assert!(
            matches!(outcome, Err(StartFailure::TimedOut { .. })),
            "{outcome:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_stays_away_or_refuses_ends_the_start() {
        let timeout = Duration::from_mins(1);
        let outcome = backends(vec![later()]).prepare(timeout).await;
        assert!(
            matches!(outcome, Err(StartFailure::TimedOut { .. })),
            "{outcome:?}"
        );
        let refused = Err(NotReady::Ever("wrong password".to_owned()));
        let outcome = backends(vec![refused]).prepare(timeout).await;
        let line = "Scripted cannot be used: wrong password";
        assert_eq!(outcome.unwrap_err().to_string(), line);
    }
}
