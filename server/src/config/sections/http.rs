//! The limits and switches of the transports: HTTP, Server-Sent Events and WebSockets.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::duration::{MINUTE, SECOND};
use crate::config::section::section;
use crate::config::sections::auth::QUOTAS;
use crate::config::values::{Introspection, Quota, is_cors_origin};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

section! {
    /// The transports: HTTP, event streams and WebSockets.
    pub struct HttpConfig {
        /// Largest body of a GraphQL POST, in bytes. Beyond it: 413.
        max_body_bytes: usize = 256 * KIB, in KIB..=64 * MIB;
        /// How long a client may take to send its body. Beyond it: 408.
        body_timeout: Duration = 30 * SECOND, in SECOND..=10 * MINUTE;
        /// How long a new connection may take to send the head of its first request. Beyond it:
        /// closed.
        head_timeout: Duration = 10 * SECOND, in SECOND..=5 * MINUTE;
        /// How long a connection may be idle between two requests, and take to send the head of the
        /// next; longer than a reverse proxy keeps idle connections. Beyond it: closed.
        idle_timeout: Duration = 75 * SECOND, in SECOND..=10 * MINUTE;
        /// How long a client may read nothing of its answer while there is more of it to write, an
        /// event stream's too. Beyond it: the connection is closed.
        write_timeout: Duration = 30 * SECOND, in SECOND..=10 * MINUTE;
        /// Most bytes that are held for all clients together that do not read their answers just now:
        /// each answer whole, until the last of it is written. Beyond it, the connections of those
        /// are closed that have not read for longest, and for a second at least, or for a tenth of
        /// one where there is a quarter more.
        max_stalled_bytes: usize = 32 * MIB, in MIB..=1024 * 1024 * MIB;
        /// Most operations in one batched (array) POST. Beyond it: 413.
        max_batch: usize = 10, in 1..=100;
        /// Most bytes of one answer, or of what a subscription tells of one event, counted while it is
        /// made. Beyond it: `RESPONSE_TOO_LARGE`.
        max_answer_bytes: usize = 4 * MIB, in 64 * KIB..=1024 * MIB;
        /// Most bytes of the answers of one batch together. Beyond it, those that no longer fit are
        /// `RESPONSE_TOO_LARGE`.
        max_batch_answer_bytes: usize = 8 * MIB, in 64 * KIB..=1024 * MIB;
        /// How long a query, a batch, or one event of a subscription may be executed; longer than
        /// backends that are down take to be told as that. Beyond it: `TIMEOUT`. A mutation is not
        /// stopped; its client is told that it takes longer.
        execution_timeout: Duration = 20 * SECOND, in SECOND / 10..=10 * MINUTE;
        /// Most queries of one user that are executed at a time, over all connections, and most
        /// mutations: these have turns of their own, and so do subscriptions while they are opened.
        /// Further ones wait for their turn, which counts as execution.
        executions_per_user: usize = 16, in 1..=100_000;
        /// Whether the schema may be asked for by introspection: `on`, `off`, or `auto`, which is `on`
        /// where `listen` is a loopback address, `public_url` is none of another machine and
        /// `http.trusted_proxies` names nobody. GraphiQL needs it to complete and to document.
        /// `/schema.graphql` is served all the same, unless `http.documents.trusted_only` is set.
        introspection: Introspection = Introspection::Auto;
        /// Origins whose pages may call this server and open sockets to it from a browser, besides
        /// those of its own host, or `["*"]` for all.
        /// Credentials are bearer tokens, never cookies, so `*` gives no page a user's identity.
        cors_origins: Vec<String> = Vec::new(),
            must "be `*` or origins such as `https://chat.example.org`" =>
                |http| http.cors_origins.iter().all(|origin| is_cors_origin(origin));
        /// Most archives of `/export` that are sent at a time, one a user. One more is refused with
        /// 503, of a user who has one with 429.
        max_exports: usize = 4, in 1..=10_000;
        /// How long sending one archive may take. Beyond it: broken off.
        export_timeout: Duration = 60 * MINUTE, in MINUTE..=24 * 60 * MINUTE;
        /// Whether the web chat is served at `/`. It is off where `http.documents.trusted_only` is set.
        web_chat: bool = true;
        /// Whether `/graphiql` is served. Where the web chat is not, `/` leads there.
        graphiql: bool = true;
        /// Networks (`10.0.0.0/8`, `::1`) of reverse proxies whose `X-Forwarded-For`,
        /// `X-Request-Id` and `traceparent` are believed. Without any the peer's own address
        /// counts.
        trusted_proxies: Vec<IpNet> = Vec::new();
        /// Whether long answers to queries, and the schema, are compressed (br, gzip) for clients
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
        shares: ShareLimits,
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
        /// Whether nothing runs but trusted documents. Introspection, `/schema.graphql`, the
        /// web chat and `/graphiql` are then off, and nothing is kept of automatic persisted queries.
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
        /// Most points that an operation, or the operations of a batch together, may cost: one for each
        /// value that the answer may have, one for each 8 KiB, with pages and texts as large as
        /// they may be, and one for each four values in arguments.
        max_cost: u64 = 20_000, in 100..=100_000_000;
        /// Most aliased fields, fragments spread out.
        max_aliases: u64 = 100, in 0..=10_000;
        /// Most fields at an operation's root.
        max_root_fields: u64 = 32, in 1..=1_000;
        /// Deepest nesting of selection sets; a fragment counts as one level. GraphiQL's
        /// introspection needs 18.
        max_depth: u32 = 24, in 4..=32;
        /// Memory for checked documents that are kept for the next request, in bytes: of one of 500
        /// fields about 400,000. 0 keeps none.
        cache_bytes: u64 = 16 << 20, in 0..=1 << 30;
    }
}

