//! Runs a subscription that many share. Here an event becomes the bytes that its subscribers
//! receive: it is executed once for all of them, and what is each one's own is filled in.
//!
//! Whatever does not come out as bytes that all may have (an error, a field that needs a viewer, a
//! number that is not in memory) is executed for each subscriber on the same event.

use std::sync::Arc;

use async_graphql::{Request, Response, Variables};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use talksy_domain::events::{Hole, Template, TemplateKey};
use talksy_domain::feeds::ReplyTarget;
use talksy_domain::viewer::{Authentication, ClientInfo};
use talksy_schema::loaders::Asker;
use talksy_schema::sharing::{
    OpenedFeed, OwnMessage, Reacted, Recorder, Rendered, SharedFeed, SharedOperation,
};
use tracing::{Instrument as _, trace_span};

use super::cost::Cost;
use super::event_costs::{Account, Price, values};
use super::executor::Executor;
use super::operation::{Operation, Prepared};
use super::response::{Payload, error_payload};
use super::template::template;

/// A subscription that many share, for one of them.
pub(super) struct SharedExecution {
    account: Arc<Account>,
    shared: SharedOperation,
    operation: Operation,
    /// What it costs at most, for one event.
    cost: Cost,
    /// As JSON: they are asked for where something is rendered, and take ten times the room otherwise.
    variables: Box<str>,
}

impl SharedExecution {
    pub(super) fn new(account: Arc<Account>, shared: SharedOperation, prepared: Prepared) -> Self {
        Self {
            account,
            shared,
            operation: prepared.operation,
            cost: prepared.cost,
            variables: json(&prepared.variables),
        }
    }

