//! A client of `graphql-transport-ws` and of the older `graphql-ws`, low enough to break the
//! protocol on purpose.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::soon;

/// What came over a socket.
#[derive(Clone, Debug, PartialEq)]
pub enum Received {
    /// A message of the protocol.
    Message(Value),
    /// The socket was closed with this code and reason.
    Closed(u16, String),
    /// The connection ended without a close.
    Gone,
}

/// An open socket.
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    /// Connects and speaks a subprotocol; none where the name is empty.
    ///
    /// # Panics
    /// Where the upgrade is refused.
    pub async fn connect(address: SocketAddr, protocol: &str) -> Self {
        match Self::try_connect(address, protocol).await {
            Ok(socket) => socket,
            Err(error) => panic!("no socket: {error}"),
        }
    }

    /// Connects and speaks a subprotocol; none where the name is empty.
    ///
    /// # Errors
    /// Where the upgrade is refused, or nobody listens.
    pub async fn try_connect(
        address: SocketAddr,
        protocol: &str,
    ) -> Result<Self, tokio_tungstenite::tungstenite::Error> {
        Self::try_connect_with(address, protocol, &[]).await
    }

    /// The same with more headers, as the page of an origin sends.
    ///
    /// # Errors
    /// Where the upgrade is refused, or nobody listens.
    pub async fn try_connect_with(
        address: SocketAddr,
        protocol: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, tokio_tungstenite::tungstenite::Error> {
        let mut request = format!("ws://{address}/graphql").into_client_request()?;
        let protocol = Some(("sec-websocket-protocol", protocol));
        let protocol = protocol.filter(|(_, name)| !name.is_empty());
        for (name, value) in protocol.iter().chain(headers) {
            if let Ok(value) = HeaderValue::from_str(value) {
                request.headers_mut().insert(*name, value);
            }
        }
        let (stream, _) = connect_async(request).await?;
        Ok(Self { stream })
    }

    /// Sends `connection_init` and waits for the acknowledgement.
    ///
    /// # Panics
    /// Where it is refused.
    pub async fn init(&mut self, token: Option<&str>) {
        self.send_init(token).await;
        let received = self.next().await;
        assert_eq!(
            received,
            Received::Message(json!({ "type": "connection_ack" }))
        );
    }

    /// Sends `connection_init` with a token.
    pub async fn send_init(&mut self, token: Option<&str>) {
        let payload = token.map(|token| json!({ "authorization": format!("Bearer {token}") }));
        self.send(json!({ "type": "connection_init", "payload": payload }))
            .await;
    }

    /// Sends a message of the protocol.
    pub async fn send(&mut self, message: Value) {
        self.send_raw(Message::text(message.to_string())).await;
    }

    /// Sends any frame. A peer that has gone is found out by the next read.
    pub async fn send_raw(&mut self, message: Message) {
        drop(self.stream.send(message).await);
    }

    /// Starts an operation.
    pub async fn subscribe(&mut self, id: &str, query: &str, variables: Value) {
        crate::touched::note(query, &variables, &Value::Null);
        let payload = json!({ "query": query, "variables": variables });
        self.send(json!({ "type": "subscribe", "id": id, "payload": payload }))
            .await;
    }

    /// The next message or the end. Pings are answered on the way.
    ///
    /// # Panics
    /// Where nothing comes by the deadline, or what comes is not of the protocol.
    pub async fn next(&mut self) -> Received {
        soon("a message on the socket", async {
            loop {
                match self.stream.next().await {
                    Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                        Ok(message) => return Received::Message(message),
                        Err(error) => panic!("not JSON: {error}: {text}"),
                    },
                    Some(Ok(Message::Close(frame))) => {
                        return match frame {
                            Some(frame) => {
                                Received::Closed(frame.code.into(), frame.reason.to_string())
                            }
                            None => Received::Gone,
                        };
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(other)) => panic!("unexpected frame: {other:?}"),
                    Some(Err(_)) | None => return Received::Gone,
                }
            }
        })
        .await
    }

    /// The next message or the end, however long it takes to come.
    pub async fn next_or_end(&mut self) -> Received {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => {
                    let message = serde_json::from_str(&text);
                    return message.map_or(Received::Gone, Received::Message);
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return Received::Gone,
            }
        }
    }

    /// The next raw frame, pings included; `None` at the end.
    pub async fn next_frame(&mut self) -> Option<Message> {
        soon("a frame on the socket", self.stream.next())
            .await
            .and_then(Result::ok)
    }

    /// The next raw frame, however long it takes to come; `None` at the end.
    pub async fn any_frame(&mut self) -> Option<Message> {
        self.stream.next().await.and_then(Result::ok)
    }

    /// The next message.
    ///
    /// # Panics
    /// Where the socket ends instead.
    pub async fn message(&mut self) -> Value {
        match self.next().await {
            Received::Message(message) => message,
            end => panic!("the socket ended: {end:?}"),
        }
    }

    /// The code with which the socket is closed. Messages before it are passed over.
    ///
    /// # Panics
    /// Where the connection ends without a close.
    pub async fn closed(&mut self) -> u16 {
        loop {
            match self.next().await {
                Received::Message(_) => {}
                Received::Closed(code, _) => return code,
                Received::Gone => panic!("the connection ended without a close frame"),
            }
        }
    }

    /// Runs a query or mutation on the socket: the payload of its `next`.
    ///
    /// # Panics
    /// Where the operation ends without one.
    pub async fn run(&mut self, id: &str, query: &str, variables: Value) -> Value {
        self.subscribe(id, query, variables).await;
        let next = self.message().await;
        assert_eq!((&next["type"], &next["id"]), (&json!("next"), &json!(id)));
        let complete = self.message().await;
        assert_eq!(complete, json!({ "type": "complete", "id": id }));
        next["payload"].clone()
    }

    /// Follows one subscription, which has the socket to itself. When it returns, the server has
    /// taken the operation.
    pub async fn subscribe_alone(mut self, query: &str, variables: Value) -> Subscription {
        self.subscribe("1", query, variables).await;
        // Messages are taken in order: the pong comes behind the start of the operation.
        self.send(json!({ "type": "ping" })).await;
        let mut waiting = Vec::new();
        loop {
            let message = self.message().await;
            if message["type"] == "pong" {
                break;
            }
            waiting.push(message);
        }
        waiting.reverse();
        Subscription {
            socket: self,
            waiting,
        }
    }

    /// Cuts the connection without a word.
    pub fn cut(self) {
        drop(self);
    }
}

