//! Runs operations on the schema. Here, and only here, what is asked becomes what is answered.

use std::sync::Arc;

use async_graphql::parser::types::{OperationDefinition, VariableDefinition};
use async_graphql::{Name, Positioned, Request, Response, Value};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use talksy_domain::services::Services;
use talksy_schema::loaders::{Asker, loaders};
use talksy_schema::schema::{TalksySchema, sdl};
use talksy_schema::sharing::{Rendered, SharedOperation};

use super::field_order::Order;
use super::guard::OperationType;
use super::null_propagation::NullRules;
use super::operation::{Operation, Prepared};
use super::response::{Answer, Payload};
use super::sender_cache::SenderCache;
use super::shared_execution::SharedExecution;

/// Executes requests for the transports.
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
        let asker = Asker::from(&prepared.authentication);
        let mut request = prepared.into_request();
        add_defaults(&mut request, operation.definition());
        let (loaders, batches) = loaders(self.services.clone(), asker, remember);
        let execution = self.schema.execute(request.data(loaders));
        self.answer(&operation, batches.run(execution).await)
    }

    /// Runs a subscription.
    pub fn subscribe(self: &Arc<Self>, prepared: Prepared) -> BoxStream<'static, Payload> {
        let operation = &prepared.operation;
        let shared = SharedOperation::of(
            operation.document().text(),
            operation.document().document(),
            operation.definition(),
            operation.name(),
            &prepared.variables,
        );
        let payloads = match shared {
            Some(shared) => SharedExecution::new(Arc::clone(self), shared, prepared).run(),
            None => self.subscribe_alone(prepared),
        };
        until_error(payloads)
    }

    /// A subscription that is executed for this subscriber alone.
    fn subscribe_alone(self: &Arc<Self>, prepared: Prepared) -> BoxStream<'static, Payload> {
        let operation = prepared.operation.clone();
        let asker = Asker::from(&prepared.authentication);
        let responses = self.responses(prepared.into_request(), &operation, asker);
        let executor = Arc::clone(self);
        responses
            .map(move |response| executor.payload(&operation, response))
            .boxed()
    }

    /// The responses of a subscription.
    pub(super) fn responses(
        &self,
        mut request: Request,
        operation: &Operation,
        asker: Asker,
    ) -> BoxStream<'static, Response> {
        add_defaults(&mut request, operation.definition());
        // Nothing is remembered from one event to the next.
        let (loaders, batches) = loaders(self.services.clone(), asker, false);
        let responses = self.schema.execute_stream(request.data(loaders));
        batches.run_stream(responses).boxed()
    }

    /// The response of a subscription to one event, for one viewer or for all.
    pub(super) async fn response_to(
        &self,
        event: &Rendered,
        mut request: Request,
        operation: &Operation,
        asker: Asker,
    ) -> Option<Response> {
        add_defaults(&mut request, operation.definition());
        let (loaders, batches) = loaders(self.services.clone(), asker, true);
        for person in event.people() {
            if let Some(user) = self.senders.get(&self.services, person).await {
                loaders.feed_one(person, user);
            }
        }
        let request = request.data(event.clone()).data(loaders);
        let mut responses = self.schema.execute_stream(request);
        batches.run(responses.next()).await
    }

    /// How many profiles were changed in this process.
    pub(super) fn changed_profiles(&self) -> u64 {
        self.services.users.changed_profiles()
    }

    /// Puts a response right where async-graphql leaves the specification, and completes it.
    pub(super) fn answer(&self, operation: &Operation, mut response: Response) -> Answer {
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
    pub(super) fn payload(&self, operation: &Operation, response: Response) -> Payload {
        let mut answer = self.answer(operation, response);
        if answer.is_without_data() {
            return answer.end();
        }
        answer.payload()
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
