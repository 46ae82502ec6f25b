//! Runs operations on the schema. Here, and only here, an event becomes the bytes that
//! subscribers receive; those of a shared operation are made once and given to all.

use std::sync::Arc;

use async_graphql::parser::types::{OperationDefinition, VariableDefinition};
use async_graphql::{Name, Positioned, Request, Response, Value};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use talksy_domain::access::Denied;
use talksy_domain::error::ApiError;
use talksy_domain::events::{Published, RenderKey};
use talksy_domain::feeds::{Feed as _, MessageFeed};
use talksy_domain::id;
use talksy_domain::services::Services;
use talksy_domain::viewer::{Authentication, ClientInfo};
use talksy_schema::loaders::loaders;
use talksy_schema::messages::{Rendered, SharedOperation};
use talksy_schema::schema::{TalksySchema, sdl};
use tracing::{Instrument as _, trace_span};

use super::field_order::Order;
use super::guard::OperationType;
use super::null_propagation::NullRules;
use super::operation::{Operation, Prepared};
use super::response::{Answer, Payload, error_payload};
use super::sender_cache::SenderCache;

/// Executes requests for the transports.
#[derive(Clone)]
pub struct Executor {
    schema: TalksySchema,
    services: Services,
    nulls: Arc<NullRules>,
    senders: SenderCache,
}

impl Executor {
    /// Runs operations on this schema.
    pub fn new(schema: TalksySchema, services: Services) -> Self {
        Self {
            schema,
            services,
            nulls: Arc::new(NullRules::new(&sdl())),
            senders: SenderCache::new(),
        }
    }

    /// Runs a query or mutation.
    pub async fn execute(&self, prepared: Prepared) -> Answer {
        let operation = prepared.operation.clone();
        // What a mutation changes must be read anew by the fields behind it.
        let remember = operation.kind() == OperationType::Query;
        let viewer = prepared.authentication.viewer().ok().copied();
        let mut request = prepared.into_request();
        add_defaults(&mut request, operation.definition());
        let (loaders, batches) = loaders(self.services.clone(), viewer, remember);
        let execution = self.schema.execute(request.data(loaders));
        self.answer(&operation, batches.run(execution).await)
    }

    /// Runs a subscription.
    pub fn subscribe(&self, prepared: Prepared) -> BoxStream<'static, Payload> {
        let operation = &prepared.operation;
        let shared = SharedOperation::of(
            operation.document().text(),
            operation.document().document(),
            operation.definition(),
            operation.name(),
            &prepared.variables,
        );
        match shared {
            Some(shared) => self.subscribe_shared(shared, prepared),
            None => self.subscribe_alone(prepared),
        }
    }

    /// A subscription that is executed for this subscriber alone.
    fn subscribe_alone(&self, prepared: Prepared) -> BoxStream<'static, Payload> {
        let operation = prepared.operation.clone();
        let viewer = prepared.authentication.viewer().ok().copied();
        let mut request = prepared.into_request();
        add_defaults(&mut request, operation.definition());
        // Nothing is remembered from one event to the next.
        let (loaders, batches) = loaders(self.services.clone(), viewer, false);
        let responses = self.schema.execute_stream(request.data(loaders));
        let executor = self.clone();
        until_error(
            batches
                .run_stream(responses)
                .map(move |response| executor.payload(&operation, response)),
        )
    }

    /// A subscription whose payloads are the same for all who follow the chat.
    fn subscribe_shared(
        &self,
        shared: SharedOperation,
        prepared: Prepared,
    ) -> BoxStream<'static, Payload> {
        let renderer = Renderer {
            executor: self.clone(),
            key: shared.key,
            operation: prepared.operation,
            variables: prepared.variables,
        };
        let authentication = prepared.authentication;
        let feeds = self.services.feeds.clone();
        let payloads = stream::once(async move {
            let opened: Result<_, ApiError> = async {
                let viewer = *authentication.viewer()?;
                let chat = id::parse(&shared.chat_id, "chatId")?;
                let after = shared.after.as_deref();
                Ok(feeds.messages(&viewer, chat, after).await?)
            }
            .await;
            match opened {
                Ok(feed) => renderer.run(feed).left_stream(),
                Err(refusal) => stream::iter([error_payload(&refusal)]).right_stream(),
            }
        });
        until_error(payloads.flatten())
    }

    /// Puts a response right where async-graphql leaves the specification, and completes it.
    fn answer(&self, operation: &Operation, mut response: Response) -> Answer {
        let document = operation.document().document();
        if !response.errors.is_empty() {
            self.nulls
                .apply(document, operation.definition(), &mut response);
        }
        Order::of(document, operation.definition()).apply(&mut response.data);
        Answer::new(response, operation.kind())
    }

    /// A response of a subscription as a payload. An event without data ends the operation: to
    /// skip it would lose it, so the client is told and resumes.
    fn payload(&self, operation: &Operation, response: Response) -> Payload {
        let mut answer = self.answer(operation, response);
        if answer.is_without_data() {
            return answer.end();
        }
        answer.payload()
    }
}

