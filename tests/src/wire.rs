//! HTTP and WebSocket by hand, for what no library would send and for peers that do not answer;
//! and server-sent events as they come.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::app::must;
use crate::{eventually, soon};

/// An HTTP response.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Sends a request, and reads its whole response.
    ///
    /// # Panics
    /// Where there is none.
    pub async fn to(request: reqwest::RequestBuilder) -> Self {
        let read = async {
            let response = must(request.send().await);
            Self {
                status: response.status().as_u16(),
                headers: response.headers().clone(),
                body: must(response.bytes().await).into(),
            }
        };
        let answer = soon("an HTTP response", read).await;
        if let Ok(body) = serde_json::from_slice(&answer.body) {
            crate::touched::note_answer(&body);
        }
        answer
    }

    /// A header's text; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// Where it is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(json) => json,
            Err(error) => panic!("{error}: {self:?} {}", self.text()),
        }
    }

    /// The code of the first error.
    #[track_caller]
    pub fn code(&self) -> String {
        let code = self.json()["errors"][0]["extensions"]["code"].clone();
        code.as_str().unwrap_or_default().to_owned()
    }
}

/// A TCP connection.
pub struct Wire {
    stream: TcpStream,
}

impl Wire {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = must(TcpStream::connect(address).await);
        must(stream.set_nodelay(true));
        Self { stream }
    }

    /// Connects from this address of the machine.
    pub async fn connect_from(source: IpAddr, address: SocketAddr) -> Self {
        let socket = must(TcpSocket::new_v4());
        must(socket.bind(SocketAddr::new(source, 0)));
        let stream = must(socket.connect(address).await);
        must(stream.set_nodelay(true));
        Self { stream }
    }

    /// Connects with as little room for bytes that are not read yet as the system allows, so that
    /// the peer soon has to wait.
    pub async fn narrow(address: SocketAddr) -> Self {
        let socket = must(TcpSocket::new_v4());
        must(socket.set_recv_buffer_size(4096));
        Self {
            stream: must(socket.connect(address).await),
        }
    }

    /// Waits until the peer has closed the connection, without reading anything. Bytes are sent for
    /// that, which a peer that lives does not get to see before it has written all.
    pub async fn given_up(&mut self) {
        let stream = &mut self.stream;
        eventually("the connection's end", async || {
            stream.write_all(b" ").await.err()
        })
        .await;
    }

    /// Sends bytes. A peer that has gone is found out by the next read.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        drop(self.stream.write_all(bytes.as_ref()).await);
    }

    /// A response's status and headers.
    ///
    /// # Panics
    /// Where something else comes.
    pub async fn head(&mut self) -> Answer {
        match self.try_head().await {
            Ok(head) => head,
            Err(other) => panic!("no response but {:?}", String::from_utf8_lossy(&other)),
        }
    }

    /// A response's status and headers, or what came before the connection ended.
    async fn try_head(&mut self) -> Result<Answer, Vec<u8>> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match self.exactly(1).await {
                Some(byte) => head.extend(byte),
                None => return Err(head),
            }
        }
        let head = String::from_utf8_lossy(&head);
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let mut headers = HeaderMap::new();
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            headers.append(
                must(HeaderName::try_from(name)),
                must(HeaderValue::try_from(value.trim())),
            );
        }
        Ok(Answer {
            status: status.and_then(|text| text.parse().ok()).unwrap_or(0),
            headers,
            body: Vec::new(),
        })
    }

    /// A response with its body, which must have a length; `None` where the connection ends
    /// instead.
    pub async fn try_answer(&mut self) -> Option<Answer> {
        let mut answer = self.try_head().await.ok()?;
        let length = answer.header("content-length").parse().unwrap_or(0);
        answer.body = self.exactly(length).await?;
        Some(answer)
    }

    /// A response with its body, which must have a length.
    pub async fn answer(&mut self) -> Answer {
        let mut answer = self.head().await;
        let length = answer.header("content-length").parse().unwrap_or(0);
        answer.body = self.exactly(length).await.unwrap_or_default();
        answer
    }

    /// Whether the peer ends the connection, with nothing more before.
    pub async fn ended(&mut self) -> bool {
        self.exactly(1).await.is_none()
    }

    async fn exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        let read = self.stream.read_exact(&mut bytes);
        soon("bytes on the connection", read).await.ok()?;
        Some(bytes)
    }
}

/// A WebSocket that does nothing by itself: it answers neither pings nor closes.
pub struct RawSocket {
    wire: Wire,
    /// The response to the upgrade.
    pub upgraded: Answer,
}

/// Opcodes of frames (RFC 6455, 5.2).
pub mod opcode {
    /// Text.
    pub const TEXT: u8 = 1;
    /// Bytes.
    pub const BINARY: u8 = 2;
    /// A close.
    pub const CLOSE: u8 = 8;
    /// A ping.
    pub const PING: u8 = 9;
    /// An answer to a ping.
    pub const PONG: u8 = 10;
}

