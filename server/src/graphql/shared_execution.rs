//! Runs a subscription that many share. Here an event becomes the bytes that its subscribers
//! receive: it is executed once for all of them, and what is each one's own is filled in.
//!
//! Whatever does not come out as bytes that all may have (an error, a field that needs a viewer, a
//! number that is not in memory) is executed for each subscriber on the same event.

use std::sync::Arc;

use async_graphql::{Request, Variables};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use talksy_domain::events::{Hole, Template, TemplateKey};
use talksy_domain::viewer::{Authentication, ClientInfo};
use talksy_schema::loaders::Asker;
use talksy_schema::sharing::{
    OpenedFeed, Reacted, Recorder, Rendered, SharedFeed, SharedOperation,
};
use tracing::{Instrument as _, trace_span};

use super::cost::Cost;
use super::executor::Executor;
use super::operation::{Operation, Prepared};
use super::response::{Payload, error_payload};
use super::template::template;

/// A subscription that many share, for one of them.
pub(super) struct SharedExecution {
    executor: Arc<Executor>,
    shared: SharedOperation,
    operation: Operation,
    /// How many bytes what is told of an event has at most.
    may_have: u64,
    /// As JSON: they are asked for where something is rendered, and take ten times the room otherwise.
    variables: Box<str>,
    authentication: Authentication,
    client: ClientInfo,
}

impl SharedExecution {
    pub(super) fn new(
        executor: Arc<Executor>,
        shared: SharedOperation,
        prepared: Prepared,
    ) -> Self {
        Self {
            executor,
            shared,
            operation: prepared.operation,
            may_have: prepared.cost.bytes(),
            variables: json(&prepared.variables),
            authentication: prepared.authentication,
            client: prepared.client,
        }
    }

    /// The payloads. `cost` is that of the subscription.
    pub(super) fn run(self, cost: Cost) -> BoxStream<'static, Payload> {
        let opened = async move {
            match Box::pin(self.open(cost)).await {
                Ok(Some(feed)) => self.payloads(feed).left_stream(),
                Ok(None) => stream::iter(None).right_stream(),
                Err(refused) => stream::iter(Some(refused)).right_stream(),
            }
        };
        // In a box, which goes once the feed is open.
        stream::once(Box::pin(opened)).flatten().boxed()
    }

    /// Has the subscription check its document and arguments and open its feed, as for one
    /// subscriber alone.
    async fn open(&self, cost: Cost) -> Result<Option<OpenedFeed>, Payload> {
        let (authentication, client) = (&self.authentication, &self.client);
        let spent = self.executor.spend(authentication, client, cost, false);
        spent.await.map_err(|refusal| error_payload(&refusal))?;
        let feed = SharedFeed::default();
        let request = self.request_of_viewer().data(feed.clone());
        let asker = Asker::from(&self.authentication);
        let mut responses = self.executor.open(request, &self.operation, asker).await;
        match responses.next().await {
            Some(refused) => Err(self.executor.payload(&self.operation, refused)),
            None => Ok(feed.take()),
        }
    }

    fn payloads(self, feed: OpenedFeed) -> BoxStream<'static, Payload> {
        let state = Box::new((self, feed));
        stream::unfold(state, |mut state| async {
            let (execution, feed) = &mut *state;
            let payload = execution.next(feed).await;
            Some((payload, state))
        })
        .boxed()
    }

    async fn next(&self, feed: &mut OpenedFeed) -> Payload {
        loop {
            let event = match feed.next(&self.shared).await {
                Ok(event) => event,
                Err(error) => return error_payload(&error.into()),
            };
            if let Some(payload) = self.payload(feed, &event).await {
                return payload;
            }
        }
    }

    /// The event's payload; `None` where there is nothing to tell any more.
    async fn payload(&self, feed: &mut OpenedFeed, event: &Rendered) -> Option<Payload> {
        if let Some(template) = self.template_of(event).await {
            if let Some(bytes) = template.whole() {
                return Some(Payload::Next(bytes));
            }
            let mut filling = feed.filling(event, &template).await;
            if template.holes().any(is_reaction) {
                filling.reacted = Box::pin(self.reacted(event)).await;
            }
            if let Some(bytes) = template.filled(|hole, bytes| filling.write(hole, bytes)) {
                return Some(Payload::Next(bytes));
            }
        }
        // In a box, so that who gets what is shared needs no room for it.
        Box::pin(self.execute(event)).await
    }

    /// With what the subscriber has reacted to the event's message.
    async fn reacted(&self, event: &Rendered) -> Option<Reacted> {
        let (viewer, message) = (self.authentication.viewer().ok()?, event.message()?);
        let feeds = &self.executor.services().feeds;
        // Where it cannot be read, the subscriber's own execution says so.
        let own = feeds.reactions(viewer, message).await.ok()?;
        Some(Reacted::of(message, &own))
    }

    /// What all subscribers share of the event: made by the first who comes to it.
    async fn template_of(&self, event: &Rendered) -> Option<Arc<Template>> {
        let key = TemplateKey {
            operation: self.shared.key(event.type_name()?)?,
            peer: event.side().map(|side| side.peer),
            profiles: self.executor.changed_profiles(),
        };
        let make = async { Box::pin(self.render(event)).await };
        event.renderings()?.template(key, make).await
    }

    /// Executes the operation's selection on the event for no viewer in particular.
    async fn render(&self, event: &Rendered) -> Option<Template> {
        let recorder = Recorder::default();
        let request = self
            .request()
            .data(recorder.clone())
            .data(Authentication::Anonymous)
            .data(ClientInfo::default());
        let request = match event.side() {
            Some(side) => request.data(side),
            None => request,
        };
        // One span an event, not one a subscriber.
        let span = trace_span!("deliver", otel.kind = "consumer");
        let published = event.published();
        let trace = published.and_then(|published| published.trace.as_deref());
        talksy_telemetry::continue_trace(&span, trace);
        let (executor, operation) = (&self.executor, &self.operation);
        let all = Asker::All(recorder.clone());
        let response = executor.response_to(event, request, operation, self.may_have, all);
        let response = response.instrument(span).await?;
        let holes = recorder.into_holes()?;
        // Where it has failed, each one's own execution says how, and logs it.
        if !response.errors.is_empty() {
            return None;
        }
        let data = executor.answer(operation, response).into_data()?;
        // Where it is too large, each one's own execution says so.
        template(&data, &holes, executor.max_event_bytes())
    }

    /// Executes the operation's selection on the event for this subscriber alone.
    async fn execute(&self, event: &Rendered) -> Option<Payload> {
        let (request, asker) = (self.request_of_viewer(), Asker::from(&self.authentication));
        let response =
            self.executor
                .response_to(event, request, &self.operation, self.may_have, asker);
        Some(self.executor.payload(&self.operation, response.await?))
    }

    fn request_of_viewer(&self) -> Request {
        let request = self.request().data(self.authentication.clone());
        request.data(self.client.clone())
    }

    fn request(&self) -> Request {
        // What was written can be read.
        let variables = serde_json::from_str(&self.variables).unwrap_or_default();
        self.operation.request().variables(variables)
    }
}

const fn is_reaction(hole: Hole) -> bool {
    matches!(hole, Hole::HasReacted(_))
}

/// Variables as they came. They are JSON, so that they can be written.
fn json(variables: &Variables) -> Box<str> {
    serde_json::to_string(variables).unwrap_or_default().into()
}
