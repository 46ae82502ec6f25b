//! The id of a request, which its answer's errors and its log lines carry.

use std::fmt;
use std::sync::Arc;

use async_graphql::ServerError;
use tracing::{Instrument as _, Span, error_span};

tokio::task_local! {
    /// The id of the request that the task answers.
    static CURRENT: RequestId;
}

/// Names one request, or one operation of a socket.
#[derive(Clone, Debug)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// An id with this text: letters, digits and `-_.`, at most 64.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The id of the request that this task answers.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// The id as clients see it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A span for all that is done for it. Of the coarsest level, so that no log filter leaves
    /// a line without its id.
    pub fn span(&self, name: &'static str) -> Span {
        error_span!("request", request_id = %self, otel.name = name, otel.kind = "server")
    }

    /// Runs what answers the request, so that the answer's errors carry the id.
    pub fn within<T>(&self, answer: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self.clone(), answer)
    }

    /// Runs what answers the request, so that the answer's errors carry the id.
    pub fn scope<F: Future>(self, answer: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, answer)
    }

    /// Runs what answers the request, in a span of its own.
    pub fn around<F: Future>(
        self,
        name: &'static str,
        answer: F,
    ) -> impl Future<Output = F::Output> {
        let span = self.span(name);
        self.scope(answer).instrument(span)
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
