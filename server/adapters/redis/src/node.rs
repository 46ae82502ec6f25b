//! One server: the connection to it, made when it is first needed and again after it broke.
//!
//! All calls share the connection and are pipelined on it. Every call ends in time: one that has
//! waited too long fails and the connection with it. From then on, and from when on the server could
//! not be reached, callers are told at once that it is down, until a probe has connected again. The
//! probe runs beside them: nobody waits for a server that is paused, but those whose calls were on
//! their way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, Pipeline, PushInfo, PushKind, Value,
};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::address::Address;
use super::fault::Fault;
use super::hello::Hello;

/// How long after a failure, or after a probe that has failed, the server is probed again.
const PAUSE: Duration = Duration::from_millis(250);

/// What a server may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// One that can be written to.
    Primary,
    /// Any: who it is says who can be written to.
    Any,
}

/// A connection in use.
#[derive(Clone)]
struct Live {
    connection: MultiplexedConnection,
    broken: Arc<AtomicBool>,
}

/// One server.
pub(super) struct Node {
    pub(super) address: Address,
    info: ConnectionInfo,
    role: Role,
    limit: Duration,
    /// Set when a connection is lost: another server may be the right one by now.
    doubt: Arc<AtomicBool>,
    live: RwLock<Option<Live>>,
    /// Held by who connects.
    connecting: Mutex<()>,
    /// Why the server counts as down, and since when that is known; none while it does not.
    failure: parking_lot::Mutex<Option<(Instant, Fault)>>,
    /// Calls that have waited in vain.
    timeouts: Arc<AtomicU64>,
}

/// Notes that the connection is gone before anybody has sent on it.
struct Watch {
    broken: Arc<AtomicBool>,
    doubt: Arc<AtomicBool>,
}

impl AsyncPushSender for Watch {
    fn send(&self, info: PushInfo) -> Result<(), redis::aio::SendError> {
        if info.kind == PushKind::Disconnection {
            self.broken.store(true, Ordering::Release);
            self.doubt.store(true, Ordering::Release);
        }
        Ok(())
    }
}

impl Node {
    /// The server at this address, which has to have this role, and whose calls take no longer than
    /// `limit`. `doubt` is set when a connection to it is lost; `timeouts` counts calls that have waited
    /// in vain.
    pub(super) fn new(
        address: Address,
        (info, role): (ConnectionInfo, Role),
        limit: Duration,
        doubt: Arc<AtomicBool>,
        timeouts: Arc<AtomicU64>,
    ) -> Arc<Self> {
        Arc::new(Self {
            address,
            info,
            role,
            limit,
            doubt,
            live: RwLock::new(None),
            connecting: Mutex::new(()),
            failure: parking_lot::Mutex::new(None),
            timeouts,
        })
    }

    /// Runs a command. A server's error is an error.
    pub(super) async fn query(self: &Arc<Self>, command: &Cmd) -> Result<Value, Fault> {
        self.call(async |mut connection| Ok(command.query_async(&mut connection).await?))
            .await
    }

    /// Runs a command for a key that the server is just taking over.
    pub(super) async fn asking(self: &Arc<Self>, command: &Cmd) -> Result<Value, Fault> {
        self.call(async |mut connection| {
            let mut pipeline = redis::pipe();
            pipeline.cmd("ASKING").ignore();
            pipeline.add_command(command.clone());
            let (answer,): (Value,) = pipeline.query_async(&mut connection).await?;
            Ok(answer)
        })
        .await
    }

    /// Runs commands in their order, in one step. A server's error is an answer.
    pub(super) async fn run_all(
        self: &Arc<Self>,
        pipeline: &Pipeline,
    ) -> Result<Vec<Value>, Fault> {
        let work = async |mut connection: MultiplexedConnection| {
            let answers = connection.send_packed_commands(pipeline, 0, pipeline.len());
            Ok(answers.await?)
        };
        let of_replica = |answers: &Vec<Value>| {
            let mut faults = answers.iter().filter_map(|answer| match answer {
                Value::ServerError(error) => Some(Fault::Redis(error.clone().into())),
                _ => None,
            });
            faults.find(Fault::is_of_replica)
        };
        self.call_and_look(work, of_replica).await
    }

    /// Whoever has another connection to the server has found out that it is of no use any more.
    pub(super) fn leave(&self, fault: &Fault) {
        if let Some(live) = self.present() {
            self.give_up(&live.broken, fault);
        }
    }

    /// Whether the server is there, and what it has to be.
    pub(super) async fn check(self: &Arc<Self>) -> Result<(), Fault> {
        self.call(async |connection| self.check_over(connection).await)
            .await
    }

    /// The same, over a connection of one's own.
    pub(super) async fn check_over(
        &self,
        mut connection: MultiplexedConnection,
    ) -> Result<(), Fault> {
        // `PING` is refused while the server loads its data or its disk fails, `HELLO` is not.
        let mut questions = redis::pipe();
        questions.cmd("PING").ignore().cmd("HELLO");
        let (hello,): (Value,) = questions.query_async(&mut connection).await?;
        if Hello::read(hello)?.is_replica() && self.role == Role::Primary {
            return Err(Fault::Replica);
        }
        Ok(())
    }

