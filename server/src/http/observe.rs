//! What is told of requests and operations: an id for each, that answers and log lines carry; a
//! span around each; and counts. Knows no operation's meaning.
//!
//! Names that clients choose become label values only where their number is bounded. A payload
//! that many subscribers share carries no id; the error that ends one's subscription does.

use std::collections::HashSet;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{DocumentOperations, Selection, TypeKind, TypeSystemDefinition};
use async_graphql::{Response as GraphqlResponse, ServerError, Value};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::BoxStream;
use http::{HeaderName, HeaderValue, Method};
use metrics::{Counter, Label, counter, gauge, histogram};
use parking_lot::RwLock;
use talksy_domain::error::ErrorCode;
use tracing::{Instrument as _, Span, error_span, field, trace_span};

use super::Transports;
use super::application::Payload;
use super::client::is_trusted_peer;
use super::errors::is_request_error;
use super::guard::OperationType;
use super::request::Prepared;
use super::ws::Close;
use crate::metrics::{
    DELIVERIES, HTTP_DURATION, HTTP_REQUESTS, Held, MAX_NAMES, OPERATION_DURATION, OPERATIONS,
    SLOW_CONSUMERS, SOCKET_CLOSES, SOCKETS_OPEN, SUBSCRIPTIONS_OPEN,
};

/// The header of the request's id, in both directions.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken from a trusted proxy, and longest name of an operation in a label.
const MAX_TEXT: usize = 64;

tokio::task_local! {
    /// The id of the request that the task answers.
    static CURRENT: RequestId;
}

/// Names one request, or one operation of a socket.
#[derive(Clone, Debug)]
pub(super) struct RequestId(Arc<str>);

impl RequestId {
    /// A new one.
    pub(super) fn new(server: &Transports) -> Self {
        Self(server.app.request_id().into())
    }

    /// The id of the request that this task answers, or a new one.
    pub(super) fn current(server: &Transports) -> Self {
        CURRENT
            .try_with(Clone::clone)
            .unwrap_or_else(|_| Self::new(server))
    }

    /// The id that a trusted proxy gave the request, or a new one.
    fn of(server: &Transports, request: &Request) -> Self {
        let given = request.headers().get(REQUEST_ID);
        let given = given.and_then(|value| value.to_str().ok()).filter(|id| {
            (1..=MAX_TEXT).contains(&id.len())
                && id
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
                && is_trusted_peer(&server.config.trusted_proxies, request.extensions())
        });
        given.map_or_else(|| Self::new(server), |id| Self(id.into()))
    }

    /// A span for all that is done for it. Of the coarsest level, so that no log filter leaves
    /// a line without its id.
    pub(super) fn span(&self, name: &'static str) -> Span {
        error_span!("request", request_id = %self, otel.name = name, otel.kind = "server")
    }

