//! Counts the bytes of an answer while it is made, so that one that is too large ends early and takes
//! no more memory than it may.
//!
//! Only operations whose answers may be too large (see [`super::cost`]) are counted: an extension
//! takes each field some time. `__typename` is not seen here; [`super::response`] counts what is
//! written.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use async_graphql::extensions::{
    Extension, ExtensionContext, ExtensionFactory, NextExecute, NextResolve, ResolveInfo,
};
use async_graphql::{Name, Response, ServerResult, Value};
use async_trait::async_trait;

use super::too_much::{timed_out, too_large};

/// The bytes of one answer so far. Goes with the request, as its data.
#[derive(Clone, Debug)]
pub(super) struct Meter(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    used: AtomicUsize,
    most: usize,
    /// How long one event of a subscription may be executed, where this is for one.
    event_timeout: Option<Duration>,
}

impl Meter {
    /// A meter of an answer of at most `most` bytes.
    pub(super) fn new(most: usize) -> Self {
        Self::with(most, None)
    }

    /// A meter of each event of a subscription, whose execution has a deadline besides.
    pub(super) fn of_events(most: usize, timeout: Duration) -> Self {
        Self::with(most, Some(timeout))
    }

    fn with(most: usize, event_timeout: Option<Duration>) -> Self {
        Self(Arc::new(Counted {
            used: AtomicUsize::new(0),
            most,
            event_timeout,
        }))
    }

    /// Whether the answer is too large.
    pub(super) fn is_over(&self) -> bool {
        self.0.used.load(Ordering::Relaxed) > self.0.most
    }

    fn add(&self, bytes: usize) {
        // Once it is over nothing is resolved any more, so that it does not overflow.
        self.0.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Runs an execution until it has ended or the answer is too large; `None` then.
    pub(super) async fn run<T>(&self, execution: impl Future<Output = T>) -> Option<T> {
        let mut execution = pin!(execution);
        let outcome = std::future::poll_fn(|cx| match execution.as_mut().poll(cx) {
            Poll::Pending if self.is_over() => Poll::Ready(None),
            outcome => outcome.map(Some),
        });
        outcome.await.filter(|_| !self.is_over())
    }
}

/// Has the executions of a schema counted where a [`Meter`] goes with the request.
pub(super) struct Metering;

impl ExtensionFactory for Metering {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_trait]
impl Extension for Metering {
    /// Called once for each event of a subscription.
    async fn execute(
        &self,
        ctx: &ExtensionContext<'_>,
        operation_name: Option<&str>,
        next: NextExecute<'_>,
    ) -> Response {
        let meter = ctx.data_opt::<Meter>();
        let event = meter.and_then(|meter| Some((meter, meter.0.event_timeout?)));
        let Some((meter, timeout)) = event else {
            return next.run(ctx, operation_name).await;
        };
        meter.0.used.store(0, Ordering::Relaxed);
        let execution = meter.run(next.run(ctx, operation_name));
        match tokio::time::timeout(timeout, execution).await {
            Ok(Some(response)) => response,
            Ok(None) => too_large(meter.0.most).into_response(),
            Err(_) => timed_out(timeout).into_response(),
        }
    }

    /// Fields behind the one that was too much are null: the answer is not sent.
    async fn resolve(
        &self,
        ctx: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
        let Some(meter) = ctx.data_opt::<Meter>() else {
            return next.run(ctx, info).await;
        };
        // The fields of a mutation are all carried out.
        let is_change = info.path_node.parent.is_none() && info.parent_type == MUTATION;
        if meter.is_over() && !is_change {
            return Ok(Some(Value::Null));
        }
        let around = info.alias.unwrap_or(info.name).len() + AROUND;
        let size = if info.return_type == JSON {
            written_whole
        } else {
            written
        };
        let value = next.run(ctx, info).await?;
        meter.add(around + value.as_ref().map_or(NULL, size));
        if meter.is_over() && !is_change {
            return Ok(Some(Value::Null));
        }
        Ok(value)
    }
}

/// The type of what changes something.
const MUTATION: &str = "Mutation";

/// The type of a leaf that may have lists and objects inside.
const JSON: &str = "JSON";

/// The quotes and the colon of a field's key, and the comma behind its value.
const AROUND: usize = 4;

const NULL: usize = 4;

/// The bytes of a value in JSON, without what is inside of it: that has been counted before. Of a
/// number, the most.
fn written(value: &Value) -> usize {
    match value {
        Value::Null | Value::Boolean(_) => 5,
        Value::Number(_) => 20,
        Value::String(text) => {
            let escaped = |byte: &&u8| matches!(byte, b'"' | b'\\' | b'\n' | b'\r' | b'\t');
            text.len() + 2 + text.as_bytes().iter().filter(escaped).count()
        }
        Value::Enum(name) => name.len() + 2,
        Value::Binary(bytes) => bytes.len(),
        Value::List(_) | Value::Object(_) => 2,
    }
}

/// The bytes of a value in JSON, with all that is inside of it.
fn written_whole(value: &Value) -> usize {
    let inside = match value {
        Value::List(items) => items.iter().map(|item| written_whole(item) + 1).sum(),
        Value::Object(fields) => {
            let field = |(key, value): (&Name, &Value)| {
                written(&Value::String(key.to_string())) + 2 + written_whole(value)
            };
            fields.iter().map(field).sum()
        }
        _ => 0,
    };
    written(value) + inside
}

#[cfg(test)]
mod tests {
    use async_graphql::value;

    use super::*;

    #[test]
    fn a_value_counts_as_what_is_written_of_it_at_least() {
        for leaf in [
            value!(null),
            value!(true),
            value!(-2_147_483_648),
            value!(1.5),
            value!(""),
            value!("a \"quoted\" \\ text\nwith a\ttab, ü and 😀"),
        ] {
            let json = serde_json::to_string(&leaf).unwrap();
            assert!(written(&leaf) >= json.len(), "{json}");
            assert!(written(&leaf) <= json.len() + 20, "{json}");
        }
        assert_eq!(written(&value!({ "a": "counted before" })), 2);
        let whole = value!({ "a": [1, { "b\"": "c" }, []], "d": {} });
        let json = serde_json::to_string(&whole).unwrap();
        let counted = written_whole(&whole);
        assert!(
            (json.len()..=json.len() + 40).contains(&counted),
            "{counted}: {json}"
        );
    }

    #[tokio::test]
    async fn an_execution_ends_where_its_answer_is_too_large() {
        let meter = Meter::new(10);
        meter.add(10);
        assert_eq!(meter.run(async { 7 }).await, Some(7));
        let waiting = async {
            meter.add(1);
            std::future::pending::<()>().await;
        };
        assert_eq!(meter.run(waiting).await, None);
        assert_eq!(meter.run(async { 7 }).await, None);
    }
}
