//! Drives one socket: reads, writes and deadlines in one task and one poll function, so that an
//! idle socket is small and a delivered frame costs one wake-up.

use std::collections::VecDeque;
use std::error::Error as _;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::time::{Instant, Sleep, sleep_until};
use tungstenite::Error as WebSocketError;
use tungstenite::error::ProtocolError;

use super::super::observe;
use super::close::Close;
use super::connection::Connection;
use super::pace::{self, Pace, Turn};
use super::send_queue::Taken;

/// A taken batch is kept for reuse up to this many frames.
const KEPT_BATCH: usize = 16;

/// Longest pause between looks at the application's clock, for tokens that hold longer.
const EXPIRY_CHECK: Duration = Duration::from_hours(1);

/// So many frames that have come are still read when the time for `connection_init` is over.
const LATE_FRAMES: u8 = 8;

/// How a socket ends: with a close of ours, or because the peer went.
type End = Option<Close>;

/// A socket and its connection.
pub(super) struct Socket {
    stream: WebSocket,
    connection: Connection,
    /// Taken from the send queue, not yet handed to the socket.
    batch: VecDeque<Message>,
    /// What was taken is not all written yet.
    writing: bool,
    /// How many bytes the peer had taken when it was last waited for.
    taken: u64,
    /// A ping is to be sent.
    ping: bool,
    /// The answer to a ping of the client's is not written yet. Until it is, nothing more is read:
    /// the WebSocket layer makes an answer for each ping it reads and keeps what the client does
    /// not take, without a bound. (Its own bound is no use: it counts frames of ours too, and
    /// these may be of any size.)
    pong: bool,
    /// The time for `connection_init` is over. It may have come, and wait to be read because the server
    /// is slow: so many frames more are read.
    late: Option<u8>,
    /// What the client may still send.
    pace: Pace,
    deadlines: Deadlines,
    peer: Peer,
}

/// What is known of the peer being there.
#[derive(Default)]
struct Peer {
    /// Whether anything came, or was taken, since the last ping.
    heard: bool,
    /// How many pings in a row nothing came for.
    silent_pings: u8,
}

/// When what is due. One timer serves all.
struct Deadlines {
    init: Option<Instant>,
    /// Until then a socket without a user has to be used.
    anonymous: Option<Instant>,
    expiry: Option<Instant>,
    write: Option<Instant>,
    /// Until then nothing more is read.
    read: Option<Instant>,
    ping: Instant,
}

impl Deadlines {
    fn next(&self) -> Instant {
        [
            self.init,
            self.anonymous,
            self.expiry,
            self.write,
            self.read,
        ]
        .into_iter()
        .flatten()
        .fold(self.ping, Instant::min)
    }
}

impl Socket {
    /// In a box: a future would have room for it twice, as what it is given and as what it works on.
    pub(super) fn new(stream: WebSocket, connection: Connection) -> Box<Self> {
        let limits = &connection.server().config.websocket;
        let now = Instant::now();
        let deadlines = Deadlines {
            init: Some(now + limits.init_timeout),
            anonymous: Some(now + limits.anonymous_timeout),
            expiry: None,
            write: None,
            read: None,
            ping: now + limits.ping_interval,
        };
        Box::new(Self {
            stream,
            connection,
            batch: VecDeque::new(),
            writing: false,
            taken: 0,
            ping: false,
            pong: false,
            late: None,
            pace: Pace::new(now),
            deadlines,
            peer: Peer::default(),
        })
    }

    /// Serves the socket to its end. What is `held` is dropped behind it.
    pub(super) async fn run(mut self: Box<Self>, held: impl Send) {
        let end = {
            let mut timer = pin!(sleep_until(self.deadlines.next()));
            poll_fn(|cx| self.poll(cx, timer.as_mut())).await
        };
        let Self {
            stream,
            mut connection,
            ..
        } = *self;
        let timeout = connection.server().config.websocket.close_timeout;
        let share = connection.take_share();
        // Frees the operations and all that waits, before the peer is waited for.
        drop(connection);
        // In a box, so that a socket that is open needs no room for it.
        Box::pin(close(stream, end, timeout)).await;
        drop((share, held));
    }