    /// Runs what answers the request, so that the answer's errors carry the id.
    pub(super) fn within<T>(&self, answer: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self.clone(), answer)
    }

    /// Runs what answers the request, in a span of its own.
    pub(super) fn around<F: Future>(
        self,
        name: &'static str,
        answer: F,
    ) -> impl Future<Output = F::Output> {
        let span = self.span(name);
        CURRENT.scope(self, answer).instrument(span)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Puts the id of the request that is being answered into its errors.
pub(super) fn stamp(errors: &mut [ServerError]) {
    if errors.is_empty() {
        return;
    }
    // Without a request nobody asks for its id.
    let _ = CURRENT.try_with(|id| {
        for error in errors {
            let extensions = error.extensions.get_or_insert_default();
            extensions.set("requestId", &*id.0);
        }
    });
}

/// Around every HTTP request.
pub(super) async fn request(
    State(server): State<Arc<Transports>>,
    request: Request,
    next: Next,
) -> Response {
    let id = RequestId::of(&server, &request);
    let method = method(request.method());
    let route: Arc<str> = match request.extensions().get::<MatchedPath>() {
        Some(path) => path.as_str().into(),
        None => "other".into(),
    };
    let span = error_span!(
        "request",
        request_id = %id,
        otel.name = %format_args!("{method} {route}"),
        otel.kind = "server",
        http.response.status_code = field::Empty,
    );
    let caller = request.headers().get("traceparent");
    talksy_telemetry::continue_trace(&span, caller.and_then(|value| value.to_str().ok()));
    let started = Instant::now();
    let answer = CURRENT.scope(id.clone(), next.run(request));
    let mut response = answer.instrument(span.clone()).await;

    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    let took = started.elapsed();
    span.in_scope(|| {
        tracing::debug!(
            method,
            route = &*route,
            status = status.as_u16(),
            seconds = took.as_secs_f64(),
            "answered"
        );
    });
    let labels = [
        Label::from_static_parts("method", method),
        Label::new("route", Arc::clone(&route)),
    ];
    histogram!(HTTP_DURATION, labels.iter()).record(took);
    let [method, route] = labels;
    let status_label = Label::new("status", status.as_str().to_owned());
    counter!(HTTP_REQUESTS, vec![method, route, status_label]).increment(1);
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// Methods are the client's to invent.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The names of operations that have series of their own: the first of documents that were
/// found valid.
#[derive(Debug, Default)]
pub(super) struct Names {
    operations: RwLock<HashSet<Arc<str>>>,
    /// The subscriptions that there are.
    fields: HashSet<Arc<str>>,
}

impl Names {
    pub(super) fn new(sdl: &str) -> Self {
        Self {
            operations: RwLock::default(),
            fields: subscription_fields(sdl),
        }
    }

    /// The label of an operation's name. Only a valid document adds to the names.
    fn operation(&self, name: Option<&str>, valid: bool) -> Arc<str> {
        let Some(name) = name else {
            return "anonymous".into();
        };
        if let Some(known) = self.operations.read().get(name) {
            return Arc::clone(known);
        }
        if valid && name.len() <= MAX_TEXT {
            let mut operations = self.operations.write();
            if operations.len() < MAX_NAMES {
                let name: Arc<str> = name.into();
                operations.insert(Arc::clone(&name));
                return name;
            }
        }
        "other".into()
    }

    /// The label of a subscription's field.
    fn field(&self, name: Option<&str>) -> Arc<str> {
        let known = name.and_then(|name| self.fields.get(name));
        known.map_or_else(|| "other".into(), Arc::clone)
    }
}

/// The fields of the type `Subscription`.
fn subscription_fields(sdl: &str) -> HashSet<Arc<str>> {
    let definitions = parse_schema(sdl).map_or_else(|_| Vec::new(), |sdl| sdl.definitions);
    let fields = definitions
        .into_iter()
        .find_map(|definition| match definition {
            TypeSystemDefinition::Type(definition)
                if definition.node.name.node == "Subscription" =>
            {
                match definition.node.kind {
                    TypeKind::Object(object) => Some(object.fields),
                    _ => None,
                }
            }
            _ => None,
        });
    let fields = fields.unwrap_or_default().into_iter();
    fields
        .map(|field| field.node.name.node.as_str().into())
        .collect()
}

/// An operation that runs.
pub(super) struct Operation {
    kind: &'static str,
    name: Option<Box<str>>,
    started: Instant,
}

impl Operation {
    pub(super) fn of(prepared: &Prepared) -> Self {
        let name = match (
            &prepared.request.operation_name,
            &prepared.document.document().operations,
        ) {
            (Some(name), _) => Some(name.as_str().into()),
            (None, DocumentOperations::Multiple(operations)) => {
                operations.keys().next().map(|name| name.as_str().into())
            }
            (None, DocumentOperations::Single(_)) => None,
        };
        Self {
            kind: kind(prepared.kind),
            name,
            started: Instant::now(),
        }
    }

    /// A span of its own, for traces.
    pub(super) fn span(&self) -> Span {
        trace_span!("operation", otel.name = self.kind, graphql.operation.type = self.kind)
    }

    /// A query or mutation has its response, codes and all.
    pub(super) fn ended(&self, names: &Names, response: &GraphqlResponse) {
        let code = match response.errors.first() {
            None => "OK".to_owned(),
            Some(error) => code_of(error),
        };
        let labels = self.labels(names, !is_request_error(response));
        histogram!(OPERATION_DURATION, labels.iter()).record(self.started.elapsed());
        count(labels, code);
    }

    fn labels(&self, names: &Names, valid: bool) -> [Label; 2] {
        [
            Label::from_static_parts("type", self.kind),
            Label::new("name", names.operation(self.name.as_deref(), valid)),
        ]
    }
}

fn count([kind, name]: [Label; 2], code: String) {
    counter!(OPERATIONS, vec![kind, name, Label::new("code", code)]).increment(1);
}

/// A request that named no operation to run.
pub(super) fn refused(error: &ServerError) {
    counter!(OPERATIONS, "type" => "none", "name" => "none", "code" => code_of(error)).increment(1);
}

fn code_of(error: &ServerError) -> String {
    match error.extensions.as_ref().and_then(|e| e.get("code")) {
        Some(Value::String(code)) => code.clone(),
        _ => "INTERNAL".to_owned(),
    }
}

const fn kind(kind: OperationType) -> &'static str {
    match kind {
        OperationType::Query => "query",
        OperationType::Mutation => "mutation",
        OperationType::Subscription => "subscription",
    }
}

/// How long a subscription may take to open: then its span ends, so that it is seen, and what is
/// idle holds none.
const OPENING: Duration = Duration::from_secs(10);

/// Runs a subscription, watched. What a delivery costs by it is one counter.
pub(super) fn subscribe(
    server: &Arc<Transports>,
    prepared: Prepared,
    id: RequestId,
) -> BoxStream<'static, Payload> {
    let operation = Operation::of(&prepared);
    let field = server.names.field(root_field(&prepared));
    let opening = Opening::of(&id);
    let payloads = opening
        .span(&id)
        .in_scope(|| server.app.subscribe(prepared.request, prepared.document));
    Box::pin(Subscription {
        payloads,
        deliveries: counter!(DELIVERIES, "field" => Arc::clone(&field)),
        _open: Held::new(gauge!(SUBSCRIPTIONS_OPEN, "field" => field)),
        opening,
        server: Arc::clone(server),
        operation,
        id,
        code: None,
    })
}

