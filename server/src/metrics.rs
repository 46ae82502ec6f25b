//! The names of what the server counts, and what each means. Labels have few values each: routes,
//! codes, methods, and the first [`MAX_NAMES`] names of operations.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};

use crate::http::{BROKEN_OFF, Bound, COMPLETE, Cut};

/// How many names of operations get series of their own; further ones count as `other`.
pub const MAX_NAMES: usize = 200;

/// HTTP requests; `method`, `route`, `status`.
pub(crate) const HTTP_REQUESTS: &str = "talksy_http_requests_total";
/// Time to an HTTP response's head; `method`, `route`.
pub(crate) const HTTP_DURATION: &str = "talksy_http_request_duration_seconds";
/// GraphQL operations that have ended; `type`, `name`, `code`.
pub(crate) const OPERATIONS: &str = "talksy_graphql_operations_total";
/// Time of queries and mutations; `type`, `name`.
pub(crate) const OPERATION_DURATION: &str = "talksy_graphql_operation_duration_seconds";
/// Open subscriptions; `field`.
pub(crate) const SUBSCRIPTIONS_OPEN: &str = "talksy_subscriptions_open";
/// Payloads handed to subscribers' connections; `field`.
pub(crate) const DELIVERIES: &str = "talksy_deliveries_total";
/// Open sockets and event streams; `protocol`.
pub(crate) const SOCKETS_OPEN: &str = "talksy_sockets_open";
/// Sockets that were closed; `code` as sent, or `peer` where the client went first.
pub(crate) const SOCKET_CLOSES: &str = "talksy_socket_closes_total";
/// Sockets closed because their client did not read.
pub(crate) const SLOW_CONSUMERS: &str = "talksy_slow_consumers_closed_total";
/// The most bytes that waited for a socket at a time, of sockets that are over.
pub(crate) const SOCKET_QUEUE_PEAK: &str = "talksy_socket_queue_peak_bytes";
/// Bytes that wait for all sockets whose clients do not read just now.
pub(crate) const SOCKETS_STALLED_BYTES: &str = "talksy_sockets_stalled_bytes";
/// Bytes that wait for all HTTP clients that do not read their answers just now.
pub(crate) const CONNECTIONS_STALLED_BYTES: &str = "talksy_connections_stalled_bytes";
/// Open sockets and event streams on which nobody is signed in.
pub(crate) const SOCKETS_ANONYMOUS: &str = "talksy_sockets_anonymous_open";
/// Open TCP connections, those of sockets among them.
pub(crate) const CONNECTIONS_OPEN: &str = "talksy_connections_open";
/// How many TCP connections there may be.
pub(crate) const CONNECTIONS_LIMIT: &str = "talksy_connections_limit";
/// Connections, sockets, event streams and operations on them that were refused; `bound`.
pub(crate) const CONNECTIONS_REFUSED: &str = "talksy_connections_refused_total";
/// TCP connections that the server ended; `why`.
pub(crate) const CONNECTIONS_CUT: &str = "talksy_connections_cut_total";
/// Connections that hold a user online, of this process.
pub(crate) const PRESENCE_CONNECTIONS: &str = "talksy_presence_connections";
/// Archives that are being sent.
pub(crate) const EXPORTS_OPEN: &str = "talksy_exports_open";
/// Archives that are over; `outcome`.
pub(crate) const EXPORTS: &str = "talksy_exports_total";

/// Whether a backend answers; `backend`.
pub(crate) const BACKEND_UP: &str = "talksy_backend_up";

/// Calls of a store; `port`, `method`.
pub(crate) const STORE_DURATION: &str = "talksy_store_call_duration_seconds";
/// Calls of a store that failed; `port`, `kind`.
pub(crate) const STORE_ERRORS: &str = "talksy_store_errors_total";
/// Publications on the bus.
pub(crate) const BUS_DURATION: &str = "talksy_bus_publish_duration_seconds";
/// Publications that failed.
pub(crate) const BUS_FAILURES: &str = "talksy_bus_publish_failures_total";
/// Handing a mail job to its queue.
pub(crate) const MAIL_DURATION: &str = "talksy_mail_publish_duration_seconds";
/// Mail jobs that the queue did not take.
pub(crate) const MAIL_FAILURES: &str = "talksy_mail_publish_failures_total";
/// Sign-in codes asked for; `outcome`.
pub(crate) const CODES: &str = "talksy_signin_codes_total";
/// Sign-in codes presented; `outcome`.
pub(crate) const CODE_ATTEMPTS: &str = "talksy_signin_attempts_total";
/// What the rate limits refused; `rule`.
pub(crate) const RATE_LIMITED: &str = "talksy_rate_limit_refusals_total";