    /// A connection of its own, whose pushes go to `pushes`.
    pub(super) async fn dedicated(
        &self,
        pushes: impl AsyncPushSender,
    ) -> Result<MultiplexedConnection, Fault> {
        // Less than a call may take, so that who waits for it learns how it went.
        let limit = self.limit * 2 / 3;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(limit))
            .set_response_timeout(Some(self.limit))
            .set_push_sender(pushes);
        let client = Client::open(self.info.clone())?;
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        // The driver's own limit does not span everything, such as a TLS handshake.
        let connecting = async {
            let connection = connecting.await?;
            self.check_over(connection.clone()).await?;
            Ok(connection)
        };
        match timeout(limit, connecting).await {
            Ok(connected) => connected,
            Err(_elapsed) => Err(Fault::TimedOut),
        }
    }

    async fn call<T>(
        self: &Arc<Self>,
        work: impl AsyncFnOnce(MultiplexedConnection) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.call_and_look(work, |_| None).await
    }

    /// The same, where what is answered may say as well that the connection is of no use any more.
    async fn call_and_look<T>(
        self: &Arc<Self>,
        work: impl AsyncFnOnce(MultiplexedConnection) -> Result<T, Fault>,
        look: impl FnOnce(&T) -> Option<Fault>,
    ) -> Result<T, Fault> {
        let mut used = None;
        let call = async {
            let live = self.live().await?;
            used = Some(Arc::clone(&live.broken));
            work(live.connection).await
        };
        let result = match timeout(self.limit, call).await {
            Ok(result) => result,
            Err(_elapsed) => Err(Fault::TimedOut),
        };
        let fault = match &result {
            Ok(answer) => look(answer),
            Err(fault) => Some(fault.clone()),
        };
        if let Some(fault) = &fault {
            if fault.is_timeout() {
                self.timeouts.fetch_add(1, Ordering::Relaxed);
            }
            if fault.breaks_connection()
                && let Some(broken) = used
            {
                self.give_up(&broken, fault);
            }
        }
        result
    }

    /// The connection of this flag is of no use any more. Where that is because the server did not
    /// answer, the server counts as down: to connect to one that is paused takes as long. So does one
    /// that has become a replica, until its name leads to one that is none.
    fn give_up(&self, broken: &Arc<AtomicBool>, fault: &Fault) {
        let was_known = broken.swap(true, Ordering::AcqRel);
        let is_present = {
            let live = self.live.read();
            live.as_ref()
                .is_some_and(|live| Arc::ptr_eq(&live.broken, broken))
        };
        if !was_known && is_present && (fault.is_timeout() || fault.is_of_replica()) {
            self.note_failure(fault);
        }
    }

    fn note_failure(&self, fault: &Fault) {
        *self.failure.lock() = Some((Instant::now(), fault.clone()));
    }

    fn present(&self) -> Option<Live> {
        let live = self.live.read();
        live.as_ref()
            .filter(|live| !live.broken.load(Ordering::Acquire))
            .cloned()
    }

    async fn live(self: &Arc<Self>) -> Result<Live, Fault> {
        if let Some(live) = self.present() {
            return Ok(live);
        }
        if let Some((at, fault)) = self.failed() {
            self.probe(at);
            return Err(Fault::Down(Box::new(fault)));
        }
        let _connecting = self.connecting.lock().await;
        if let Some(live) = self.present() {
            return Ok(live);
        }
        // Who has waited for somebody else to connect does not try the same again.
        if let Some((_, fault)) = self.failed() {
            return Err(Fault::Down(Box::new(fault)));
        }
        self.connect().await
    }

    /// Finds out, beside the callers, whether the server is there again. One probe at a time.
    fn probe(self: &Arc<Self>, failed_at: Instant) {
        if failed_at.elapsed() < PAUSE || self.connecting.try_lock().is_err() {
            return;
        }
        let node = Arc::clone(self);
        tokio::spawn(async move {
            if let Ok(_connecting) = node.connecting.try_lock()
                && node.present().is_none()
            {
                // A failure is noted, for the callers that come.
                let _ = node.connect().await;
            }
        });
    }

    /// Makes the connection. Only who holds `connecting` does.
    async fn connect(&self) -> Result<Live, Fault> {
        let broken = Arc::new(AtomicBool::new(false));
        let watch = Watch {
            broken: Arc::clone(&broken),
            doubt: Arc::clone(&self.doubt),
        };
        match self.dedicated(watch).await {
            Ok(connection) => {
                *self.failure.lock() = None;
                let live = Live { connection, broken };
                *self.live.write() = Some(live.clone());
                Ok(live)
            }
            Err(fault) => {
                self.note_failure(&fault);
                Err(fault)
            }
        }
    }

    fn failed(&self) -> Option<(Instant, Fault)> {
        self.failure.lock().clone()
    }
}