section! {
    /// The limits of one WebSocket, and of their number.
    pub struct WebSocketLimits {
        /// Most open sockets and event streams. One more ends the oldest on which nobody has signed
        /// in; where there is none, one more socket is closed with 1013, one more stream is answered
        /// with 503.
        max_sockets: usize = 100_000, in 1..=10_000_000;
        /// From the upgrade until the connection is acknowledged, the proof of its token
        /// included. Beyond it: 4408.
        init_timeout: Duration = 3 * SECOND, in SECOND..=MINUTE;
        /// How long a socket on which nobody has signed in may be open without an operation.
        /// Beyond it: 1000.
        anonymous_timeout: Duration = 30 * SECOND, in SECOND..=10 * MINUTE;
        /// Pause between pings. A peer from which nothing came for two of them is dead.
        ping_interval: Duration = 25 * SECOND, in SECOND..=10 * MINUTE;
        /// How long a client may take nothing of the frames that wait for it before it counts as a
        /// slow consumer and is closed with 1013.
        write_timeout: Duration = 10 * SECOND, in SECOND..=10 * MINUTE;
        /// How long a closed socket is kept for the peer's answer to the close frame.
        close_timeout: Duration = 2 * SECOND, in SECOND / 10..=MINUTE;
        /// Most operations of one socket at one time. One more is refused with an `error` message
        /// of code `RATE_LIMITED`; the socket stays.
        max_operations: usize = 100, in 1..=100_000;
        /// Most queries of one socket that are executed, or whose results wait for room, at one time,
        /// and most mutations. Further ones wait for their turn.
        max_executions: usize = 8, in 1..=100_000;
        /// How much a socket may send: each message counts one, and one more for each KiB; a ping 50
        /// more, an operation that is refused before it runs 20 more, but for a hash whose text is
        /// asked for (`PERSISTED_QUERY_NOT_FOUND`), which costs little and is no mistake. Beyond it
        /// the socket is read only as fast as this comes back.
        messages: Quota = Quota::new(1_000, 10 * SECOND), in QUOTAS;
        /// Largest message from a client, in bytes. Beyond it: 1009.
        max_message_bytes: usize = 128 * KIB, in KIB..=16 * MIB;
        /// Most frames that wait for one socket; then its operations wait.
        max_queued_frames: usize = 256, in 1..=65_536;
        /// Most bytes that wait for one socket; then its operations wait. One frame that is larger
        /// passes alone.
        max_queued_bytes: usize = 256 * KIB, in 4 * KIB..=64 * MIB;
        /// Most bytes that wait for all sockets together whose clients do not read just now. Beyond
        /// it, those that have not been read for longest, and for a second at least, are closed with
        /// 1013; where there is a quarter more, for a tenth of a second.
        max_stalled_bytes: usize = 32 * MIB, in MIB..=1024 * 1024 * MIB;
    }
}

section! {
    /// How many connections each may have, so that nobody takes those of all. An address is one of
    /// IPv4 or a /64 of IPv6; a /56 of IPv6 may have four times as many. Behind a reverse proxy the
    /// address is the one that the proxy forwards, if `http.trusted_proxies` names the proxy; if
    /// not, all clients of the proxy share what one address may have.
    pub struct ShareLimits {
        /// Most TCP connections, those of sockets and event streams among them; fewer where the
        /// system lets the process open too few files. Where they are used up, the connection that
        /// has been silent for longest is closed; where none is silent, a new one gets 503.
        connections: usize = 200_000, in 16..=10_000_000;
        /// Open files that connections leave to the rest of the process (the database, backends,
        /// keys), but never more than a quarter of those that the system allows.
        spare_files: usize = 1024, in 16..=1_000_000;
        /// Most TCP connections of one address, and never more than half of all. Proxies of
        /// `http.trusted_proxies` have no such bound. Where they are used up, the one of the address
        /// that has been silent for longest is closed; where none is silent, a new one gets 429.
        connections_per_address: usize = 4_000, in 4..=10_000_000;
        /// Most sockets and event streams of one address. One more ends the oldest of them on which
        /// nobody has signed in; where there is none, one more socket is closed with 1013, one more
        /// stream is answered with 429.
        sockets_per_address: usize = 2_000, in 1..=10_000_000;
        /// Most sockets and event streams of one user, on all devices. One more socket is closed
        /// with 1013, one more stream is answered with 429.
        sockets_per_user: usize = 100, in 1..=1_000_000;
        /// Most sockets and event streams on which nobody is signed in, those among them whose token
        /// is yet to come, in percent of `http.websocket.max_sockets`. One more ends the oldest of
        /// them, a socket with 1013.
        anonymous_percent: u8 = 10, in 1..=100;
        /// Most of those of one address. One more ends the oldest of them.
        anonymous_per_address: usize = 256, in 1..=10_000_000;
        /// Most operations of one user at one time, on all sockets and event streams together,
        /// subscriptions among them. One more is refused with `RATE_LIMITED`, and the socket stays.
        operations_per_user: usize = 200, in 1..=10_000_000;
        /// Most of them of one address on which nobody is signed in.
        anonymous_operations_per_address: usize = 500, in 1..=10_000_000;
    }
}
