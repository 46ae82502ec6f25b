//! Every limit of the transports, with its unit and default. Knows nothing of where the values
//! come from: the server's configuration embeds [`HttpConfig`] and fills it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::client::IpNetwork;
use crate::config::Problems;

/// The limits and switches of the HTTP, SSE and WebSocket transports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Largest body of a GraphQL POST, in bytes. Beyond it: 413. Default 262,144 (256 KiB).
    pub max_body_bytes: usize,
    /// How long a client may take to send its body. Beyond it: 408. Default 30 s.
    #[serde(with = "crate::config::duration")]
    pub body_timeout: Duration,
    /// How long a connection may be open without a whole request header, also between two
    /// requests; longer than a reverse proxy keeps idle connections. Beyond it: closed. Default
    /// 75 s.
    #[serde(with = "crate::config::duration")]
    pub idle_timeout: Duration,
    /// Most operations in one batched (array) POST. Beyond it: 413. Default 10.
    pub max_batch: usize,
    /// Origins (`https://chat.example.org`) whose pages may call this server from a browser, or
    /// the single entry `*` for all. Credentials are bearer tokens, never cookies, so `*` gives
    /// no page a user's identity. Default: none.
    pub cors_origins: Vec<String>,
    /// Whether `/graphiql` is served. Default true.
    pub graphiql: bool,
    /// Networks (`10.0.0.0/8`, `::1`) of reverse proxies whose `X-Forwarded-For` is believed.
    /// Default: none, so that the peer's own address counts.
    pub trusted_proxies: Vec<IpNetwork>,
    /// Pause between the comment lines that keep an idle event stream open. Default 12 s.
    #[serde(with = "crate::config::duration")]
    pub sse_keep_alive: Duration,
    /// What a GraphQL document may ask for.
    pub query: QueryLimits,
    /// The limits of one WebSocket, and of their number.
    pub websocket: WebSocketLimits,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            max_body_bytes: 256 * 1024,
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            max_batch: 10,
            cors_origins: Vec::new(),
            graphiql: true,
            trusted_proxies: Vec::new(),
            sse_keep_alive: Duration::from_secs(12),
            query: QueryLimits::default(),
            websocket: WebSocketLimits::default(),
        }
    }
}

/// What a GraphQL document may ask for, checked before it is validated or run. Counts are of the
/// document with every fragment spread out, over all its operations and fragments, as that is
/// what validation walks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueryLimits {
    /// Longest document, in bytes. Default 32,768 (32 KiB).
    pub max_bytes: usize,
    /// Most lexical tokens. Default 4,000.
    pub max_tokens: usize,
    /// Most selections, fragments spread out. Default 2,000.
    pub max_selections: u64,
    /// Most aliased fields, fragments spread out. Default 100.
    pub max_aliases: u64,
    /// Most fields at an operation's root. Default 32.
    pub max_root_fields: u64,
    /// Deepest nesting of selection sets; a fragment counts as one level. Default 24 (`GraphiQL`'s
    /// introspection needs 18). async-graphql refuses beyond 32 by itself.
    pub max_depth: u32,
    /// Memory for checked documents that are kept for the next request, in bytes, estimated from
    /// the length of their text. Default 16,777,216 (16 MiB); 0 keeps none.
    pub cache_bytes: u64,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            max_bytes: 32 * 1024,
            max_tokens: 4_000,
            max_selections: 2_000,
            max_aliases: 100,
            max_root_fields: 32,
            max_depth: 24,
            cache_bytes: 16 * 1024 * 1024,
        }
    }
}

