//! Runs operations on the schema. Here, and only here, an event becomes the bytes that
//! subscribers receive; those of a shared operation are made once and given to all.

mod order;

use std::any::TypeId;
use std::sync::Arc;

use async_graphql::parser::types::{ExecutableDocument, OperationDefinition};
use async_graphql::{Name, Request, Response, ServerError, Value};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use talksy_schema::context::{Authentication, ClientInfo, Viewer};
use talksy_schema::error::{ErrorCode, Refusal};
use talksy_schema::id;
use talksy_schema::live::{Feed as _, LiveError, MessageFeed, Published, RenderKey};
use talksy_schema::loaders::loaders;
use talksy_schema::messages::graphql::{Rendered, SharedOperation};
use talksy_schema::schema::TalksySchema;
use talksy_schema::services::Services;

use crate::http::errors::complete;
use crate::http::guard::OperationType;
use crate::http::response::error_payload;
use crate::http::{CheckedDocument, Payload};
use order::Order;

/// Executes requests for the transports.
#[derive(Clone)]
pub struct Execution {
    schema: TalksySchema,
    services: Services,
}

impl Execution {
    /// Runs operations on this schema.
    pub fn new(schema: TalksySchema, services: Services) -> Self {
        Self { schema, services }
    }

    /// Runs a query or mutation.
    pub async fn execute(&self, mut request: Request) -> Response {
        let name = request.operation_name.clone();
        let (kind, order) = match request.parsed_query() {
            Ok(document) => (
                operation(document, name.as_deref()).map(|operation| operation.ty),
                Order::of(document, name.as_deref()),
            ),
            Err(_) => (None, Order::default()),
        };
        // What a mutation changes must be read anew by the fields behind it.
        let remember = kind == Some(OperationType::Query);
        let loaders = loaders(self.services.clone(), viewer(&request).copied(), remember);
        let mut response = self.schema.execute(request.data(loaders)).await;
        for error in &mut response.errors {
            name_complexity(error);
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
            None => self.subscribe_alone(request, &document),
        }
    }

    /// A subscription that is executed for this subscriber alone.
    fn subscribe_alone(
        &self,
        request: Request,
        document: &CheckedDocument,
    ) -> BoxStream<'static, Payload> {
        let order = Order::of(document.document(), request.operation_name.as_deref());
        // Nothing is remembered from one event to the next.
        let loaders = loaders(self.services.clone(), viewer(&request).copied(), false);
        let responses = self.schema.execute_stream(request.data(loaders));
        until_error(responses.map(move |response| payload(response, &order)))
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
        let live = self.services.live.clone();
        let payloads = stream::once(async move {
            let opened = async {
                let viewer = *authentication.viewer()?;
                let chat = id::parse(&operation.chat_id, "chatId")
                    .map_err(|invalid| Refusal::from(&invalid))?;
                Ok(live
                    .messages(&viewer, chat, operation.after.as_deref())
                    .await?)
            };
            match opened.await {
                Ok(feed) => renderer.run(feed).left_stream(),
                Err(refusal) => {
                    let refusal: Refusal = refusal;
                    stream::iter([error_payload(&refusal)]).right_stream()
                }
            }
        });
        until_error(payloads.flatten())
    }
}

/// The operation that a request with this `operationName` runs.
fn operation<'a>(
    document: &'a ExecutableDocument,
    name: Option<&str>,
) -> Option<&'a OperationDefinition> {
    let mut operations = document.operations.iter();
    let chosen = operations.find(|(known, _)| name.is_none() || known.map(Name::as_str) == name);
    chosen.map(|(_, operation)| &operation.node)
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
                Err(error) => error_payload(&Refusal::from(error)),
            };
            Some((payload, state))
        })
        .boxed()
    }

    /// The message's payload: made by the first subscriber who comes to it.
    async fn payload(&self, message: &Arc<Published>) -> Payload {
        let made = message.rendered(self.key, async {
            match self.render(message).await {
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
        let mut request = Request::new(template.document.text().as_ref())
            .variables(template.variables.clone())
            .data(Rendered(Arc::clone(message)))
            .data(Authentication::Anonymous)
            .data(ClientInfo::default())
            .data(loaders(self.execution.services.clone(), None, false));
        request.operation_name.clone_from(&template.operation_name);
        request.set_parsed_query(template.document.document().clone());
        match self.execution.schema.execute_stream(request).next().await {
            Some(response) => {
                let name = template.operation_name.as_deref();
                payload(response, &Order::of(template.document.document(), name))
            }
            None => error_payload(&LiveError::NoChat.into()),
        }
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
fn payload(mut response: Response, order: &Order) -> Payload {
    if response.data == Value::Null && !response.errors.is_empty() {
        response.errors.iter_mut().for_each(name_complexity);
        complete(&mut response);
        return match serde_json::to_vec(&response.errors) {
            Ok(errors) => Payload::Error(errors.into()),
            Err(_) => error_payload(&Refusal::new(
                ErrorCode::Internal,
                "The server failed to write its answer.",
            )),
        };
    }
    order.apply(&mut response.data);
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