/// One operation on a socket of its own.
pub struct Subscription {
    socket: Socket,
    /// Came before the pong, newest first.
    waiting: Vec<Value>,
}

impl Subscription {
    /// The data of the next payload.
    ///
    /// # Panics
    /// Where the operation or the socket ends instead.
    pub async fn next(&mut self) -> Value {
        let message = self.message().await;
        assert_eq!(message["type"], "next", "{message}");
        let payload = &message["payload"];
        assert!(payload.get("errors").is_none(), "{payload}");
        payload["data"].clone()
    }

    /// The data of the next payload; `None` where the socket ends instead.
    ///
    /// # Panics
    /// Where the operation ends instead.
    pub async fn try_next(&mut self) -> Option<Value> {
        if self.waiting.is_empty() {
            match self.socket.next().await {
                Received::Message(message) => self.waiting.push(message),
                Received::Closed(..) | Received::Gone => return None,
            }
        }
        Some(self.next().await)
    }

    /// The next item of `messageAdded`.
    pub async fn added(&mut self) -> Value {
        self.next().await["messageAdded"].clone()
    }

    /// The numbers of the next messages of `messageAdded`.
    pub async fn seqs(&mut self, count: usize) -> Vec<i64> {
        let mut seqs = Vec::with_capacity(count);
        for _ in 0..count {
            seqs.push(self.added().await["node"]["seq"].as_i64().unwrap_or(-1));
        }
        seqs
    }

    /// The code of the error that ends the operation.
    ///
    /// # Panics
    /// Where something else comes.
    pub async fn error_code(&mut self) -> String {
        let error = self.error().await;
        let code = &error["extensions"]["code"];
        code.as_str().unwrap_or("").to_owned()
    }

    /// The error that ends the operation.
    ///
    /// # Panics
    /// Where something else comes.
    pub async fn error(&mut self) -> Value {
        let message = self.message().await;
        assert_eq!(message["type"], "error", "{message}");
        message["payload"][0].clone()
    }

    /// Waits until there is a message to read.
    pub(crate) async fn await_message(&mut self) {
        if self.waiting.is_empty() {
            let message = self.socket.message().await;
            self.waiting.push(message);
        }
    }

    async fn message(&mut self) -> Value {
        match self.waiting.pop() {
            Some(message) => message,
            None => self.socket.message().await,
        }
    }

    /// The socket beneath.
    pub fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// Cuts the connection without a word.
    pub fn cut(self) {
        self.socket.cut();
    }
}