    fn poll(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<End> {
        let mut turn = Turn::default();
        loop {
            while timer.as_mut().poll(cx).is_ready() {
                if let Err(close) = self.due(Instant::now()) {
                    return Poll::Ready(Some(close));
                }
                timer.as_mut().reset(self.deadlines.next());
            }
            match self.connection.poll_proof(cx) {
                Poll::Ready(Ok(())) => {
                    self.deadlines.expiry = self.expiry(Instant::now());
                }
                Poll::Ready(Err(close)) => return Poll::Ready(Some(close)),
                Poll::Pending => {}
            }
            if let Poll::Ready(end) = self.poll_write(cx) {
                return Poll::Ready(end);
            }
            if !self.connection.awaits_init() {
                (self.deadlines.init, self.late) = (None, None);
            }
            let next = self.deadlines.next();
            if next < timer.deadline() {
                timer.as_mut().reset(next);
                continue;
            }
            match self.connection.send_queue().poll_urgent() {
                Err(close) => return Poll::Ready(Some(close)),
                Ok(room) if !room || !self.reads() => return Poll::Pending,
                Ok(_) => {}
            }
            if turn.is_over() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let read = self.stream.poll_next_unpin(cx);
            if let Some(left) = &mut self.late {
                if read.is_pending() || *left == 0 {
                    return Poll::Ready(Some(Close::INIT_TIMEOUT));
                }
                *left -= 1;
            }
            match ready!(read) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(read_failure(&error)),
                Some(Ok(message)) => {
                    turn.add(length(&message));
                    if let Err(end) = self.receive(&message) {
                        return Poll::Ready(end);
                    }
                }
            }
        }
    }

    /// Whether the client's next message may be read now.
    fn reads(&self) -> bool {
        !self.pong && self.deadlines.read.is_none() && self.connection.reads()
    }

    fn receive(&mut self, message: &Message) -> Result<(), End> {
        self.peer.heard = true;
        let mut units = pace::units(length(message));
        match message {
            Message::Text(text) => {
                self.connection.receive(text).map_err(Some)?;
                units = units.saturating_add(self.connection.take_burden());
            }
            Message::Binary(_) => return Err(Some(Close::bad_request("Messages are text"))),
            Message::Ping(_) => {
                self.pong = true;
                units = units.saturating_add(pace::PING);
            }
            Message::Pong(_) => {}
            Message::Close(_) => return Err(None),
        }
        let quota = self.connection.server().config.websocket.messages;
        self.deadlines.read = self.pace.take(quota, units, Instant::now());
        Ok(())
    }

