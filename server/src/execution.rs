//! Runs operations on the schema. Here, and only here, an event becomes the bytes that
//! subscribers receive; those of a shared operation are made once and given to all.

mod order;
mod senders;

use std::any::TypeId;
use std::sync::Arc;

use async_graphql::parser::parse_query;
use async_graphql::parser::types::{ExecutableDocument, OperationDefinition, VariableDefinition};
use async_graphql::{Name, Positioned, Request, Response, ServerError, Value};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use talksy_domain::access::Denied;
use talksy_domain::error::{ApiError, ErrorCode};
use talksy_domain::events::{Published, RenderKey};
use talksy_domain::feeds::{Feed as _, MessageFeed};
use talksy_domain::id;
use talksy_domain::services::Services;
use talksy_domain::viewer::{Authentication, ClientInfo, Viewer};
use talksy_schema::loaders::loaders;
use talksy_schema::messages::{Rendered, SharedOperation};
use talksy_schema::schema::{TalksySchema, sdl};
use tracing::{Instrument as _, trace_span};

use crate::http::errors::complete;
use crate::http::guard::OperationType;
use crate::http::response::error_payload;
use crate::http::{CheckedDocument, Payload};
use crate::nulls::NullRules;
use order::Order;
use senders::Senders;

/// Executes requests for the transports.
#[derive(Clone)]
pub struct Execution {
    schema: TalksySchema,
    services: Services,
    nulls: Arc<NullRules>,
    senders: Senders,
}

impl Execution {
    /// Runs operations on this schema.
    pub fn new(schema: TalksySchema, services: Services) -> Self {
        Self {
            schema,
            services,
            nulls: Arc::new(NullRules::new(&sdl())),
            senders: Senders::new(),
        }
    }

    /// Runs a query or mutation.
    pub async fn execute(&self, mut request: Request) -> Response {
        let name = request.operation_name.clone();
        let text = request.query.clone();
        // What a mutation changes must be read anew by the fields behind it.
        let mut remember = false;
        let mut defaults = Vec::new();
        let mut order = Order::default();
        if let Ok(document) = request.parsed_query()
            && let Some(operation) = chosen(document, name.as_deref())
        {
            remember = operation.ty == OperationType::Query;
            defaults = defaults_of(operation);
            order = Order::of(document, name.as_deref());
        }
        add_defaults(&mut request, defaults);
        let viewer = viewer(&request).copied();
        let (loaders, batches) = loaders(self.services.clone(), viewer, remember);
        let execution = self.schema.execute(request.data(loaders));
        let mut response = batches.run(execution).await;
        if !response.errors.is_empty() {
            response.errors.iter_mut().for_each(name_complexity);
            // Parsed anew, since errors are rare and the document went with the request.
            if let Ok(document) = parse_query(text) {
                self.nulls.apply(&document, name.as_deref(), &mut response);
            }
        }
        order.apply(&mut response.data);
        response
    }

    /// Runs a subscription.
    pub fn subscribe(
        &self,
        request: Request,
        document: Arc<CheckedDocument>,
    ) -> BoxStream<'static, Payload> {
        let shared = SharedOperation::of(
            document.text(),
            document.document(),
            request.operation_name.as_deref(),
            &request.variables,
        );
        match shared {
            Some(operation) => self.subscribe_shared(operation, request, document),
            None => self.subscribe_alone(request, document),
        }
    }

    /// A subscription that is executed for this subscriber alone.
    fn subscribe_alone(
        &self,
        mut request: Request,
        document: Arc<CheckedDocument>,
    ) -> BoxStream<'static, Payload> {
        let name = request.operation_name.clone();
        if let Some(operation) = chosen(document.document(), name.as_deref()) {
            add_defaults(&mut request, defaults_of(operation));
        }
        let viewer = viewer(&request).copied();
        // Nothing is remembered from one event to the next.
        let (loaders, batches) = loaders(self.services.clone(), viewer, false);
        let responses = self.schema.execute_stream(request.data(loaders));
        let execution = self.clone();
        until_error(
            batches.run_stream(responses).map(move |response| {
                execution.payload(document.document(), name.as_deref(), response)
            }),
        )
    }

    /// A subscription whose payloads are the same for all who follow the chat.
    fn subscribe_shared(
        &self,
        operation: SharedOperation,
        request: Request,
        document: Arc<CheckedDocument>,
    ) -> BoxStream<'static, Payload> {
        let renderer = Renderer {
            execution: self.clone(),
            key: operation.key,
            template: Template {
                document,
                operation_name: request.operation_name.clone(),
                variables: request.variables.clone(),
            },
        };
        let authentication = authentication(&request);
        let feeds = self.services.feeds.clone();
        let payloads = stream::once(async move {
            let opened = async {
                let viewer = *authentication.viewer()?;
                let chat = id::parse(&operation.chat_id, "chatId")
                    .map_err(|invalid| ApiError::from(&invalid))?;
                Ok(feeds
                    .messages(&viewer, chat, operation.after.as_deref())
                    .await?)
            };
            match opened.await {
                Ok(feed) => renderer.run(feed).left_stream(),
                Err(refusal) => {
                    let refusal: ApiError = refusal;
                    stream::iter([error_payload(&refusal)]).right_stream()
                }
            }
        });
        until_error(payloads.flatten())
    }

    /// A response of a subscription as a payload.
    fn payload(
        &self,
        document: &ExecutableDocument,
        name: Option<&str>,
        mut response: Response,
    ) -> Payload {
        if !response.errors.is_empty() {
            self.nulls.apply(document, name, &mut response);
        }
        Order::of(document, name).apply(&mut response.data);
        payload(response)
    }
}

