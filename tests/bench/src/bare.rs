//! What the server is compared with: the same bytes over the same transports, and nothing else.
//! No GraphQL, no accounts, no store, no order that survives a lost event.

use std::io::Write as _;
use std::process;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use futures_util::SinkExt as _;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, StatusCode};
use parking_lot::Mutex;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::sync::broadcast::{self, Receiver};

use super::frames::position;
use super::options::{BareArguments, MOST};
use super::outcome::{Context as _, Outcome};
use super::template::SENT_AT;

/// Messages that wait for the slowest subscriber. The window bounds what waits on average, so that
/// for one of 1,000 there may be 1,000 times as many; one who lags further loses its socket.
const CAPACITY: usize = MOST.subscribers * MOST.window;

/// The buffers of the server's own sockets. axum's defaults are far larger, and slower.
const READ_BUFFER: usize = 2 * 1024;
const WRITE_BUFFER: usize = 16 * 1024;

const HEADERS: [(HeaderName, &str); 2] = [
    (CONTENT_TYPE, "application/json"),
    (CACHE_CONTROL, "no-store"),
];

struct Bare {
    response: Bytes,
    frame: Frame,
    /// The number of the last message.
    seq: Mutex<u64>,
    messages: broadcast::Sender<Utf8Bytes>,
}

/// A frame in the parts between which numbers stand.
struct Frame {
    before_seq: String,
    before_time: String,
    end: String,
}

/// Serves until its input is closed. Prints its address.
pub(super) async fn serve(arguments: BareArguments) -> Outcome<()> {
    let bare = Arc::new(Bare {
        response: arguments.response.into(),
        frame: Frame::of(&arguments.frame).context("not a frame with numbers")?,
        seq: Mutex::new(0),
        messages: broadcast::channel(CAPACITY).0,
    });
    let router = Router::new()
        .route("/graphql", post(answer).get(plain))
        .route("/gathered", get(gathered))
        .route("/publish", post(publish))
        .with_state(bare);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    tokio::spawn(async {
        // Whatever comes, it is the end.
        let _ = tokio::io::stdin().read(&mut [0]).await;
        process::exit(0);
    });
    let listener = listener.tap_io(|connection| {
        // Without it the figures would show.
        let _ = connection.set_nodelay(true);
    });
    Ok(axum::serve(listener, router).await?)
}

impl Frame {
    fn of(sample: &str) -> Option<Self> {
        let (before_seq, rest) = sample.split_once("\"seq\":")?;
        let (middle, end) = rest.split_once(SENT_AT)?;
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        Some(Self {
            before_seq: format!("{before_seq}\"seq\":"),
            before_time: format!("{}{SENT_AT}", &middle[digits(middle)..]),
            end: end[digits(end)..].to_owned(),
        })
    }

    fn fill(&self, seq: u64, time: &str) -> Utf8Bytes {
        let Self {
            before_seq,
            before_time,
            end,
        } = self;
        format!("{before_seq}{seq}{before_time}{time}{end}").into()
    }
}

type Answer = ([(HeaderName, &'static str); 2], Bytes);

/// The limit for requests.
async fn answer(State(bare): State<Arc<Bare>>, _body: Bytes) -> Answer {
    (HEADERS, bare.response.clone())
}

/// Sends the message's time to all.
async fn publish(State(bare): State<Arc<Bare>>, body: Bytes) -> Result<Answer, StatusCode> {
    let time = position(&body, SENT_AT.as_bytes())
        .and_then(|place| body.get(place + SENT_AT.len()..)?.get(..16))
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .ok_or(StatusCode::BAD_REQUEST)?;
    let seq = {
        let mut seq = bare.seq.lock();
        *seq += 1;
        // Nobody may be there to receive it.
        let _ = bare.messages.send(bare.frame.fill(*seq, time));
        *seq
    };
    let body = format!("{{\"cursor\":\"\",\"seq\":{seq}}}");
    Ok((HEADERS, body.into()))
}

/// The limit for deliveries: a broadcast as everybody would write it.
async fn plain(State(bare): State<Arc<Bare>>, socket: WebSocketUpgrade) -> Response {
    upgrade(&bare, socket, false)
}

/// The same, but messages that wait for a socket are written together.
async fn gathered(State(bare): State<Arc<Bare>>, socket: WebSocketUpgrade) -> Response {
    upgrade(&bare, socket, true)
}

fn upgrade(bare: &Bare, upgrade: WebSocketUpgrade, gathers: bool) -> Response {
    let messages = bare.messages.subscribe();
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .protocols(["graphql-transport-ws"])
        .on_upgrade(move |socket| async move {
            // A subscriber who has gone ends the task either way.
            let _ = subscriber(socket, messages, gathers).await;
        })
}

/// Gives a socket each message.
async fn subscriber(
    mut socket: WebSocket,
    mut messages: Receiver<Utf8Bytes>,
    gathers: bool,
) -> Outcome<()> {
    loop {
        tokio::select! {
            message = messages.recv() => {
                socket.feed(Message::Text(message?)).await?;
                while gathers && let Ok(message) = messages.try_recv() {
                    socket.feed(Message::Text(message)).await?;
                }
                socket.flush().await?;
            }
            incoming = socket.recv() => match incoming {
                Some(Ok(Message::Text(text))) if text.contains("connection_init") => {
                    let ack = r#"{"type":"connection_ack"}"#;
                    socket.send(Message::Text(ack.into())).await?;
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_keeps_its_bytes_but_for_the_numbers() {
        let sample = r#"{"node":{"seq":12,"text":"at=0000000000000007 the fox"}}"#;
        let frame = Frame::of(sample).unwrap();
        assert_eq!(
            frame.fill(345, "0000000000000009").as_str(),
            r#"{"node":{"seq":345,"text":"at=0000000000000009 the fox"}}"#
        );
        assert!(Frame::of("{}").is_none());
    }
}
