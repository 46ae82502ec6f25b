//! Runs operations on the schema. Here, and only here, what is asked becomes what is answered.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::parser::types::{OperationDefinition, VariableDefinition};
use async_graphql::{Name, Positioned, Request, Response, Value};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use talksy_domain::error::ApiError;
use talksy_domain::pausing::{self, Held};
use talksy_domain::services::Services;
use talksy_domain::viewer::{Authentication, ClientInfo};
use talksy_schema::loaders::{Asker, loaders};
use talksy_schema::schema::{TalksySchema, sdl, validated_schema, validated_schema_with};
use talksy_schema::sharing::{Rendered, SharedOperation};

use super::budget::Budgets;
use super::cost::Cost;
use super::event_costs::{Account, Charged, Price, values};
use super::field_order::Order;
use super::guard::OperationType;
use super::meter::{Meter, Metering};
use super::metering;
use super::null_propagation::NullRules;
use super::operation::{Operation, Prepared};
use super::response::{Answer, Payload, error_payload};
use super::sender_cache::SenderCache;
use super::shared_execution::SharedExecution;
use super::start::Start;
use super::too_much::{timed_out, too_large};
use super::turns::{Turn, Turns};
use super::validation::Validator;

/// Executes requests for the transports.
pub struct Executor {
    validator: Validator,
    /// For operations that are valid: it does not look at that.
    schema: TalksySchema,
    /// The same, for answers that may be too large: their bytes are counted as they are made.
    metered: TalksySchema,
    services: Services,
    budgets: Budgets,
    /// Of queries, and of mutations: those wait for a store that takes no writes.
    reads: Turns,
    mutations: Turns,
    /// Of subscriptions that are shared, while they are opened: those wait for the bus.
    openings: Turns,
    limits: ExecutionLimits,
    nulls: Arc<NullRules>,
    senders: SenderCache,
}

/// What bounds an execution.
#[derive(Clone, Copy, Debug)]
pub struct ExecutionLimits {
    /// The most bytes of an answer, or of what is told of one event.
    pub max_answer_bytes: usize,
    /// The most points that an operation may cost.
    pub max_cost: u64,
    /// How many queries and mutations of one user are executed at a time.
    pub executions_per_user: usize,
    /// How many subscriptions that are shared are opened at a time, of all users together.
    pub openings: usize,
    /// How long one event of a subscription may be executed.
    pub event_timeout: Duration,
}

impl Executor {
    /// Runs operations on the schema over the services.
    pub fn new(services: Services, budgets: Budgets, limits: ExecutionLimits) -> Self {
        Self {
            validator: Validator::new(),
            schema: validated_schema(services.clone()),
            metered: validated_schema_with(services.clone(), Metering),
            services,
            budgets,
            reads: Turns::new(limits.executions_per_user),
            mutations: Turns::new(limits.executions_per_user),
            openings: Turns::within(limits.executions_per_user, limits.openings),
            limits,
            nulls: Arc::new(NullRules::new(&sdl())),
            senders: SenderCache::new(),
        }
    }

    /// Runs a query or mutation, once its user has a turn for it. The execution of a query ends where its
    /// answer is too large; a mutation is carried out whole. `None` where it was given up before it began.
    pub async fn execute(&self, prepared: Prepared, start: Start) -> Option<Answer> {
        let (cost, tell) = (prepared.cost, prepared.wants_cost());
        let (authentication, client) = (&prepared.authentication, &prepared.client);
        let spent = self.spend(authentication, client, prepared.owed, tell);
        let left = match spent.await {
            Ok(left) => left,
            Err(refusal) => return Some(Answer::from(&refusal)),
        };
        let operation = prepared.operation.clone();
        let turns = match operation.kind() {
            OperationType::Mutation => &self.mutations,
            _ => &self.reads,
        };
        let _turn = start.at(turns.take(authentication)).await?;
        let max_bytes = self.limits.max_answer_bytes.min(prepared.max_answer_bytes);
        // What a mutation changes must be read anew by the fields behind it.
        let is_query = operation.kind() == OperationType::Query;
        let asker = Asker::from(&prepared.authentication);
        let mut request = prepared.into_request();
        add_defaults(&mut request, operation.definition());
        let refused = self.validator.refusal(&operation, &request.variables).await;
        let (loaders, batches) = loaders(self.services.clone(), asker, is_query);
        let request = request.data(loaders);
        let mut answer = match (refused, meter(cost.bytes(), max_bytes)) {
            (Some(refused), _) => self.answer(&operation, refused),
            (None, None) => {
                let execution = batches.run(self.schema.execute(request));
                self.answer(&operation, execution.await)
            }
            (None, Some(meter)) => {
                let execution = self.metered.execute(request.data(meter.clone()));
                let execution = batches.run(execution);
                let response = if is_query {
                    meter.run(execution).await
                } else {
                    Some(execution.await)
                };
                self.metered_answer(&operation, response, &meter, max_bytes)
            }
        };
        if tell {
            answer.extend("cost", self.told_cost(cost, left));
        }
        Some(answer.at_most(max_bytes))
    }