/// What a shared operation is rendered from.
struct Template {
    document: Arc<CheckedDocument>,
    operation_name: Option<String>,
    variables: async_graphql::Variables,
}

/// Renders the messages of one shared operation.
struct Renderer {
    execution: Execution,
    key: RenderKey,
    template: Template,
}

impl Renderer {
    fn run(self, feed: MessageFeed) -> BoxStream<'static, Payload> {
        let renderer = Box::new((self, feed));
        stream::unfold(renderer, |mut state| async {
            let (renderer, feed) = &mut *state;
            let payload = match feed.next().await {
                Ok(message) => renderer.payload(&message).await,
                Err(error) => error_payload(&ApiError::from(error)),
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
        let template = &self.template;
        let services = &self.execution.services;
        let (loaders, batches) = loaders(services.clone(), None, true);
        if let Some(sender) = message.message().and_then(|message| message.sender_id)
            && let Some(user) = self.execution.senders.get(services, sender).await
        {
            loaders.feed_one(sender, user).await;
        }
        let mut request = Request::new(template.document.text().as_ref())
            .variables(template.variables.clone())
            .data(Rendered(Arc::clone(message)))
            .data(Authentication::Anonymous)
            .data(ClientInfo::default())
            .data(loaders);
        request.operation_name.clone_from(&template.operation_name);
        request.set_parsed_query(template.document.document().clone());
        let mut responses = self.execution.schema.execute_stream(request);
        // One span an event, not one a subscriber.
        let span = trace_span!("deliver", otel.kind = "consumer");
        talksy_telemetry::continue_trace(&span, message.trace.as_deref());
        match batches.run(responses.next()).instrument(span).await {
            Some(response) => {
                let document = template.document.document();
                let name = template.operation_name.as_deref();
                self.execution.payload(document, name, response)
            }
            None => error_payload(&Denied::NoChat.into()),
        }
    }
}

/// The operation of a document that a request runs.
pub(crate) fn chosen<'a>(
    document: &'a ExecutableDocument,
    name: Option<&str>,
) -> Option<&'a OperationDefinition> {
    let mut operations = document.operations.iter();
    let chosen = operations.find(|(known, _)| name.is_none() || known.map(Name::as_str) == name)?;
    Some(&chosen.1.node)
}

/// The default values of an operation's variables.
fn defaults_of(operation: &OperationDefinition) -> Vec<(Name, Value)> {
    let default = |variable: &Positioned<VariableDefinition>| {
        let value = variable.node.default_value.as_ref()?;
        Some((variable.node.name.node.clone(), value.node.clone()))
    };
    let variables = operation.variable_definitions.iter();
    variables.filter_map(default).collect()
}

/// Gives variables that are absent their default values: for `@skip` and `@include`,
/// async-graphql forgets to.
fn add_defaults(request: &mut Request, defaults: Vec<(Name, Value)>) {
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

/// A response of a subscription as a payload. An event without data ends the operation: to skip
/// it would lose it, so the client is told and resumes.
fn payload(mut response: Response) -> Payload {
    if response.data == Value::Null && !response.errors.is_empty() {
        response.errors.iter_mut().for_each(name_complexity);
        complete(&mut response);
        return match serde_json::to_vec(&response.errors) {
            Ok(errors) => Payload::Error(errors.into()),
            Err(_) => error_payload(&ApiError::new(
                ErrorCode::Internal,
                "The server failed to write its answer.",
            )),
        };
    }
    crate::http::response::payload(response)
}

/// Gives the error of the complexity limit its code: async-graphql has only a message for it.
fn name_complexity(error: &mut ServerError) {
    if error.path.is_empty() && error.message == "Query is too complex." {
        "The operation asks for too many objects at once. Ask for smaller pages."
            .clone_into(&mut error.message);
        let extensions = error.extensions.get_or_insert_default();
        extensions.set("code", ErrorCode::QueryTooComplex.as_str());
    }
}

fn authentication(request: &Request) -> Authentication {
    request
        .data
        .get(&TypeId::of::<Authentication>())
        .and_then(|data| data.downcast_ref::<Authentication>())
        .cloned()
        .unwrap_or_default()
}

fn viewer(request: &Request) -> Option<&Viewer> {
    let data = request.data.get(&TypeId::of::<Authentication>())?;
    data.downcast_ref::<Authentication>()?.viewer().ok()
}