impl RawSocket {
    /// Upgrades with these headers beside the usual ones.
    ///
    /// # Panics
    /// Where the upgrade is refused.
    pub async fn open(address: SocketAddr, headers: &[(&str, &str)]) -> Self {
        let mut request = format!(
            "GET /graphql HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        );
        for (name, value) in headers {
            request.extend([name, ": ", value, "\r\n"]);
        }
        request.push_str("\r\n");
        let mut wire = Wire::connect(address).await;
        wire.write(request).await;
        let upgraded = wire.head().await;
        assert_eq!(upgraded.status, 101, "{upgraded:?}");
        Self { wire, upgraded }
    }

    /// A socket that speaks `graphql-transport-ws`.
    pub async fn transport(address: SocketAddr) -> Self {
        Self::open(
            address,
            &[("Sec-WebSocket-Protocol", "graphql-transport-ws")],
        )
        .await
    }

    /// Sends one frame, masked with zeros.
    pub async fn send(&mut self, opcode: u8, payload: impl AsRef<[u8]>) {
        self.wire.write(frame(opcode, payload.as_ref())).await;
    }

    /// Sends the same frame so many times at once; false where the peer has ended the connection.
    ///
    /// # Panics
    /// Where the peer neither reads nor ends the connection by the deadline.
    pub async fn try_send(&mut self, opcode: u8, payload: &[u8], times: usize) -> bool {
        let frames = frame(opcode, payload).repeat(times);
        let write = self.wire.stream.write_all(&frames);
        soon("a write or the end of the connection", write)
            .await
            .is_ok()
    }

    /// Sends a message of the protocol.
    pub async fn message(&mut self, message: Value) {
        self.send(opcode::TEXT, message.to_string()).await;
    }

    /// The next frame's opcode and payload; `None` where the connection ends before it does.
    pub async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let head = self.wire.exactly(2).await?;
        let bytes_of_length = match head[1] & 0x7f {
            126 => 2,
            127 => 8,
            short => return Some((head[0] & 0x0f, self.wire.exactly(short.into()).await?)),
        };
        let mut length = 0;
        for byte in self.wire.exactly(bytes_of_length).await? {
            length = length << 8 | usize::from(byte);
        }
        Some((head[0] & 0x0f, self.wire.exactly(length).await?))
    }

    /// The next message of the protocol, or how the socket was closed. Pings are passed over.
    ///
    /// # Panics
    /// Where the connection ends without a close.
    pub async fn next(&mut self) -> Result<Value, (u16, String)> {
        loop {
            match self.frame().await {
                Some((opcode::TEXT, text)) => return Ok(must(serde_json::from_slice(&text))),
                Some((opcode::CLOSE, frame)) => return Err(close_of(&frame)),
                Some(_) => {}
                None => panic!("the connection ended without a close frame"),
            }
        }
    }

    /// How the socket is closed. Messages before it are passed over.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            if let Err(close) = self.next().await {
                return close;
            }
        }
    }

    /// Whether the peer ends the connection, with nothing more before.
    pub async fn ended(&mut self) -> bool {
        self.wire.ended().await
    }
}

/// A frame, masked with zeros.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ ..126), _) => frame.push(0x80 | short),
        (_, Ok(medium)) => {
            frame.push(0xfe);
            frame.extend(medium.to_be_bytes());
        }
        _ => {
            frame.push(0xff);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// The code and reason in a close frame.
pub fn close_of(frame: &[u8]) -> (u16, String) {
    assert!(frame.len() <= 125, "a control frame of {}", frame.len());
    let (code, reason) = frame.split_at(frame.len().min(2));
    let code = code
        .iter()
        .fold(0, |code, byte| code << 8 | u16::from(*byte));
    (code, must(String::from_utf8(reason.to_vec())))
}

/// What comes over an event stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A comment, which keeps the stream open.
    Comment,
    /// An event with its name and data.
    Named(String, String),
}

/// An event stream.
pub struct Events {
    response: reqwest::Response,
    read: Vec<u8>,
}

impl Events {
    /// Sends a request that is answered with an event stream.
    ///
    /// # Panics
    /// Where it is answered otherwise.
    pub async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = must(soon("an event stream", request.send()).await);
        assert_eq!(response.status().as_u16(), 200, "{response:?}");
        assert_eq!(
            response.headers()["content-type"],
            "text/event-stream; charset=utf-8"
        );
        Self {
            response,
            read: Vec::new(),
        }
    }

    /// The next event or comment; `None` where the stream ends.
    ///
    /// # Panics
    /// Where it breaks off.
    pub async fn next(&mut self) -> Option<Event> {
        let end = loop {
            if let Some(end) = self.read.windows(2).position(|two| two == b"\n\n") {
                break end;
            }
            let chunk = soon("an event", self.response.chunk()).await;
            self.read.extend_from_slice(&must(chunk)?);
        };
        let rest = self.read.split_off(end + 2);
        let block = std::mem::replace(&mut self.read, rest);
        let block = must(String::from_utf8(block));
        let fields = |name| {
            let lines = block
                .lines()
                .filter_map(move |line| line.strip_prefix(name));
            lines.map(|value| value.strip_prefix(' ').unwrap_or(value))
        };
        if block.starts_with(':') {
            return Some(Event::Comment);
        }
        let data: Vec<&str> = fields("data:").collect();
        let name = fields("event:").next().unwrap_or_default();
        Some(Event::Named(name.to_owned(), data.join("\n")))
    }

    /// The next event, comments passed over.
    pub async fn event(&mut self) -> Option<(String, String)> {
        loop {
            match self.next().await? {
                Event::Comment => {}
                Event::Named(name, data) => return Some((name, data)),
            }
        }
    }

    /// The payload of the next event, a `next`.
    ///
    /// # Panics
    /// Where something else comes.
    pub async fn payload(&mut self) -> Value {
        match self.event().await {
            Some((name, data)) if name == "next" => must(serde_json::from_str(&data)),
            other => panic!("no `next`: {other:?}"),
        }
    }

    /// Asserts that the operation is complete, and the response with it.
    pub async fn completed(&mut self) {
        assert_eq!(
            self.event().await,
            Some(("complete".to_owned(), String::new()))
        );
        assert_eq!(self.next().await, None);
    }
}