/// The limits of one WebSocket, and of their number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebSocketLimits {
    /// Most open sockets and event streams. One more socket is closed with 1013, one more stream
    /// is answered with 503. Default 100,000.
    pub max_sockets: usize,
    /// From the upgrade until the connection is acknowledged, the proof of its token included.
    /// Beyond it: 4408. Default 3 s.
    #[serde(with = "crate::config::duration")]
    pub init_timeout: Duration,
    /// Pause between pings. A peer from which nothing came for two of them is dead. Default 25 s.
    #[serde(with = "crate::config::duration")]
    pub ping_interval: Duration,
    /// How long waiting frames may take to be written before the client counts as a slow
    /// consumer and is closed with 1013. Default 10 s.
    #[serde(with = "crate::config::duration")]
    pub write_timeout: Duration,
    /// How long a closed socket is kept for the peer's answer to the close frame. Default 2 s.
    #[serde(with = "crate::config::duration")]
    pub close_timeout: Duration,
    /// Most operations of one socket at one time. One more is refused with an `error` message of
    /// code `RATE_LIMITED`; the socket stays. Default 100.
    pub max_operations: usize,
    /// Largest message from a client, in bytes. Beyond it: 1009. Default 131,072 (128 KiB).
    pub max_message_bytes: usize,
    /// Most frames that wait for one socket; then its operations wait. Default 256.
    pub max_queued_frames: usize,
    /// Most bytes that wait for one socket, in bytes; then its operations wait. One frame that
    /// is larger passes alone. Default 262,144 (256 KiB).
    pub max_queued_bytes: usize,
}

impl Default for WebSocketLimits {
    fn default() -> Self {
        Self {
            max_sockets: 100_000,
            init_timeout: Duration::from_secs(3),
            ping_interval: Duration::from_secs(25),
            write_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(2),
            max_operations: 100,
            max_message_bytes: 128 * 1024,
            max_queued_frames: 256,
            max_queued_bytes: 256 * 1024,
        }
    }
}

impl HttpConfig {
    /// Checks every rule, under the setting names that start with `http.`.
    pub fn validate(&self, problems: &mut Problems) {
        const SECOND: Duration = Duration::from_secs(1);
        const MINUTE: Duration = Duration::from_mins(1);
        let (query, socket) = (&self.query, &self.websocket);
        problems.range("http.max_body_bytes", self.max_body_bytes, 1024..=64 << 20);
        problems.span("http.body_timeout", self.body_timeout, SECOND..=10 * MINUTE);
        problems.span("http.idle_timeout", self.idle_timeout, SECOND..=10 * MINUTE);
        problems.range("http.max_batch", self.max_batch, 1..=100);
        for origin in &self.cors_origins {
            let is_origin = origin.starts_with("http://") || origin.starts_with("https://");
            if origin != "*" && (!is_origin || origin.ends_with('/')) {
                problems.add(
                    "http.cors_origins",
                    "must be `*` or origins such as `https://chat.example.org`",
                );
            }
        }
        problems.span("http.sse_keep_alive", self.sse_keep_alive, SECOND..=MINUTE);
        problems.range("http.query.max_bytes", query.max_bytes, 256..=1 << 20);
        problems.range("http.query.max_tokens", query.max_tokens, 64..=100_000);
        problems.range(
            "http.query.max_selections",
            query.max_selections,
            16..=100_000,
        );
        problems.range("http.query.max_aliases", query.max_aliases, 0..=10_000);
        problems.range(
            "http.query.max_root_fields",
            query.max_root_fields,
            1..=1_000,
        );
        problems.range("http.query.max_depth", query.max_depth, 4..=32);
        problems.range("http.query.cache_bytes", query.cache_bytes, 0..=1 << 30);
        problems.range(
            "http.websocket.max_sockets",
            socket.max_sockets,
            1..=10_000_000,
        );
        problems.span(
            "http.websocket.init_timeout",
            socket.init_timeout,
            SECOND..=MINUTE,
        );
        problems.span(
            "http.websocket.ping_interval",
            socket.ping_interval,
            SECOND..=10 * MINUTE,
        );
        problems.span(
            "http.websocket.write_timeout",
            socket.write_timeout,
            SECOND..=10 * MINUTE,
        );
        problems.span(
            "http.websocket.close_timeout",
            socket.close_timeout,
            SECOND / 10..=MINUTE,
        );
        problems.range(
            "http.websocket.max_operations",
            socket.max_operations,
            1..=100_000,
        );
        problems.range(
            "http.websocket.max_message_bytes",
            socket.max_message_bytes,
            1024..=16 << 20,
        );
        problems.range(
            "http.websocket.max_queued_frames",
            socket.max_queued_frames,
            1..=65_536,
        );
        problems.range(
            "http.websocket.max_queued_bytes",
            socket.max_queued_bytes,
            4096..=64 << 20,
        );
    }
}