    /// The payloads, and what each costs. To open it costs so many points.
    pub(super) fn run(self, points: u64) -> BoxStream<'static, (Payload, Price)> {
        let opened = async move {
            match Box::pin(self.open(points)).await {
                Ok(Some(feed)) => self.payloads(feed).left_stream(),
                Ok(None) => stream::iter(None).right_stream(),
                Err(refused) => stream::iter(Some((refused, Price::default()))).right_stream(),
            }
        };
        // In a box, which goes once the feed is open.
        stream::once(Box::pin(opened)).flatten().boxed()
    }

    /// Has the subscription check its document and arguments and open its feed, as for one
    /// subscriber alone.
    async fn open(&self, points: u64) -> Result<Option<OpenedFeed>, Payload> {
        let spent = self.account.open(points).await;
        spent.map_err(|refusal| error_payload(&refusal))?;
        let _turn = self.executor().opening(&self.account.authentication).await;
        let feed = SharedFeed::default();
        let request = self.request_of_viewer().data(feed.clone());
        let asker = Asker::from(&self.account.authentication);
        let mut responses = self.executor().open(request, &self.operation, asker).await;
        match responses.next().await {
            Some(refused) => Err(self.executor().payload(&self.operation, refused)),
            None => Ok(feed.take()),
        }
    }

    fn executor(&self) -> &Arc<Executor> {
        self.account.executor()
    }

    fn payloads(self, feed: OpenedFeed) -> BoxStream<'static, (Payload, Price)> {
        let state = Box::new((self, feed));
        stream::unfold(state, |mut state| async {
            let (execution, feed) = &mut *state;
            let payload = execution.next(feed).await;
            Some((payload, state))
        })
        .boxed()
    }

    async fn next(&self, feed: &mut OpenedFeed) -> (Payload, Price) {
        // What events cost that have nothing to tell any more.
        let mut spent = Price::default();
        loop {
            let event = match feed.next(&self.shared).await {
                Ok(event) => event,
                Err(error) => return (error_payload(&error.into()), spent),
            };
            let (payload, price) = self.payload(feed, &event).await;
            spent = spent.and(price);
            if let Some(payload) = payload {
                return (payload, spent);
            }
        }
    }

    /// The event's payload, and what it costs; none where there is nothing to tell any more.
    async fn payload(&self, feed: &mut OpenedFeed, event: &Rendered) -> (Option<Payload>, Price) {
        let target = self.target(feed, event);
        let (template, rendered) = self.template_of(event, target).await;
        if let Some(template) = template {
            let mut bytes = template.whole();
            if bytes.is_none() {
                let mut filling = feed.filling(event, &template).await;
                if template.holes().any(is_reaction) {
                    filling.reacted = Box::pin(self.reacted(event)).await;
                }
                bytes = template.filled(|hole, bytes| filling.write(hole, bytes));
            }
            if let Some(bytes) = bytes {
                let price = Price::of_shared(bytes.len());
                return (Some(Payload::Next(bytes)), price.and(rendered));
            }
        }
        // In a box, so that who gets what is shared needs no room for it.
        let (payload, executed) = Box::pin(self.execute(event)).await;
        (payload, executed.and(rendered))
    }

    /// With what the subscriber has reacted to the event's message.
    async fn reacted(&self, event: &Rendered) -> Option<Reacted> {
        let (viewer, message) = (self.account.authentication.viewer().ok()?, event.message()?);
        let feeds = &self.executor().services().feeds;
        // Where it cannot be read, the subscriber's own execution says so.
        let own = feeds.reactions(viewer, message).await.ok()?;
        Some(Reacted::of(message, &own))
    }

    /// What the event's message replies to, where the operation asks for it.
    fn target(&self, feed: &OpenedFeed, event: &Rendered) -> Option<ReplyTarget> {
        let asks = self.shared.asks_for_targets();
        asks.then(|| feed.reply_target(event)).flatten()
    }

    /// What all subscribers share of the event: made by the first who comes to it, who pays for it.
    async fn template_of(
        &self,
        event: &Rendered,
        target: Option<ReplyTarget>,
    ) -> (Option<Arc<Template>>, Price) {
        let mut price = Price::default();
        let (Some(operation), Some(renderings)) = (
            event.type_name().and_then(|name| self.shared.key(name)),
            event.renderings(),
        ) else {
            return (None, price);
        };
        let key = TemplateKey {
            operation,
            peer: event.side().map(|side| side.peer),
            is_target_readable: target.map(|target| target.is_readable()),
            profiles: self.executor().changed_profiles(),
        };
        let make = async {
            let (template, rendered) = Box::pin(self.render(event, target)).await;
            price = rendered;
            template
        };
        let template = renderings.template(key, make).await;
        (template, price)
    }

    /// Executes the operation's selection on the event for no viewer in particular.
    async fn render(
        &self,
        event: &Rendered,
        target: Option<ReplyTarget>,
    ) -> (Option<Template>, Price) {
        let recorder = Recorder::default();
        let request = self
            .request()
            .data(recorder.clone())
            .data(Authentication::Anonymous)
            .data(ClientInfo::default());
        let request = beside(request, event.side());
        let request = beside(request, target);
        let own = event.message().map(|message| OwnMessage(message.id));
        let request = beside(request, own);
        // One span an event, not one a subscriber.
        let span = trace_span!("deliver", otel.kind = "consumer");
        let published = event.published();
        let trace = published.and_then(|published| published.trace.as_deref());
        talksy_telemetry::continue_trace(&span, trace);
        let (executor, operation) = (self.executor(), &self.operation);
        let all = Asker::All(recorder.clone());
        let response = executor.response_to(event, request, operation, self.cost.bytes(), all);
        let Some(response) = response.instrument(span).await else {
            return (None, Price::default());
        };
        let values = values(&response.data);
        // Where it has failed, each one's own execution says how, and logs it.
        let template = if response.errors.is_empty() {
            self.template(response, recorder)
        } else {
            None
        };
        // The bytes are each one's who receives them.
        (template, Price::of_execution(values, 0, self.cost.input()))
    }

    fn template(&self, response: Response, recorder: Recorder) -> Option<Template> {
        let holes = recorder.into_holes()?;
        let executor = self.executor();
        let data = executor.answer(&self.operation, response).into_data()?;
        // Where it is too large, each one's own execution says so.
        template(&data, &holes, executor.max_event_bytes())
    }

    /// Executes the operation's selection on the event for this subscriber alone.
    async fn execute(&self, event: &Rendered) -> (Option<Payload>, Price) {
        let request = self.request_of_viewer();
        let asker = Asker::from(&self.account.authentication);
        let (executor, may_have) = (self.executor(), self.cost.bytes());
        let response = executor.response_to(event, request, &self.operation, may_have, asker);
        match response.await {
            None => (None, Price::default()),
            Some(response) => {
                let input = self.cost.input();
                let (payload, price) = executor.charged_payload(&self.operation, response, input);
                (Some(payload), price)
            }
        }
    }

    fn request_of_viewer(&self) -> Request {
        let request = self.request().data(self.account.authentication.clone());
        request.data(self.account.client.clone())
    }

    fn request(&self) -> Request {
        // What was written can be read.
        let variables = serde_json::from_str(&self.variables).unwrap_or_default();
        self.operation.request().variables(variables)
    }
}

fn beside<T: Send + Sync + 'static>(request: Request, data: Option<T>) -> Request {
    match data {
        Some(data) => request.data(data),
        None => request,
    }
}

const fn is_reaction(hole: Hole) -> bool {
    matches!(hole, Hole::HasReacted(_))
}

/// Variables as they came. They are JSON, so that they can be written.
fn json(variables: &Variables) -> Box<str> {
    serde_json::to_string(variables).unwrap_or_default().into()
}