/// Renders the messages of one shared operation.
struct Renderer {
    executor: Executor,
    key: RenderKey,
    operation: Operation,
    variables: async_graphql::Variables,
}

impl Renderer {
    fn run(self, feed: MessageFeed) -> BoxStream<'static, Payload> {
        let renderer = Box::new((self, feed));
        stream::unfold(renderer, |mut state| async {
            let (renderer, feed) = &mut *state;
            let payload = match feed.next().await {
                Ok(message) => renderer.payload(&message).await,
                Err(error) => error_payload(&error.into()),
            };
            Some((payload, state))
        })
        .boxed()
    }

    /// The message's payload: made by the first subscriber who comes to it.
    async fn payload(&self, message: &Arc<Published>) -> Payload {
        let made = message.rendered(self.key, async {
            // In a box, so that waiting subscribers need no room for a rendering.
            match Box::pin(self.render(message)).await {
                Payload::Next(bytes) => Ok(bytes),
                failed @ Payload::Error(_) => Err(failed),
            }
        });
        made.await.map_or_else(|failed| failed, Payload::Next)
    }

    /// Executes the operation's selection on the message, for no viewer in particular: a field
    /// that needs one would fail here rather than show one viewer's view to another.
    async fn render(&self, message: &Arc<Published>) -> Payload {
        let services = &self.executor.services;
        let (loaders, batches) = loaders(services.clone(), None, true);
        if let Some(sender) = message.message().and_then(|message| message.sender_id)
            && let Some(user) = self.executor.senders.get(services, sender).await
        {
            loaders.feed_one(sender, user);
        }
        let request = self
            .operation
            .request()
            .variables(self.variables.clone())
            .data(Rendered(Arc::clone(message)))
            .data(Authentication::Anonymous)
            .data(ClientInfo::default())
            .data(loaders);
        let mut responses = self.executor.schema.execute_stream(request);
        // One span an event, not one a subscriber.
        let span = trace_span!("deliver", otel.kind = "consumer");
        talksy_telemetry::continue_trace(&span, message.trace.as_deref());
        match batches.run(responses.next()).instrument(span).await {
            Some(response) => self.executor.payload(&self.operation, response),
            None => error_payload(&Denied::NoChat.into()),
        }
    }
}

/// Gives variables that are absent their default values: for `@skip` and `@include`,
/// async-graphql forgets to.
fn add_defaults(request: &mut Request, operation: &OperationDefinition) {
    let default = |variable: &Positioned<VariableDefinition>| {
        let value = variable.node.default_value.as_ref()?;
        Some((variable.node.name.node.clone(), value.node.clone()))
    };
    let variables = operation.variable_definitions.iter();
    let defaults: Vec<(Name, Value)> = variables.filter_map(default).collect();
    for (name, value) in defaults {
        request.variables.entry(name).or_insert(value);
    }
}

/// Ends the stream behind its first error: an error ends an operation.
fn until_error(
    payloads: impl futures_util::Stream<Item = Payload> + Send + 'static,
) -> BoxStream<'static, Payload> {
    let mut over = false;
    payloads
        .take_while(move |payload| {
            let go_on = !over;
            over = matches!(payload, Payload::Error(_));
            std::future::ready(go_on)
        })
        .boxed()
}
