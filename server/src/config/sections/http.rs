//! The limits and switches of the transports: HTTP, Server-Sent Events and WebSockets.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::duration::{MINUTE, SECOND};
use crate::config::section::section;
use crate::config::values::is_cors_origin;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

section! {
    /// The transports: HTTP, event streams and WebSockets.
    pub struct HttpConfig {
        /// Largest body of a GraphQL POST, in bytes. Beyond it: 413.
        max_body_bytes: usize = 256 * KIB, in KIB..=64 * MIB;
        /// How long a client may take to send its body. Beyond it: 408.
        body_timeout: Duration = 30 * SECOND, in SECOND..=10 * MINUTE;
        /// How long a connection may be open without a whole request header, also between two
        /// requests; longer than a reverse proxy keeps idle connections. Beyond it: closed.
        idle_timeout: Duration = 75 * SECOND, in SECOND..=10 * MINUTE;
        /// Most operations in one batched (array) POST. Beyond it: 413.
        max_batch: usize = 10, in 1..=100;
        /// Origins whose pages may call this server and open sockets to it from a browser, besides
        /// those of its own host, or `["*"]` for all.
        /// Credentials are bearer tokens, never cookies, so `*` gives no page a user's identity.
        cors_origins: Vec<String> = Vec::new(),
            must "be `*` or origins such as `https://chat.example.org`" =>
                |http| http.cors_origins.iter().all(|origin| is_cors_origin(origin));
        /// Whether `/graphiql` is served.
        graphiql: bool = true;
        /// Networks (`10.0.0.0/8`, `::1`) of reverse proxies whose `X-Forwarded-For` is believed.
        /// Without any the peer's own address counts.
        trusted_proxies: Vec<IpNet> = Vec::new();
        /// Whether long answers to queries, and the schema, are compressed (zstd, br, gzip) for clients
        /// that accept it. Answers of mutations and streams never are.
        compression: bool = true;
        /// Shortest answer that is compressed, in bytes.
        compression_min_bytes: u64 = 1024, in 256..=1 << 30;
        /// Pause between what keeps an idle event stream open: comment lines of Server-Sent Events,
        /// heartbeats of multipart subscriptions.
        sse_keep_alive: Duration = 12 * SECOND, in SECOND..=MINUTE;
        /// Most event streams that are reserved or open in the "single connection" mode of
        /// graphql-sse. One more is refused with 503.
        max_reservations: usize = 10_000, in 1..=10_000_000;
        /// How long such a reservation waits for its stream to be opened.
        reservation_timeout: Duration = 30 * SECOND, in SECOND..=10 * MINUTE;
    }
    with {
        documents: DocumentsConfig,
        query: QueryLimits,
        websocket: WebSocketLimits,
    }
}

section! {
    /// Documents that clients name instead of sending them. Those that they send are held to the
    /// limits of `http.query` as well.
    pub struct DocumentsConfig {
        /// Memory for automatic persisted queries, in bytes: the documents that clients have sent
        /// with their SHA-256, to be named by it from then on. Each instance keeps its own; what is
        /// not there is sent again. 0 keeps none, and clients that ask are told so.
        automatic_bytes: u64 = 4 << 20, in 0..=1 << 30;
        /// Trusted documents, which clients run by their id: a folder of `<id>.graphql`, or a file
        /// in the form of Apollo's persisted query manifest or of a JSON object of documents by
        /// their id, as GraphQL Code Generator and Relay write it. Read when the server starts.
        trusted: Option<PathBuf> = None, such as "/etc/talksy/persisted-documents.json";
        /// Whether nothing runs but trusted documents. Introspection, `/schema.graphql` and
        /// `/graphiql` are then off, and nothing is kept of automatic persisted queries.
        trusted_only: bool = false,
            must "come with `http.documents.trusted`" =>
                |documents| !documents.trusted_only || documents.trusted.is_some();
    }
}

section! {
    /// What a GraphQL document may ask for, checked before it is validated or run. Counts are of
    /// the document with every fragment spread out, over all its operations and fragments, as
    /// that is what validation walks.
    pub struct QueryLimits {
        /// Longest document, in bytes.
        max_bytes: usize = 32 * KIB, in 256..=MIB;
        /// Most lexical tokens.
        max_tokens: usize = 4_000, in 64..=100_000;
        /// Most selections, fragments spread out.
        max_selections: u64 = 2_000, in 16..=100_000;
        /// Most aliased fields, fragments spread out.
        max_aliases: u64 = 100, in 0..=10_000;
        /// Most fields at an operation's root.
        max_root_fields: u64 = 32, in 1..=1_000;
        /// Deepest nesting of selection sets; a fragment counts as one level. GraphiQL's
        /// introspection needs 18.
        max_depth: u32 = 24, in 4..=32;
        /// Memory for checked documents that are kept for the next request, in bytes, estimated
        /// from the length of their text; 0 keeps none.
        cache_bytes: u64 = 16 << 20, in 0..=1 << 30;
    }
}

section! {
    /// The limits of one WebSocket, and of their number.
    pub struct WebSocketLimits {
        /// Most open sockets and event streams. One more socket is closed with 1013, one more
        /// stream is answered with 503.
        max_sockets: usize = 100_000, in 1..=10_000_000;
        /// From the upgrade until the connection is acknowledged, the proof of its token
        /// included. Beyond it: 4408.
        init_timeout: Duration = 3 * SECOND, in SECOND..=MINUTE;
        /// Pause between pings. A peer from which nothing came for two of them is dead.
        ping_interval: Duration = 25 * SECOND, in SECOND..=10 * MINUTE;
        /// How long waiting frames may take to be written before the client counts as a slow
        /// consumer and is closed with 1013.
        write_timeout: Duration = 10 * SECOND, in SECOND..=10 * MINUTE;
        /// How long a closed socket is kept for the peer's answer to the close frame.
        close_timeout: Duration = 2 * SECOND, in SECOND / 10..=MINUTE;
        /// Most operations of one socket at one time. One more is refused with an `error` message
        /// of code `RATE_LIMITED`; the socket stays.
        max_operations: usize = 100, in 1..=100_000;
        /// Largest message from a client, in bytes. Beyond it: 1009.
        max_message_bytes: usize = 128 * KIB, in KIB..=16 * MIB;
        /// Most frames that wait for one socket; then its operations wait.
        max_queued_frames: usize = 256, in 1..=65_536;
        /// Most bytes that wait for one socket; then its operations wait. One frame that is larger
        /// passes alone.
        max_queued_bytes: usize = 256 * KIB, in 4 * KIB..=64 * MIB;
    }
}