/// Says what each metric means, and shows those without labels from the start.
pub fn describe() {
    talksy_domain::metrics::describe();
    talksy_mail_worker::metrics::describe();
    let counters = [
        (HTTP_REQUESTS, "HTTP requests by method, route and status."),
        (
            OPERATIONS,
            "GraphQL operations by type, name and code; OK where there was no error. Subscriptions count when they end.",
        ),
        (
            DELIVERIES,
            "Payloads of subscriptions handed to connections, by root field.",
        ),
        (
            SOCKET_CLOSES,
            "WebSockets closed, by the code sent; peer where the client went first.",
        ),
        (
            CONNECTIONS_REFUSED,
            "Connections, sockets, event streams and operations on them that were refused, by the bound that was reached.",
        ),
        (
            CONNECTIONS_CUT,
            "TCP connections that the server ended: silent, for another; without a request; because its client did not read.",
        ),
        (STORE_ERRORS, "Store calls that failed, by port and kind."),
        (
            CODES,
            "Sign-in codes: issued, or withdrawn because the mail was not queued.",
        ),
        (
            CODE_ATTEMPTS,
            "Sign-in codes presented: accepted, wrong, or void.",
        ),
        (
            EXPORTS,
            "Archives of a user's own data: complete, or broken off by the client or the server.",
        ),
        (RATE_LIMITED, "Requests that a rate limit refused, by rule."),
    ];
    for (name, meaning) in counters {
        describe_counter!(name, Unit::Count, meaning);
    }
    let plain = [
        (
            SLOW_CONSUMERS,
            "WebSockets closed because the client read too slowly.",
        ),
        (BUS_FAILURES, "Events that could not be published."),
        (MAIL_FAILURES, "Mail jobs that the queue did not take."),
    ];
    for (name, meaning) in plain {
        describe_counter!(name, Unit::Count, meaning);
        counter!(name).increment(0);
    }
    for outcome in [COMPLETE, BROKEN_OFF] {
        counter!(EXPORTS, "outcome" => outcome).increment(0);
    }
    for bound in Bound::ALL {
        counter!(CONNECTIONS_REFUSED, "bound" => bound.name()).increment(0);
    }
    for why in Cut::ALL {
        counter!(CONNECTIONS_CUT, "why" => why.name()).increment(0);
    }
    for port in [
        "users", "sessions", "chats", "messages", "groups", "jobs", "codes", "limits", "presence",
    ] {
        for kind in ["unavailable", "corrupt"] {
            counter!(STORE_ERRORS, "port" => port, "kind" => kind).increment(0);
        }
    }
    let histograms = [
        (HTTP_DURATION, "Time to the head of an HTTP response."),
        (OPERATION_DURATION, "Time of GraphQL queries and mutations."),
        (STORE_DURATION, "Time of store calls, by port and method."),
        (BUS_DURATION, "Time to publish an event."),
        (MAIL_DURATION, "Time until the queue has taken a mail job."),
    ];
    for (name, meaning) in histograms {
        describe_histogram!(name, Unit::Seconds, meaning);
    }
    describe_histogram!(
        SOCKET_QUEUE_PEAK,
        Unit::Bytes,
        "The most bytes that waited for a WebSocket at a time; told when it is over."
    );
    describe_gauges();
}

fn describe_gauges() {
    let gauges = [
        (SUBSCRIPTIONS_OPEN, "Open subscriptions, by root field."),
        (
            SOCKETS_OPEN,
            "Open WebSockets and event streams, by protocol.",
        ),
    ];
    for (name, meaning) in gauges {
        describe_gauge!(name, Unit::Count, meaning);
    }
    let plain = [
        (
            PRESENCE_CONNECTIONS,
            "Connections of this process that hold a user online.",
        ),
        (
            SOCKETS_ANONYMOUS,
            "Open WebSockets and event streams on which nobody is signed in.",
        ),
        (
            CONNECTIONS_OPEN,
            "Open TCP connections of clients, those of sockets among them.",
        ),
        (
            CONNECTIONS_LIMIT,
            "How many TCP connections of clients there may be.",
        ),
        (
            EXPORTS_OPEN,
            "Archives of a user's own data that are being sent.",
        ),
    ];
    for (name, meaning) in plain {
        describe_gauge!(name, Unit::Count, meaning);
        gauge!(name).set(0);
    }
    let bytes = [
        (
            SOCKETS_STALLED_BYTES,
            "Bytes that wait for all WebSockets whose clients do not read just now.",
        ),
        (
            CONNECTIONS_STALLED_BYTES,
            "Bytes that wait for all HTTP clients that do not read their answers just now.",
        ),
    ];
    for (name, meaning) in bytes {
        describe_gauge!(name, Unit::Bytes, meaning);
        gauge!(name).set(0);
    }
    describe_gauge!(
        BACKEND_UP,
        Unit::Count,
        "1 where the backend answered the last look, some seconds ago; 0 where it did not."
    );
}

/// Holds a gauge one higher until it is dropped.
pub(crate) struct Held(metrics::Gauge);

impl Held {
    pub(crate) fn new(gauge: metrics::Gauge) -> Self {
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}
