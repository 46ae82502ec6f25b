//! What a client's messages mean: the connection's phases, its viewer and its operations. Knows
//! neither sockets nor timers; the driver asks it.

use std::any::Any;
use std::cell::Cell;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use serde_json::value::RawValue;
use talksy_domain::error::{ApiError, ErrorCode};
use talksy_domain::viewer::{Authentication, ClientInfo, Renewal, Viewer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::super::Transports;
use super::super::application::KeyEpoch;
use super::super::client::{Caller, not_bearer, strip_bearer};
use super::super::connections::Connection as TcpConnection;
use super::super::deadline::Deadline;
use super::super::executions::Executions;
use super::super::graphql::run_until;
use super::super::observe;
use super::super::shares::{Bound, Share, in_a_while};
use super::super::sse::subscribe;
use super::close::Close;
use super::misnamed_token::{misnamed_token, told_of};
use super::operation::{self, Running};
use super::pace;
use super::protocol::{self, Incoming, Protocol};
use super::send_queue::{Bounds, Operation, SendQueue, StartError, When};
use crate::graphql::errors::log_fault;
use crate::graphql::operation::from_object;
use crate::graphql::response::error_payload;
use crate::graphql::{OperationType, Params, Payload, Prepared, RequestId};

/// A bearer token, or why what was sent is none.
pub(super) type Credentials = Result<Box<str>, ApiError>;

/// Where the connection stands.
enum Phase {
    /// No `connection_init` yet; the credentials of the upgrade request.
    Waiting(Option<Credentials>),
    /// The token is being proved.
    Proving(BoxFuture<'static, Result<(Viewer, KeyEpoch), ApiError>>),
    /// Acknowledged.
    Open,
    /// Refused, and about to be closed.
    Refused,
}

/// One client's connection.
pub(super) struct Connection {
    server: Arc<Transports>,
    protocol: Protocol,
    send_queue: Arc<SendQueue>,
    caller: Caller,
    phase: Phase,
    /// One for each mutation that may run: one that its client no longer waits for runs on.
    mutations: Arc<Semaphore>,
    /// A turn for each query, and for each mutation, that may be executed or whose result may wait for
    /// room.
    executions: Executions,
    /// The socket's place. Handed over where the socket is closed, which takes a while.
    share: Option<Share>,
    /// Whether an operation was asked for since [`Connection::is_idle`] was last asked.
    was_used: bool,
    /// What the message that was received last counts besides its length.
    burden: Cell<u32>,
    /// Keeps the viewer online.
    online: Option<Box<dyn Any + Send>>,
    /// Closes the socket on a stop or a revocation.
    watch: AbortOnDropHandle<()>,
}

impl Connection {
    pub(super) fn new(
        server: Arc<Transports>,
        protocol: Protocol,
        (client, tcp): (ClientInfo, Option<Arc<TcpConnection>>),
        credentials: Option<Credentials>,
        share: Share,
    ) -> Self {
        let limits = &server.config.websocket;
        let bounds = Bounds {
            frames: limits.max_queued_frames,
            bytes: limits.max_queued_bytes,
            operations: limits.max_operations,
        };
        let send_queue = SendQueue::new(bounds, Arc::clone(&server.stalled));
        let mutations = limits.max_operations.min(Semaphore::MAX_PERMITS);
        let executions = Executions::new(limits.max_executions);
        let (shutdown, queue) = (server.shutdown.clone(), Arc::clone(&send_queue));
        let stopped = executions.stopped(shutdown, limits.close_timeout);
        let watch = watch_anonymous(stopped, share.gave_way(), queue);
        Self {
            server,
            protocol,
            send_queue,
            caller: Caller {
                authentication: Authentication::Anonymous,
                client,
                connection: tcp,
                ..Caller::default()
            },
            phase: Phase::Waiting(credentials),
            mutations: Arc::new(Semaphore::new(mutations)),
            executions,
            share: Some(share),
            was_used: false,
            burden: Cell::new(0),
            online: None,
            watch,
        }
    }

    pub(super) fn server(&self) -> &Transports {
        &self.server
    }

    pub(super) const fn send_queue(&self) -> &Arc<SendQueue> {
        &self.send_queue
    }

    /// How many bytes the client has taken.
    pub(super) fn written(&self) -> u64 {
        let connection = self.caller.connection.as_ref();
        connection.map_or(0, |connection| connection.written())
    }

    /// Whether the client's `connection_init` has not come yet.
    pub(super) const fn awaits_init(&self) -> bool {
        matches!(self.phase, Phase::Waiting(_))
    }

    /// Whether the connection is acknowledged.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Whether the client's next message may be read now.
    pub(super) const fn reads(&self) -> bool {
        !(matches!(self.phase, Phase::Proving(_)) && self.protocol.operations_wait_for_ack())
    }

    /// Whether the connection is open without a user, and nothing was asked of it since the last
    /// time of asking this.
    pub(super) fn is_idle(&mut self) -> bool {
        let was_used = std::mem::take(&mut self.was_used);
        let is_anonymous = matches!(self.caller.authentication, Authentication::Anonymous);
        self.is_open() && is_anonymous && !was_used && !self.send_queue.has_operations()
    }

    /// Whether somebody has signed in.
    pub(super) const fn is_signed_in(&self) -> bool {
        matches!(self.caller.authentication, Authentication::SignedIn(_))
    }

    /// The socket's place, for who goes on holding it.
    pub(super) fn take_share(&mut self) -> Option<Share> {
        self.share.take()
    }

    /// How long the viewer's token still holds, or the one that was issued over this connection
    /// since; `None` where there is none.
    pub(super) fn token_left(&self) -> Option<Duration> {
        let renewal = self.caller.client.renewal.as_ref()?;
        Some(renewal.expires_at().since(self.server.app.now()))
    }

    /// The regular tick of an open connection.
    pub(super) fn tick(&self) {
        if self.is_open()
            && let Some(frame) = self.protocol.keep_alive()
        {
            self.send_queue.reply(frame);
        }
    }

    /// What the messages that were received count besides their length; see [`pace`].
    pub(super) fn take_burden(&self) -> u32 {
        self.burden.take()
    }

    /// Goes on with the proof of the token. Ready once, when it succeeds.
    pub(super) fn poll_proof(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Close>> {
        let Phase::Proving(proof) = &mut self.phase else {
            return Poll::Pending;
        };
        let Poll::Ready(proved) = proof.poll_unpin(cx) else {
            return Poll::Pending;
        };
        match proved {
            Ok((viewer, key_epoch)) => {
                let share = self.share.as_mut();
                if let Some(Err(bound)) = share.map(|share| share.sign_in(viewer.user_id)) {
                    let refusal = ApiError::new(bound.code(), bound.reason());
                    return Poll::Ready(self.refuse(&refusal));
                }
                let app = &self.server.app;
                let revoked = app.revoked(&viewer, key_epoch);
                let (shutdown, limits) = (&self.server.shutdown, &self.server.config.websocket);
                let stopped = self
                    .executions
                    .stopped(shutdown.clone(), limits.close_timeout);
                self.watch = watch_session(stopped, revoked, Arc::clone(&self.send_queue));
                self.online = Some(app.connected(&viewer));
                self.caller.client.renewal = Some(Renewal::new(&viewer));
                self.caller.authentication = Authentication::SignedIn(viewer);
                self.acknowledge();
                Poll::Ready(Ok(()))
            }
            Err(refusal) => Poll::Ready(self.refuse(&refusal)),
        }
    }

    /// Acts on a message.
    ///
    /// # Errors
    /// The close it leads to.
    pub(super) fn receive(&mut self, text: &str) -> Result<(), Close> {
        match self.protocol.decode(text).map_err(Close::bad_request)? {
            Incoming::Init(payload) => self.init(payload),
            Incoming::Ping(payload) => {
                self.send_queue.reply(protocol::pong(payload));
                self.burden.set(pace::PING);
                Ok(())
            }
            Incoming::Pong => Ok(()),
            Incoming::Subscribe { id, payload } => self.subscribe(&id, payload),
            Incoming::Complete(id) => {
                if self.send_queue.cancel(&id) && self.protocol.confirms_stop() {
                    self.send_queue.reply(protocol::complete(&id));
                }
                Ok(())
            }
            Incoming::Terminate => Err(Close::NORMAL),
        }
    }

    fn init(&mut self, payload: Option<&RawValue>) -> Result<(), Close> {
        let Phase::Waiting(upgrade) = &mut self.phase else {
            return Err(Close::INIT_TWICE);
        };
        let credentials = match payload {
            None => None,
            Some(payload) => token_of(payload).map_err(Close::bad_request)?,
        };
        match credentials.or(upgrade.take()) {
            None => match payload.and_then(misnamed_token) {
                Some(key) => return self.turn_away(Close::bad_request(told_of(&key))),
                None => self.acknowledge(),
            },
            Some(Err(refusal)) => return self.refuse(&refusal),
            Some(Ok(token)) => {
                let app = Arc::clone(&self.server.app);
                let proof = async move {
                    let key_epoch = app.key_epoch();
                    Ok((app.authenticate(&token).await?, key_epoch))
                };
                self.phase = Phase::Proving(proof.boxed());
            }
        }
        Ok(())
    }

    fn acknowledge(&mut self) {
        self.phase = Phase::Open;
        self.send_queue.reply(protocol::ack());
        self.tick();
    }

    /// The close for refused credentials; in the older protocol a message comes before it.
    fn refuse(&mut self, refusal: &ApiError) -> Result<(), Close> {
        log_fault(refusal);
        self.turn_away(Close::refused(refusal))
    }

    fn turn_away(&mut self, close: Close) -> Result<(), Close> {
        self.phase = Phase::Refused;
        match self.protocol.refusal(&close.reason) {
            None => Err(close),
            Some(message) => {
                self.send_queue.reply(message);
                self.send_queue.close(close, When::Written);
                Ok(())
            }
        }
    }

    fn subscribe(&mut self, id: &str, payload: &RawValue) -> Result<(), Close> {
        if !self.is_open() {
            return Err(Close::UNAUTHORIZED);
        }
        self.was_used = true;
        if self.token_left() == Some(Duration::ZERO) {
            return Err(Close::EXPIRED);
        }
        let params: Params = from_object(payload.get())
            .map_err(|error| Close::bad_request(format!("Invalid payload: {error}")))?;
        if !params.name_a_document() {
            return Err(Close::bad_request("Invalid payload: it has no 'query'"));
        }
        if self.protocol.replaces_duplicates() {
            self.send_queue.cancel(id);
        }
        match self.send_queue.admits(id) {
            Ok(()) => {}
            Err(StartError::Duplicate) => return Err(Close::duplicate(id)),
            Err(StartError::TooMany) => {
                self.refuse_operation(id, || self.too_many());
                return Ok(());
            }
        }
        match self.caller.prepare(&self.server.documents, params) {
            Ok(prepared) if prepared.operation.kind() == OperationType::Mutation => {
                let Ok(slot) = Arc::clone(&self.mutations).try_acquire_owned() else {
                    self.refuse_operation(id, || self.too_many());
                    return Ok(());
                };
                self.start(id, prepared, Some(slot))
            }
            Ok(prepared) => self.start(id, prepared, None),
            Err(refused) => {
                let asks_for_text = refused.code() == ErrorCode::PersistedQueryNotFound.as_str();
                self.refuse_operation(id, || refused.payload());
                // A client that has many subscriptions asks by the hash for each of them before it
                // can know.
                if asks_for_text {
                    self.burden.set(0);
                }
                Ok(())
            }
        }
    }

    fn start(
        &self,
        id: &str,
        prepared: Prepared,
        slot: Option<OwnedSemaphorePermit>,
    ) -> Result<(), Close> {
        let counted = match self.caller.begin_operation(&self.server) {
            Ok(counted) => counted,
            Err(bound) => {
                self.refuse_operation(id, || error_payload(&bound.error()));
                return Ok(());
            }
        };
        let operation = Operation::new(id, self.protocol.next_prefix(id), Some(counted));
        let request = observe::new_id(&self.server);
        let deadline = Deadline::after(self.server.config.execution_timeout);
        let once = self.executions.once(prepared.operation.kind(), deadline);
        let running = Running {
            protocol: self.protocol,
            send_queue: Arc::clone(&self.send_queue),
            operation: Arc::clone(&operation),
            request: request.clone(),
            completed: false,
        };
        let payloads = payloads(&self.server, prepared, slot, (request, deadline));
        let task = operation::run(running, payloads, once);
        let started = self
            .send_queue
            .start(&operation, || tokio::spawn(task).abort_handle());
        // `admits` was asked just before, by the only one who starts operations.
        started.map_err(|_| Close::duplicate(id))
    }

    fn too_many(&self) -> Payload {
        let most = self.server.config.websocket.max_operations;
        error_payload(&in_a_while(
            ErrorCode::RateLimited,
            format!("This connection has {most} operations, the most it may have at a time."),
        ))
    }

    fn refuse_operation(&self, id: &str, payload: impl FnOnce() -> Payload) {
        let payload = observe::new_id(&self.server).within(payload);
        let (Payload::Next(errors) | Payload::Error(errors)) = payload;
        self.send_queue.reply(self.protocol.error(id, &errors));
        self.burden.set(pace::REFUSAL);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        observe::queue_peak(self.send_queue.shut());
    }
}

/// The payloads of any operation: a query or mutation has one, by its deadline.
pub(in crate::http) fn payloads(
    server: &Arc<Transports>,
    prepared: Prepared,
    slot: Option<OwnedSemaphorePermit>,
    (request, deadline): (RequestId, Deadline),
) -> BoxStream<'static, Payload> {
    if prepared.operation.kind() == OperationType::Subscription {
        return subscribe(server, prepared, request);
    }
    let server = Arc::clone(server);
    let answer = async move { run_until(&server, prepared, slot, deadline).await.payload() };
    stream::once(request.around("socket operation", answer)).boxed()
}

/// Closes a socket on which nobody has signed in when the server stops, or its place is another's.
fn watch_anonymous(
    stopped: impl Future<Output = ()> + Send + 'static,
    gave_way: CancellationToken,
    send_queue: Arc<SendQueue>,
) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        tokio::select! {
            biased;
            () = gave_way.cancelled() => {
                send_queue.close(Close::full(Bound::Anonymous), When::Now);
            }
            () = stopped => send_queue.close(Close::RESTART, When::Written),
        }
    }))
}