    /// Writes all that waits and flushes once. Pending when there is nothing left to do, or when
    /// the peer has to read first; the deadline for that is then set.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            if !self.writing {
                match self.connection.send_queue().poll_take(cx, &mut self.batch) {
                    Poll::Ready(Taken::Close(close)) => return Poll::Ready(Some(close)),
                    Poll::Pending if !self.ping && !self.pong => return Poll::Pending,
                    Poll::Ready(Taken::Frames) | Poll::Pending => {}
                }
                if std::mem::take(&mut self.ping) {
                    self.batch.push_back(Message::Ping(Bytes::new()));
                }
                self.writing = true;
            }
            match self.poll_batch(cx) {
                Poll::Ready(Ok(())) => {}
                // The connection is gone.
                Poll::Ready(Err(_)) => return Poll::Ready(None),
                Poll::Pending => {
                    self.await_peer();
                    return Poll::Pending;
                }
            }
            self.deadlines.write = None;
            self.writing = false;
            // The flush has written it behind the batch.
            self.pong = false;
            self.batch.shrink_to(KEPT_BATCH);
            self.connection.send_queue().written();
        }
    }

    /// The peer has to read. It has its time anew whenever it has taken some bytes.
    fn await_peer(&mut self) {
        let taken = self.connection.written();
        if self.deadlines.write.is_some() && taken == self.taken {
            return;
        }
        // Its pongs may not be read while it has much to read itself.
        self.peer.heard |= taken != self.taken;
        self.taken = taken;
        let timeout = self.connection.server().config.websocket.write_timeout;
        self.deadlines.write = Some(Instant::now() + timeout);
        self.connection.send_queue().stall();
    }

    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
        while !self.batch.is_empty() {
            ready!(self.stream.poll_ready_unpin(cx))?;
            if let Some(frame) = self.batch.pop_front() {
                self.stream.start_send_unpin(frame)?;
            }
        }
        self.stream.poll_flush_unpin(cx)
    }

    /// When to look at the token again.
    fn expiry(&self, now: Instant) -> Option<Instant> {
        self.connection
            .token_left()
            .map(|left| now + left.min(EXPIRY_CHECK))
    }

    /// Acts on the deadlines that have passed.
    fn due(&mut self, now: Instant) -> Result<(), Close> {
        let passed = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if passed(self.deadlines.init) {
            (self.deadlines.init, self.late) = (None, Some(LATE_FRAMES));
        }
        if passed(self.deadlines.write) {
            return Err(Close::SLOW);
        }
        if passed(self.deadlines.read) {
            self.deadlines.read = None;
        }
        if passed(self.deadlines.anonymous) {
            if self.connection.is_idle() {
                return Err(Close::IDLE);
            }
            let timeout = self.connection.server().config.websocket.anonymous_timeout;
            let is_signed_in = self.connection.is_signed_in();
            self.deadlines.anonymous = (!is_signed_in).then(|| now + timeout);
        }
        let ping_due = self.deadlines.ping <= now;
        // The application's clock decides; it is asked at each ping as well, since timers stand
        // still where machines sleep.
        if passed(self.deadlines.expiry) || ping_due {
            if self.connection.token_left() == Some(Duration::ZERO) {
                return Err(Close::EXPIRED);
            }
            self.deadlines.expiry = self.expiry(now);
        }
        if ping_due {
            let heard = std::mem::take(&mut self.peer.heard);
            self.peer.silent_pings = if heard { 0 } else { self.peer.silent_pings + 1 };
            if self.peer.silent_pings >= 2 {
                return Err(Close::DEAD_PEER);
            }
            self.deadlines.ping = now + self.connection.server().config.websocket.ping_interval;
            self.ping = true;
            self.connection.tick();
        }
        Ok(())
    }
}

/// The bytes of a message.
fn length(message: &Message) -> usize {
    match message {
        Message::Text(text) => text.len(),
        Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes) => bytes.len(),
        Message::Close(_) => 0,
    }
}

/// Closes a socket: with our code and the peer's answer, or by answering the peer's close.
pub(super) async fn close(mut stream: WebSocket, end: End, timeout: Duration) {
    observe::closed(end.as_ref());
    let told = end.is_some();
    let handshake = async {
        if let Some(close) = end
            && stream
                .send(Message::Close(Some(close.into_frame())))
                .await
                .is_err()
        {
            return;
        }
        // Unread bytes would turn the close into a reset, which can overtake the close frame.
        let mut answered = false;
        let unreadable = loop {
            match stream.recv().await {
                Some(Ok(message)) => answered |= matches!(message, Message::Close(_)),
                Some(Err(error)) => break read_failure(&error).is_some(),
                None => break !answered,
            }
        };
        // What cannot be read cannot be read away either: the peer gets time to see the close.
        if told && unreadable {
            pending::<()>().await;
        }
    };
    // A peer that does not answer in time is left.
    tokio::time::timeout(timeout, handshake).map(drop).await;
}

/// The close for what cannot be read; none where the connection is gone.
fn read_failure(error: &axum::Error) -> End {
    let error = error
        .source()
        .and_then(|source| source.downcast_ref::<WebSocketError>());
    match error {
        Some(WebSocketError::Capacity(_)) => Some(Close::TOO_BIG),
        Some(WebSocketError::Utf8(_)) => Some(Close::NOT_UTF8),
        Some(WebSocketError::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => None,
        Some(WebSocketError::Protocol(_)) => Some(Close::BROKEN_FRAME),
        _ => None,
    }
}