fn root_field(prepared: &Prepared) -> Option<&str> {
    let name = prepared.request.operation_name.as_deref();
    let operation = prepared.document.operation(name).ok()?;
    let first = operation.node.selection_set.node.items.first()?;
    match &first.node {
        Selection::Field(field) => Some(field.node.name.node.as_str()),
        _ => None,
    }
}

/// A subscription up to its first payload: all that is done so far is in a span. To enter one
/// for each payload would cost more than a delivery.
enum Opening {
    /// A trace shows it as one span.
    Traced(Box<Span>),
    /// Only log lines ask for it, so each poll has its own: those who wait hold none.
    Untraced,
    /// The subscription is open.
    Over,
}

impl Opening {
    fn of(id: &RequestId) -> Self {
        if talksy_telemetry::is_traced() {
            Self::Traced(Box::new(id.span("subscription")))
        } else {
            Self::Untraced
        }
    }

    fn span(&self, id: &RequestId) -> Span {
        match self {
            Self::Traced(span) => Span::clone(span),
            Self::Untraced => id.span("subscription"),
            Self::Over => Span::none(),
        }
    }
}

/// A subscription that is watched.
struct Subscription {
    payloads: BoxStream<'static, Payload>,
    deliveries: Counter,
    _open: Held,
    opening: Opening,
    server: Arc<Transports>,
    operation: Operation,
    id: RequestId,
    /// The code of the error that ended it.
    code: Option<String>,
}

