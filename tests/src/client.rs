//! GraphQL over HTTP as a client sees it, and a signed-in user.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use talksy_domain::cursor::{Cursor as _, MessageCursor};
use talksy_domain::incarnation::Incarnation;
use tokio::sync::watch;

use crate::feeds::Feeds;
use crate::touched;
use crate::websocket::{Received, Socket, Subscription};

/// Talks to a server over HTTP, signed in or not.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    address: SocketAddr,
    token: Option<String>,
    /// Where a trusted proxy says that it is.
    forwarded: Option<IpAddr>,
    /// The newest challenge of each address that it, or a clone of it, asked a code for.
    challenges: Arc<Mutex<HashMap<String, String>>>,
    /// The server's feeds, where it is in this process.
    feeds: Option<watch::Receiver<u64>>,
}

/// What the server answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body, as JSON; null where it is none.
    pub body: Value,
}

/// A response without the ids of its request, which differ each time, and are always there.
///
/// # Panics
/// Where an error has none.
pub fn without_request_ids(body: &Value) -> Value {
    let mut body = body.clone();
    for error in body["errors"].as_array_mut().into_iter().flatten() {
        let id = error["extensions"]
            .as_object_mut()
            .and_then(|extensions| extensions.remove("requestId"));
        match id {
            Some(Value::String(id)) if id.len() == 32 => {}
            id => panic!("{id:?} is no request's id: {error}"),
        }
    }
    body
}

impl Reply {
    /// The answer's data.
    ///
    /// # Panics
    /// Where there are errors.
    #[track_caller]
    pub fn data(self) -> Value {
        assert!(self.body.get("errors").is_none(), "refused: {}", self.body);
        self.body["data"].clone()
    }

    /// The first error.
    ///
    /// # Panics
    /// Where there is none.
    #[track_caller]
    pub fn error(&self) -> &Value {
        let error = &self.body["errors"][0];
        assert!(error.is_object(), "not refused: {}", self.body);
        error
    }

    /// The first error's code.
    #[track_caller]
    pub fn code(&self) -> &str {
        self.error()["extensions"]["code"].as_str().unwrap_or("")
    }

    /// The first error's code and the argument it names.
    #[track_caller]
    pub fn code_and_field(&self) -> (&str, &str) {
        let field = self.error()["extensions"]["field"].as_str();
        (self.code(), field.unwrap_or(""))
    }
}