/// Closes the socket of a user when the server stops, the session is revoked, or its end would not
/// be heard.
fn watch_session(
    stopped: impl Future<Output = ()> + Send + 'static,
    revoked: BoxFuture<'static, Result<(), ApiError>>,
    send_queue: Arc<SendQueue>,
) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        tokio::select! {
            biased;
            end = revoked => {
                let close = match end {
                    Ok(()) => Close::REVOKED,
                    Err(refusal) => {
                        log_fault(&refusal);
                        Close::refused(&refusal)
                    }
                };
                send_queue.close(close, When::Now);
            }
            () = stopped => send_queue.close(Close::RESTART, When::Written),
        }
    }))
}

/// The token in a `connection_init` payload, under any of the names that clients use, or under
/// those names in its `headers`.
fn token_of(payload: &RawValue) -> Result<Option<Credentials>, &'static str> {
    let payload: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(payload.get())
            .map_err(|_| "The payload of 'connection_init' must be an object")?;
    let headers = payload
        .get("headers")
        .and_then(serde_json::Value::as_object);
    for fields in [Some(&payload), headers].into_iter().flatten() {
        for (name, value) in fields {
            let Some(value) = value
                .as_str()
                .map(str::trim)
                .filter(|value| !value.is_empty())
            else {
                continue;
            };
            if name.eq_ignore_ascii_case("authorization") {
                return Ok(Some(
                    strip_bearer(value).map(Box::from).ok_or_else(not_bearer),
                ));
            }
            if name == "accessToken" || name == "token" {
                return Ok(Some(Ok(strip_bearer(value).unwrap_or(value).into())));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The token found, `-` for credentials that are no bearer token, nothing where there are none.
    fn token(payload: &str) -> Result<Option<String>, &'static str> {
        let payload: Box<RawValue> = serde_json::from_str(payload).unwrap();
        token_of(&payload).map(|found| found.map(|token| token.map_or("-".into(), String::from)))
    }

    #[test]
    fn the_token_is_found_under_every_name_that_clients_use() {
        for payload in [
            r#"{"authorization":"Bearer abc"}"#,
            r#"{"Authorization":"bearer abc"}"#,
            r#"{"accessToken":"abc"}"#,
            r#"{"token":"Bearer abc","x":1}"#,
            r#"{"headers":{"Authorization":"Bearer abc"}}"#,
        ] {
            assert_eq!(token(payload), Ok(Some("abc".into())), "{payload}");
        }
        for payload in [
            "{}",
            r#"{"authorization":""}"#,
            r#"{"token":null}"#,
            r#"{"headers":7}"#,
        ] {
            assert_eq!(token(payload), Ok(None), "{payload}");
        }
        assert_eq!(
            token(r#"{"authorization":"Basic abc"}"#),
            Ok(Some("-".into()))
        );
        assert!(token("[]").is_err());
    }
}