    /// Why an operation of any kind cannot be executed: its document does not fit the schema. It is
    /// paid for by that, whether or not it is executed. `None` also where the budget is spent: the
    /// execution says so, and who has spent it has nothing validated.
    pub async fn refusal(&self, prepared: &mut Prepared) -> Option<Answer> {
        let (authentication, client) = (&prepared.authentication, &prepared.client);
        let spent = self.spend(authentication, client, prepared.owed, false);
        spent.await.ok()?;
        prepared.owed = 0;
        let operation = &prepared.operation;
        let mut request = operation.request().variables(prepared.variables.clone());
        add_defaults(&mut request, operation.definition());
        let response = self
            .validator
            .refusal(operation, &request.variables)
            .await?;
        let answer = self.answer(operation, response);
        metering::refused(&answer);
        Some(answer)
    }

    /// The answer of an execution whose bytes were counted.
    fn metered_answer(
        &self,
        operation: &Operation,
        response: Option<Response>,
        meter: &Meter,
        max_bytes: usize,
    ) -> Answer {
        match response {
            Some(response) if !meter.is_over() => self.answer(operation, response),
            response => {
                let told = too_large(max_bytes);
                let kind = Some(operation.kind());
                let response = told.in_place_of(response.unwrap_or_default(), kind);
                self.answer(operation, response).in_place()
            }
        }
    }

    /// Takes the points that an operation owes from the budgets of who asks; see [`Budgets::spend`].
    pub(super) async fn spend(
        &self,
        authentication: &Authentication,
        client: &ClientInfo,
        points: u64,
        tell: bool,
    ) -> Result<Option<u32>, ApiError> {
        let spent = self.budgets.spend(authentication, client, points, tell);
        spent.await
    }

    /// What `extensions.cost` says.
    fn told_cost(&self, cost: Cost, left: Option<u32>) -> Value {
        let told = [
            ("points", cost.points().into()),
            ("most", self.limits.max_cost.into()),
            ("left", left.map_or(Value::Null, Value::from)),
        ];
        Value::Object(told.map(|(name, value)| (Name::new(name), value)).into())
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
        let (authentication, client) = (prepared.authentication.clone(), prepared.client.clone());
        let account = Account::new(Arc::clone(self), authentication, client);
        let payloads = match shared {
            Some(shared) => {
                let owed = prepared.owed;
                SharedExecution::new(Arc::clone(&account), shared, prepared).run(owed)
            }
            None => subscribe_alone(Arc::clone(&account), prepared),
        };
        Charged::new(payloads, account).boxed()
    }

    /// Waits until the user may open one more subscription that many share.
    pub(super) async fn opening(
        &self,
        authentication: &Authentication,
    ) -> (Option<Turn<'_>>, Held) {
        let turn = pausing::turn(|| self.openings.take(authentication)).await;
        (turn, pausing::hold())
    }