impl Client {
    /// A client without credentials.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            http: crate::http_client(),
            address,
            token: None,
            forwarded: None,
            challenges: Arc::default(),
            feeds: None,
        }
    }

    /// The same client, who knows when its subscriptions follow.
    #[must_use]
    pub fn seeing(self, feeds: &Feeds) -> Self {
        Self {
            feeds: Some(feeds.opened()),
            ..self
        }
    }

    /// The same client with a bearer token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// The same client behind a proxy that says that it comes from there. It shares no challenge.
    ///
    /// # Panics
    /// Where that is no address.
    #[must_use]
    pub fn from_place(&self, ip: &str) -> Self {
        Self {
            forwarded: Some(crate::app::must(ip.parse())),
            challenges: Arc::default(),
            ..self.clone()
        }
    }

    /// The server's address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The bearer token.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// A request for what an operation brings, in an answer of this media type.
    pub fn ask(&self, accept: &str, query: &str, variables: Value) -> reqwest::RequestBuilder {
        touched::note(query, &variables, &Value::Null);
        self.request(http::Method::POST, "/graphql")
            .header("accept", accept)
            .json(&json!({ "query": query, "variables": variables }))
    }

    /// A request to a path of the server, for what is not a plain GraphQL POST.
    pub fn request(&self, method: http::Method, path: &str) -> reqwest::RequestBuilder {
        let request = self
            .http
            .request(method, format!("http://{}{path}", self.address));
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        match self.forwarded {
            Some(ip) => request.header("x-forwarded-for", ip.to_string()),
            None => request,
        }
    }

    /// Runs an operation.
    ///
    /// # Errors
    /// Where the connection fails.
    pub async fn try_run(&self, query: &str, variables: Value) -> reqwest::Result<Reply> {
        let body = json!({ "query": query, "variables": variables });
        let request = self
            .request(http::Method::POST, "/graphql")
            .header("accept", "application/graphql-response+json")
            .json(&body);
        let response = request.send().await?;
        let reply = Reply {
            status: response.status().as_u16(),
            body: response.json().await?,
        };
        touched::note(query, &body["variables"], &reply.body);
        Ok(reply)
    }

    /// Runs an operation.
    ///
    /// # Panics
    /// Where the connection fails.
    #[track_caller]
    pub fn run(&self, query: &str, variables: Value) -> impl Future<Output = Reply> {
        let caller = std::panic::Location::caller();
        async move {
            match self.try_run(query, variables).await {
                Ok(reply) => reply,
                Err(error) => panic!("no answer at {caller}: {error:?}"),
            }
        }
    }

    /// Runs an operation that succeeds, and gives its data.
    #[track_caller]
    pub fn data(&self, query: &str, variables: Value) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            let reply = self.run(query, variables).await;
            let refused = reply.body.get("errors").is_some();
            assert!(!refused, "refused at {caller}: {}", reply.body);
            reply.data()
        }
    }

    /// Asks for a sign-in code, and keeps the challenge for [`Client::verify`].
    pub async fn login(&self, email: &str) -> Reply {
        self.login_on(email, None).await
    }

    /// Asks for a sign-in code on a device that has signed in before.
    pub async fn login_on(&self, email: &str, device_token: Option<&str>) -> Reply {
        const LOGIN: &str = "mutation($input: LoginInput!) {
            login(input: $input) { challenge codeLength expiresIn resendAfter } }";
        let input = json!({ "email": email, "deviceToken": device_token });
        let reply = self.run(LOGIN, json!({ "input": input })).await;
        if let Some(challenge) = reply.body["data"]["login"]["challenge"].as_str() {
            let address = email.trim().to_lowercase();
            self.challenges.lock().insert(address, challenge.to_owned());
        }
        reply
    }

    /// The newest challenge that was got for an address; empty where none was.
    pub fn challenge(&self, email: &str) -> String {
        let address = email.trim().to_lowercase();
        let challenge = self.challenges.lock().get(&address).cloned();
        challenge.unwrap_or_default()
    }

    /// Presents a sign-in code with the newest challenge of the address.
    pub async fn verify(&self, email: &str, code: &str) -> Reply {
        self.present(&self.challenge(email), code).await
    }

    /// Presents a challenge and a sign-in code.
    pub async fn present(&self, challenge: &str, code: &str) -> Reply {
        let query =
            format!("mutation($input: VerifyOtpInput!) {{ verifyOtp(input: $input) {AUTH} }}");
        let input = json!({ "challenge": challenge, "code": code });
        self.run(&query, json!({ "input": input })).await
    }

    /// Exchanges a refresh token.
    pub async fn refresh(&self, token: &str) -> Reply {
        let query = format!(
            "mutation($input: RefreshSessionInput!) {{ refreshSession(input: $input) {AUTH} }}"
        );
        self.run(&query, json!({ "input": { "refreshToken": token } }))
            .await
    }

    /// Opens a socket and has it acknowledged with this client's token.
    pub async fn socket(&self) -> Socket {
        let mut socket = Socket::connect(self.address, "graphql-transport-ws").await;
        socket.init(self.token()).await;
        socket
    }

    /// Opens a socket as [`Client::socket`] does; `None` where it is refused, or ends before it is
    /// acknowledged.
    pub async fn try_socket(&self) -> Option<Socket> {
        let connected = Socket::try_connect(self.address, "graphql-transport-ws").await;
        let mut socket = connected.ok()?;
        socket.send_init(self.token()).await;
        let ack = Received::Message(json!({ "type": "connection_ack" }));
        (socket.next_or_end().await == ack).then_some(socket)
    }

    /// Follows a subscription on a socket of its own. Of a server in this process it returns when
    /// the feed is open, or has ended: what happens from then on is told. But a new
    /// `messageAdded` without `after` begins a moment later still, when it has read the chat's
    /// end; see [`start_of`].
    pub async fn subscribe(&self, query: &str, variables: Value) -> Subscription {
        let socket = self.socket().await;
        let feeds = self.feeds.clone();
        let before = feeds.as_ref().map(|opened| *opened.borrow());
        let mut subscription = socket.subscribe_alone(query, variables).await;
        if let (Some(mut opened), Some(before)) = (feeds, before) {
            tokio::select! {
                opened = opened.wait_for(|opened| *opened > before) => drop(opened),
                () = subscription.await_message() => {}
            }
        }
        subscription
    }
}

