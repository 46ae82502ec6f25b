//! Counts of operations, and what each took. Knows no operation's meaning.
//!
//! Names that clients choose become label values only where their number is bounded. A payload
//! that many subscribers share carries no request id; the error that ends one's subscription does.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_graphql::parser::types::{Selection, TypeKind};
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::BoxStream;
use metrics::{Counter, Label, counter, gauge, histogram};
use parking_lot::RwLock;
use talksy_domain::error::ErrorCode;
use tracing::{Span, trace_span};

use super::guard::OperationType;
use super::operation::Operation;
use super::request_id::RequestId;
use super::response::{Answer, Payload};
use super::types_of;
use crate::metrics::{
    DELIVERIES, Held, MAX_NAMES, OPERATION_DURATION, OPERATIONS, SUBSCRIPTIONS_OPEN,
};

/// Longest name of an operation in a label.
const MAX_TEXT: usize = 64;

/// The names of operations that have series of their own: the first of documents that were
/// found valid.
#[derive(Debug, Default)]
pub struct Names {
    operations: RwLock<HashSet<Arc<str>>>,
    /// The subscriptions that there are.
    fields: HashSet<Arc<str>>,
}

impl Names {
    /// No names yet, and the fields of the schema's subscriptions.
    pub fn new(sdl: &str) -> Self {
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
    let mut types = types_of(sdl).into_iter();
    let subscription = types.find(|one| one.name.node == "Subscription");
    let fields = subscription.and_then(|one| match one.kind {
        TypeKind::Object(object) => Some(object.fields),
        _ => None,
    });
    let fields = fields.unwrap_or_default().into_iter();
    fields
        .map(|field| field.node.name.node.as_str().into())
        .collect()
}

/// An operation that runs.
pub struct Metered {
    kind: &'static str,
    name: Option<Box<str>>,
    started: Instant,
}

impl Metered {
    /// Begins to measure.
    pub fn of(operation: &Operation) -> Self {
        Self {
            kind: kind(operation.kind()),
            name: operation.label().map(Into::into),
            started: Instant::now(),
        }
    }

    /// A span of its own, for traces.
    pub fn span(&self) -> Span {
        trace_span!("operation", otel.name = self.kind, graphql.operation.type = self.kind)
    }

    /// A query or mutation has its answer.
    pub fn ended(&self, names: &Names, answer: &Answer) {
        let labels = self.labels(names, answer.is_executed());
        histogram!(OPERATION_DURATION, labels.iter()).record(self.started.elapsed());
        count(labels, answer.code().to_owned());
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
pub fn refused(answer: &Answer) {
    let code = answer.code().to_owned();
    counter!(OPERATIONS, "type" => "none", "name" => "none", "code" => code).increment(1);
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

/// Watches a subscription. What a delivery costs by it is one counter. `subscribe` is called in the
/// span of the opening.
pub fn subscription(
    names: Arc<Names>,
    operation: &Operation,
    id: RequestId,
    subscribe: impl FnOnce() -> BoxStream<'static, Payload>,
) -> BoxStream<'static, Payload> {
    let metered = Metered::of(operation);
    let field = names.field(root_field(operation));
    let opening = Opening::of(&id);
    let payloads = opening.span(&id).in_scope(subscribe);
    Box::pin(Subscription {
        payloads,
        deliveries: counter!(DELIVERIES, "field" => Arc::clone(&field)),
        _open: Held::new(gauge!(SUBSCRIPTIONS_OPEN, "field" => field)),
        opening,
        names,
        metered,
        id,
        code: None,
    })
}

fn root_field(operation: &Operation) -> Option<&str> {
    let first = operation.definition().selection_set.node.items.first()?;
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
    names: Arc<Names>,
    metered: Metered,
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
                if this.metered.started.elapsed() > OPENING {
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
        let labels = self.metered.labels(&self.names, valid);
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
        error["extensions"]["requestId"] = id.as_str().into();
    }
    let code = list
        .first()
        .and_then(|error| error["extensions"]["code"].as_str());
    let code = code.unwrap_or("INTERNAL").to_owned();
    let bytes = serde_json::to_vec(&list).map_or_else(|_| errors.clone(), Bytes::from);
    (bytes, code)
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
        let sdl = "type Query { me: ID } type Subscription { one(of: ID!): ID! two: [ID!]! }";
        let mut fields: Vec<_> = Names::new(sdl).fields.into_iter().collect();
        fields.sort_unstable();
        assert_eq!(fields, ["one", "two"].map(Arc::<str>::from));
        let names = Names::new(&talksy_schema::schema::sdl());
        assert_eq!(&*names.field(Some("messageAdded")), "messageAdded");
        assert_eq!(&*names.field(Some("hostile")), "other");
    }
}