    /// Has a subscription that many share check its document and arguments.
    pub(super) async fn open(
        &self,
        request: Request,
        operation: &Operation,
        asker: Asker,
    ) -> BoxStream<'static, Response> {
        self.responses(&self.schema, request, operation, asker)
            .await
    }

    /// The responses of a subscription, or the one that it is refused with.
    async fn responses(
        &self,
        schema: &TalksySchema,
        mut request: Request,
        operation: &Operation,
        asker: Asker,
    ) -> BoxStream<'static, Response> {
        add_defaults(&mut request, operation.definition());
        let refused = self.validator.refusal(operation, &request.variables).await;
        if let Some(refused) = refused {
            return stream::iter(Some(refused)).boxed();
        }
        // Nothing is remembered from one event to the next.
        let (loaders, batches) = loaders(self.services.clone(), asker, false);
        let responses = schema.execute_stream(request.data(loaders));
        batches.run_stream(responses).boxed()
    }

    /// The response of a subscription to one event, for one viewer or for all. It has at most
    /// `may_have` bytes. The operation was found valid as it was opened, with these variables.
    pub(super) async fn response_to(
        &self,
        event: &Rendered,
        mut request: Request,
        operation: &Operation,
        may_have: u64,
        asker: Asker,
    ) -> Option<Response> {
        add_defaults(&mut request, operation.definition());
        let (loaders, batches) = loaders(self.services.clone(), asker, true);
        let ExecutionLimits {
            max_answer_bytes,
            event_timeout,
            ..
        } = self.limits;
        let execution = async {
            for person in event.people() {
                if let Some(user) = self.senders.get(&self.services, person).await {
                    loaders.feed_one(person, user);
                }
            }
            let request = request.data(event.clone()).data(loaders);
            let Some(meter) = meter(may_have, max_answer_bytes) else {
                let mut responses = self.schema.execute_stream(request);
                return batches.run(responses.next()).await;
            };
            let mut responses = self.metered.execute_stream(request.data(meter.clone()));
            match meter.run(batches.run(responses.next())).await {
                Some(response) => response,
                None => Some(too_large(max_answer_bytes).into_response()),
            }
        };
        match tokio::time::timeout(event_timeout, execution).await {
            Ok(response) => response,
            Err(_) => Some(timed_out(event_timeout).into_response()),
        }
    }

    /// The services.
    pub(super) const fn services(&self) -> &Services {
        &self.services
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

    /// A response of a subscription as a payload. An event without data ends the operation.
    pub(super) fn payload(&self, operation: &Operation, response: Response) -> Payload {
        let answer = self.answer(operation, response);
        answer.at_most(self.limits.max_answer_bytes).event()
    }

    /// The same, with what it costs; so many bytes of arguments were read for it.
    pub(super) fn charged_payload(
        &self,
        operation: &Operation,
        response: Response,
        input: u64,
    ) -> (Payload, Price) {
        let values = values(&response.data);
        let payload = self.payload(operation, response);
        let price = Price::of_execution(values, payload.bytes(), input);
        (payload, price)
    }

    /// How many bytes what is told of one event may have.
    pub(super) fn max_event_bytes(&self) -> usize {
        self.limits.max_answer_bytes
    }

    pub(super) const fn budgets(&self) -> &Budgets {
        &self.budgets
    }
}

/// A subscription that is executed for this subscriber alone.
fn subscribe_alone(
    account: Arc<Account>,
    prepared: Prepared,
) -> BoxStream<'static, (Payload, Price)> {
    let opened = async move {
        if let Err(refusal) = account.open(prepared.owed).await {
            let refused = (error_payload(&refusal), Price::default());
            return stream::iter(Some(refused)).left_stream();
        }
        let executor = Arc::clone(account.executor());
        let operation = prepared.operation.clone();
        let asker = Asker::from(&prepared.authentication);
        let input = prepared.cost.input();
        let limits = &executor.limits;
        let meter = Meter::of_events(limits.max_answer_bytes, limits.event_timeout);
        let request = prepared.into_request().data(meter);
        let responses = executor.responses(&executor.metered, request, &operation, asker);
        responses
            .await
            .map(move |response| executor.charged_payload(&operation, response, input))
            .right_stream()
    };
    // In a box, which goes once the subscription is open.
    stream::once(Box::pin(opened)).flatten().boxed()
}

/// The meter of an answer of at most `most` bytes; none where it cannot be larger, as it has at most
/// `may_have`.
fn meter(may_have: u64, most: usize) -> Option<Meter> {
    let fits = usize::try_from(may_have).is_ok_and(|bytes| bytes <= most);
    (!fits).then(|| Meter::new(most))
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