/// What signing in and refreshing answer.
const AUTH: &str = "{ deviceToken accessToken expiresAt refreshToken isNewUser
    session { id isCurrent expiresAt } user { id name email } }";

/// A signed-in user with a client of their own.
#[derive(Clone, Debug)]
pub struct User {
    /// The client, with the access token.
    pub client: Client,
    /// The user's id.
    pub id: String,
    /// The display name.
    pub name: String,
    /// The mail address.
    pub email: String,
    /// The session's id.
    pub session_id: String,
    /// The refresh token.
    pub refresh_token: String,
    /// What says that this device has signed in before.
    pub device_token: String,
}

impl User {
    /// The user of an `AuthPayload`.
    ///
    /// # Panics
    /// Where it is none.
    #[track_caller]
    pub fn of(client: &Client, auth: &Value) -> Self {
        let text = |value: &Value| match value.as_str() {
            Some(text) => text.to_owned(),
            None => panic!("not an AuthPayload: {auth}"),
        };
        Self {
            client: client.with_token(&text(&auth["accessToken"])),
            id: text(&auth["user"]["id"]),
            name: text(&auth["user"]["name"]),
            email: text(&auth["user"]["email"]),
            session_id: text(&auth["session"]["id"]),
            refresh_token: text(&auth["refreshToken"]),
            device_token: text(&auth["deviceToken"]),
        }
    }

    /// Starts the chat with another user, or finds it; its id.
    pub async fn start_chat(&self, other: &Self) -> String {
        const START: &str = "mutation($input: StartChatInput!) {
            startChat(input: $input) { chat { id } } }";
        let input = json!({ "input": { "userId": other.id } });
        let data = self.client.data(START, input).await;
        string(&data["startChat"]["chat"]["id"])
    }

    /// Sends a message; the payload.
    pub async fn send(&self, chat: &str, text: &str) -> Value {
        let input = json!({ "chatId": chat, "text": text });
        let data = self.client.data(SEND, json!({ "input": input })).await;
        data["sendMessage"].clone()
    }

    /// Moves the read mark; the payload.
    pub async fn mark_read(&self, chat: &str, seq: i64) -> Value {
        const MARK: &str = "mutation($input: MarkReadInput!) { markRead(input: $input) {
            chat { id unreadCount } receipt { lastReadSeq readAt user { id } } } }";
        let input = json!({ "input": { "chatId": chat, "seq": seq } });
        let data = self.client.data(MARK, input).await;
        data["markRead"].clone()
    }

    /// Follows the chat's new messages, from behind the cursor where one is given, else from
    /// behind the message that is the newest now.
    pub async fn follow(&self, chat: &str, after: Option<&str>) -> Subscription {
        const NEWEST: &str = "query($id: ID!) { node(id: $id) { ... on Chat {
            messages(last: 1) { pageInfo { endCursor } } } } }";
        let after = if let Some(after) = after {
            after.to_owned()
        } else {
            let data = self.client.data(NEWEST, json!({ "id": chat })).await;
            let end = &data["node"]["messages"]["pageInfo"]["endCursor"];
            end.as_str().map_or_else(|| start_of(chat), str::to_owned)
        };
        let variables = json!({ "chatId": chat, "after": after });
        self.client.subscribe(MESSAGE_ADDED, variables).await
    }
}

/// `sendMessage`.
pub const SEND: &str = "mutation($input: SendMessageInput!) { sendMessage(input: $input) {
    edge { cursor } message { id seq text clientMessageId createdAt sender { id } }
    chat { id lastSeq unreadCount } } }";

/// `messageAdded`, with what a chat window needs.
pub const MESSAGE_ADDED: &str = "subscription($chatId: ID!, $after: String) {
    messageAdded(chatId: $chatId, after: $after) { cursor node { id seq text sender { id name } } } }";

/// The cursor ahead of a chat's first message: a feed from there misses none, however quickly the
/// first is sent.
///
/// # Panics
/// Where the id is no chat's.
pub fn start_of(chat: &str) -> String {
    match chat.parse() {
        Ok(chat_id) => {
            // Of no incarnation: the place ahead of everything is the same in all.
            MessageCursor {
                chat_id,
                incarnation: Incarnation::default(),
                seq: 0,
                change_seq: None,
            }
            .encode()
        }
        Err(error) => panic!("no chat: {chat}: {error}"),
    }
}

/// A JSON string's text.
///
/// # Panics
/// Where the value is no string.
#[track_caller]
pub fn string(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => panic!("not a string: {value}"),
    }
}