impl Stream for Subscription {
    type Item = Payload;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Payload>> {
        let this = self.get_mut();
        let payload = match &this.opening {
            Opening::Over => this.payloads.as_mut().poll_next(cx),
            opening => {
                let span = opening.span(&this.id);
                let payload = span.in_scope(|| this.payloads.as_mut().poll_next(cx));
                if this.operation.started.elapsed() > OPENING {
                    this.opening = Opening::Over;
                }
                payload
            }
        };
        let Poll::Ready(payload) = payload else {
            return Poll::Pending;
        };
        match &payload {
            Some(Payload::Next(_)) => {
                this.opening = Opening::Over;
                this.deliveries.increment(1);
                Poll::Ready(payload)
            }
            Some(Payload::Error(errors)) => {
                let (errors, code) = stamped(errors, &this.id);
                tracing::debug!(request_id = %this.id, code, "a subscription ended");
                this.code = Some(code);
                Poll::Ready(Some(Payload::Error(errors)))
            }
            None => Poll::Ready(None),
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let code = self.code.take().unwrap_or_else(|| "OK".to_owned());
        let valid = !is_of_document(&code);
        let labels = self.operation.labels(&self.server.names, valid);
        count(labels, code);
    }
}

/// Whether the code says that the document is not one to run, whoever asks.
fn is_of_document(code: &str) -> bool {
    let codes = [
        ErrorCode::GraphqlParseFailed,
        ErrorCode::GraphqlValidationFailed,
        ErrorCode::BadUserInput,
    ];
    codes.iter().any(|known| known.as_str() == code)
}

/// Serialized errors with the id in each, and the first one's code.
fn stamped(errors: &Bytes, id: &RequestId) -> (Bytes, String) {
    let Ok(mut list) = serde_json::from_slice::<Vec<serde_json::Value>>(errors) else {
        return (errors.clone(), "INTERNAL".to_owned());
    };
    for error in &mut list {
        error["extensions"]["requestId"] = (*id.0).into();
    }
    let code = list
        .first()
        .and_then(|error| error["extensions"]["code"].as_str());
    let code = code.unwrap_or("INTERNAL").to_owned();
    let bytes = serde_json::to_vec(&list).map_or_else(|_| errors.clone(), Bytes::from);
    (bytes, code)
}

/// Counts an open socket or event stream until it is dropped.
pub(super) fn open(protocol: &'static str) -> Held {
    Held::new(gauge!(SOCKETS_OPEN, "protocol" => protocol))
}

/// A socket is being closed: with our code, or because the peer went.
pub(super) fn closed(close: Option<&Close>) {
    let code = close.map_or_else(|| "peer".to_owned(), |close| close.code.to_string());
    counter!(SOCKET_CLOSES, "code" => code).increment(1);
    if close == Some(&Close::SLOW) {
        counter!(SLOW_CONSUMERS).increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_only_valid_documents_add_to_them() {
        let names = Names::default();
        assert_eq!(&*names.operation(None, true), "anonymous");
        assert_eq!(&*names.operation(Some("Bad"), false), "other");
        for index in 0..MAX_NAMES {
            let name = format!("Op{index}");
            assert_eq!(&*names.operation(Some(&name), true), name);
        }
        assert_eq!(&*names.operation(Some("OneMore"), true), "other");
        assert_eq!(&*names.operation(Some("Op0"), false), "Op0");
        let long = "x".repeat(MAX_TEXT + 1);
        assert_eq!(&*Names::default().operation(Some(&long), true), "other");
    }

    #[test]
    fn the_schema_names_the_fields_of_subscriptions() {
        let names = Names::new(&talksy_schema::schema::sdl());
        let mut fields: Vec<_> = names.fields.iter().map(|field| &**field).collect();
        fields.sort_unstable();
        assert_eq!(
            fields,
            [
                "chatUpdated",
                "messageAdded",
                "presenceChanged",
                "readReceiptUpdated",
                "typingChanged"
            ]
        );
        assert_eq!(&*names.field(Some("hostile")), "other");
    }
}
