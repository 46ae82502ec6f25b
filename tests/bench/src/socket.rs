//! A subscriber's socket: the handshake by hand, then frames from a buffer that all sockets of a
//! thread share, so that an idle socket costs this program next to nothing.

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context as Task, Poll, ready};

use serde_json::json;
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

use super::frames::{self, Frame, position};
use super::outcome::{Context as _, Outcome};

const SCRATCH: usize = 64 * 1024;

const SUBSCRIPTION: &str = "subscription Follow($chatId: ID!, $after: String) { \
    messageAdded(chatId: $chatId, after: $after) { \
    cursor node { id seq text createdAt sender { id name } } } }";

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// An open socket with one subscription.
pub(super) struct Socket {
    stream: TcpStream,
    /// The beginning of a frame whose end has not come yet.
    rest: Vec<u8>,
}

/// What is followed, and by whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Follow<'a> {
    pub(super) token: &'a str,
    pub(super) chat: &'a str,
    /// The cursor of the last message that was sent before, so that none is missed.
    pub(super) after: &'a str,
}

impl Socket {
    /// Connects, signs in and subscribes. A server with as many sockets as it may have fails.
    pub(super) async fn open(address: SocketAddr, path: &str, follow: Follow<'_>) -> Outcome<Self> {
        let mut socket = Self::connect(address, path, follow.token).await?;
        socket.follow(follow).await?;
        Ok(socket)
    }

    /// Connects and signs in.
    pub(super) async fn connect(address: SocketAddr, path: &str, token: &str) -> Outcome<Self> {
        let mut socket = Self::dial(address).await?;
        socket.upgrade(path).await?;
        socket.sign_in(token).await?;
        Ok(socket)
    }

    /// Opens the connection alone.
    pub(super) async fn dial(address: SocketAddr) -> Outcome<Self> {
        let stream = TcpStream::connect(address)
            .await
            .context("cannot connect")?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            rest: Vec::new(),
        })
    }

    /// Makes a WebSocket of the connection.
    pub(super) async fn upgrade(&mut self, path: &str) -> Outcome<()> {
        let address = self.stream.peer_addr()?;
        let upgrade = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
        );
        self.stream.write_all(upgrade.as_bytes()).await?;
        let head = loop {
            if let Some(head) = position(&self.rest, b"\r\n\r\n") {
                break head;
            }
            self.read().await?;
        };
        if !self.rest.starts_with(b"HTTP/1.1 101") {
            let head = String::from_utf8_lossy(&self.rest[..head]);
            return Err(format!("the server does not upgrade: {head}").into());
        }
        self.rest.drain(..head + 4);
        Ok(())
    }

    /// Has the connection acknowledged, for who has this token.
    pub(super) async fn sign_in(&mut self, token: &str) -> Outcome<()> {
        let authorization = format!("Bearer {token}");
        let init = json!({
            "type": "connection_init", "payload": { "authorization": authorization },
        });
        self.say(&init).await?;
        self.acknowledged().await
    }

    /// Follows a chat.
    pub(super) async fn follow(&mut self, follow: Follow<'_>) -> Outcome<()> {
        let variables = json!({ "chatId": follow.chat, "after": follow.after });
        self.subscribe("1", SUBSCRIPTION, &variables).await?;
        self.rest.shrink_to_fit();
        Ok(())
    }

    /// Starts an operation.
    pub(super) async fn subscribe(
        &mut self,
        id: &str,
        query: &str,
        variables: &serde_json::Value,
    ) -> Outcome<()> {
        let subscribe = json!({
            "type": "subscribe", "id": id,
            "payload": { "query": query, "variables": variables },
        });
        self.say(&subscribe).await
    }

    /// Over a connection that is open.
    pub(super) fn over(stream: TcpStream) -> Self {
        Self {
            stream,
            rest: Vec::new(),
        }
    }

    /// Sends a message of the protocol, whatever it is.
    pub(super) async fn say(&mut self, message: &serde_json::Value) -> Outcome<()> {
        let frame = frames::text(message.to_string().as_bytes());
        self.stream.write_all(&frame).await.context("cannot write")
    }

    async fn acknowledged(&mut self) -> Outcome<()> {
        loop {
            if let Some((frame, length)) = frames::parse(&self.rest)? {
                match frame {
                    Frame::Text(text) if position(text, b"connection_ack").is_some() => {}
                    other => return Err(format!("no acknowledgement: {}", show(&other)).into()),
                }
                self.rest.drain(..length);
                return Ok(());
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Outcome<()> {
        match self.stream.read_buf(&mut self.rest).await? {
            0 => Err("the server has closed a connection".into()),
            _ => Ok(()),
        }
    }

    /// The next frame, whatever it is. For looking at one, not for load.
    pub(super) async fn text(&mut self) -> Outcome<String> {
        loop {
            if let Some((frame, length)) = frames::parse(&self.rest)? {
                let text = show(&frame);
                self.rest.drain(..length);
                return Ok(text);
            }
            self.read().await?;
        }
    }

    /// Waits until something can be read, and gives each text frame of it to `take`.
    pub(super) async fn take(&mut self, mut take: impl FnMut(&[u8]) -> Outcome<()>) -> Outcome<()> {
        poll_fn(|cx| BUFFER.with_borrow_mut(|buffer| self.poll(cx, buffer, &mut take))).await
    }

    fn poll(
        &mut self,
        cx: &mut Task<'_>,
        buffer: &mut [u8],
        take: &mut impl FnMut(&[u8]) -> Outcome<()>,
    ) -> Poll<Outcome<()>> {
        let carried = self.rest.len();
        if carried >= buffer.len() {
            return Poll::Ready(Err("a frame is too long".into()));
        }
        let mut free = ReadBuf::new(&mut buffer[carried..]);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut free)).context("cannot read")?;
        let read = free.filled().len();
        if read == 0 {
            return Poll::Ready(Err("the server has closed a socket".into()));
        }
        buffer[..carried].copy_from_slice(&self.rest);
        self.rest.clear();
        let mut bytes = &buffer[..carried + read];
        while let Some((frame, length)) = frames::parse(bytes)? {
            match frame {
                Frame::Text(text) => take(text)?,
                Frame::Ping(payload) => {
                    // So few bytes always fit; a server that waits for them in vain closes.
                    let _ = self.stream.try_write(&frames::pong(payload));
                }
                Frame::Close(_) => return Poll::Ready(Err(show(&frame).into())),
                Frame::Other => {}
            }
            bytes = &bytes[length..];
        }
        self.rest.extend_from_slice(bytes);
        Poll::Ready(Ok(()))
    }
}

fn show(frame: &Frame<'_>) -> String {
    match frame {
        Frame::Text(text) => String::from_utf8_lossy(text).into_owned(),
        Frame::Close([high, low, reason @ ..]) => {
            let code = u16::from_be_bytes([*high, *low]);
            format!("closed with {code} {}", String::from_utf8_lossy(reason))
        }
        other => format!("{other:?}"),
    }
}
