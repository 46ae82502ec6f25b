//! The application: the services over their adapters, as the transports see them, and the
//! process's way from a configuration to a served listener.

mod policies;

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use talksy_domain::attachments::{Located, ObjectBytes, Presented, Upload};
use talksy_domain::auth::{AuthError, TokenProblem};
use talksy_domain::clock::{Clock, Entropy, SystemClock, SystemEntropy, Timestamp};
use talksy_domain::error::{ApiError, ErrorCode};
use talksy_domain::events::Bus;
use talksy_domain::exports::Entries;
use talksy_domain::services::Services;
use talksy_domain::viewer::Viewer;
use talksy_schema::schema;
use talksy_telemetry::Metrics;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::adapters::backend::StartFailure;
use crate::adapters::{Adapters, StartError, observed};
use crate::config::{Config, HttpConfig};
use crate::graphql::response::error_payload;
use crate::graphql::{Answer, ExecutionLimits, Executor, Payload, Prepared, Start};
use crate::http::listener::serve;
use crate::http::{self, Application, KeyEpoch};
use crate::lifecycle::Shutdown;
use crate::metrics::{Held, PRESENCE_CONNECTIONS};
use crate::operator;

/// What the process takes from its surroundings and a test replaces.
#[derive(Clone)]
pub struct Environment {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

impl Default for Environment {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
        }
    }
}

/// A server that is ready to serve.
pub struct Server {
    router: Router,
    adapters: Adapters,
    bus: Arc<dyn Bus>,
    services: Services,
    shutdown: Shutdown,
    http: HttpConfig,
    start_timeout: Duration,
    drain: Duration,
}

impl Server {
    /// Opens the adapters that the configuration names and puts the server on them.
    ///
    /// # Errors
    /// Where an adapter does not open.
    pub async fn build(
        config: &Config,
        environment: Environment,
        shutdown: Shutdown,
    ) -> Result<Self, StartError> {
        let adapters = Adapters::open(config, &environment).await?;
        Self::on(adapters, config, environment, shutdown)
    }

    /// Puts the server on adapters that are open. Must be called on a Tokio runtime.
    ///
    /// # Errors
    /// Where the trusted documents cannot be used.
    pub fn on(
        adapters: Adapters,
        config: &Config,
        environment: Environment,
        shutdown: Shutdown,
    ) -> Result<Self, StartError> {
        let ports = observed(adapters.ports.clone());
        let bus = Arc::clone(&ports.bus);
        let budgets = policies::budgets(Arc::clone(&ports.limiter), config);
        let services = Services::new(ports, config.into());
        let limits = ExecutionLimits::from(config);
        let executor = Executor::new(services.clone(), budgets, limits);
        let app = App {
            executor: Arc::new(executor),
            services: services.clone(),
            adapters: adapters.clone(),
            upload_timeout: config.attachments.upload_timeout,
            largest_upload: config
                .attachments
                .max_file_bytes
                .max(config.attachments.max_image_bytes),
            clock: environment.clock,
            entropy: environment.entropy,
        };
        let mut settings = config.http.clone();
        settings.introspection = settings.introspection.of(config.is_public());
        let router = http::router(
            Arc::new(app),
            settings,
            shutdown.soft().clone(),
            shutdown.tasks().clone(),
        )?;
        Ok(Self {
            router,
            adapters,
            bus,
            services,
            shutdown,
            http: config.http.clone(),
            start_timeout: config.start.timeout,
            drain: config.shutdown.drain,
        })
    }

    /// Serves until the shutdown begins, then finishes what runs, and closes the adapters. Until
    /// all backends are there, requests are answered with `UNAVAILABLE`.
    ///
    /// # Errors
    /// Where a backend refuses or is not there in time.
    pub async fn serve(self, listener: TcpListener) -> Result<(), StartFailure> {
        let starting = self.start();
        let dispatching = self.adapters.dispatch(Arc::clone(&self.bus));
        let stop = self.shutdown.soft().clone();
        let presence = Arc::clone(&self.services.presence);
        let until = stop.clone();
        self.shutdown
            .spawn(async move { presence.run(until).await });
        self.adapters.start(&self.shutdown);
        self.run_jobs();
        let (backends, until) = (self.adapters.backends.clone(), stop.clone());
        self.shutdown
            .spawn(async move { backends.watch(until).await });

        let serving = serve(listener, self.router, self.http, stop.clone());
        let serving = tokio::spawn(serving);
        stop.cancelled().await;
        // One time for all: what requests take of it, tasks no longer have.
        let deadline = Instant::now() + self.drain;
        if timeout_at(deadline, serving).await.is_err() {
            tracing::debug!("requests were cut off");
        }
        let left = deadline.saturating_duration_since(Instant::now());
        self.shutdown.finish(left).await;
        self.adapters.close(dispatching).await;
        // Where the task was cut off, no backend has failed.
        starting.await.unwrap_or(Ok(()))
    }

    /// The services behind the routes, for who serves them by other transports beside.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// The same server, with further pages ahead of its own.
    #[must_use]
    pub fn with_pages(mut self, pages: Router) -> Self {
        self.router = pages.fallback_service(self.router);
        self
    }

    /// The pages for operators, for a listener of their own.
    pub fn operator_pages(&self, metrics: Metrics) -> Router {
        let stop = self.shutdown.soft().clone();
        operator::router(metrics, self.adapters.backends.clone(), stop)
    }

    /// Runs jobs from when on the store has been prepared.
    fn run_jobs(&self) {
        let (jobs, backends) = (self.services.jobs.clone(), self.adapters.backends.clone());
        let (soft, hard) = (self.shutdown.soft().clone(), self.shutdown.hard().clone());
        self.shutdown.spawn(async move {
            tokio::select! {
                () = backends.prepared() => jobs.run(soft, hard).await,
                () = soft.clone().cancelled_owned() => {}
            }
        });
    }

    /// Prepares the backends beside the listener, which answers meanwhile. A failure stops the
    /// server.
    fn start(&self) -> JoinHandle<Result<(), StartFailure>> {
        let (backends, shutdown) = (self.adapters.backends.clone(), self.shutdown.clone());
        let timeout = self.start_timeout;
        tokio::spawn(async move {
            let prepared = tokio::select! {
                prepared = backends.prepare(timeout) => prepared,
                () = shutdown.soft().cancelled() => return Ok(()),
            };
            if prepared.is_err() {
                shutdown.begin();
            }
            prepared
        })
    }
}

impl App {
    /// Nothing reaches a backend that has not been prepared: a store without its indexes would
    /// take what it should refuse.
    fn prepared(&self) -> Result<(), ApiError> {
        if self.adapters.backends.are_prepared() {
            return Ok(());
        }
        Err(ApiError::new(
            ErrorCode::Unavailable,
            "The server is starting. Try again shortly.",
        ))
    }
}

/// What the transports see.
struct App {
    executor: Arc<Executor>,
    services: Services,
    adapters: Adapters,
    upload_timeout: Duration,
    largest_upload: u64,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

#[async_trait]
impl Application for App {
    fn key_epoch(&self) -> KeyEpoch {
        KeyEpoch(self.adapters.keys.revocations())
    }

    async fn authenticate(&self, token: &str) -> Result<Viewer, ApiError> {
        self.prepared()?;
        Ok(self.services.auth.authenticate(token).await?)
    }

    async fn refusal(&self, prepared: &mut Prepared) -> Option<Answer> {
        self.executor.refusal(prepared).await
    }

    async fn execute(&self, prepared: Prepared, start: Start) -> Option<Answer> {
        match self.prepared() {
            Ok(()) => self.executor.execute(prepared, start).await,
            Err(refusal) => Some(Answer::from(&refusal)),
        }
    }

    fn subscribe(&self, prepared: Prepared) -> BoxStream<'static, Payload> {
        match self.prepared() {
            Ok(()) => self.executor.subscribe(prepared),
            Err(refusal) => stream::iter([error_payload(&refusal)]).boxed(),
        }
    }

    async fn receive_upload(
        &self,
        presented: Presented,
        length: Option<u64>,
        upload: Upload,
    ) -> Result<(), ApiError> {
        self.prepared()?;
        let attachments = &self.services.attachments;
        attachments.receive(&presented, length, upload).await?;
        Ok(())
    }

    fn upload_timeout(&self) -> Duration {
        self.upload_timeout
    }

    fn largest_upload(&self) -> u64 {
        self.largest_upload
    }

    async fn locate_attachment(&self, presented: Presented) -> Result<Located, ApiError> {
        self.prepared()?;
        Ok(self.services.attachments.locate(&presented).await?)
    }

    async fn read_attachment(
        &self,
        located: &Located,
        range: Range<u64>,
    ) -> Result<ObjectBytes, ApiError> {
        Ok(self.services.attachments.read(located, range).await?)
    }

    async fn export(&self, viewer: &Viewer) -> Result<Entries, ApiError> {
        self.prepared()?;
        Ok(self.services.exports.begin(viewer).await?)
    }

    fn connected(&self, viewer: &Viewer) -> Box<dyn Any + Send> {
        let counted = Held::new(metrics::gauge!(PRESENCE_CONNECTIONS));
        Box::new((self.services.presence.connect(viewer), counted))
    }

    fn revoked(
        &self,
        viewer: &Viewer,
        since: KeyEpoch,
    ) -> BoxFuture<'static, Result<(), ApiError>> {
        let services = &self.services;
        let (feeds, auth) = (services.feeds.clone(), Arc::clone(&services.auth));
        let keys_revoked = self.adapters.keys.revoked(since.0);
        let viewer = *viewer;
        Box::pin(async move {
            let end = tokio::select! {
                biased;
                // Keys first: the session of a forged token may be alive.
                () = keys_revoked => return Err(AuthError::from(TokenProblem::Expired).into()),
                end = feeds.session_end(&viewer) => end,
            };
            // Whoever is told so is known to be signed out: the commit says it, ahead of the answer to
            // the request that ended the session.
            // In a box, so that who waits for the end needs no room for it.
            Box::pin(auth.forget(viewer.session_id)).await;
            end.map_err(|error| ApiError::from(&error))
        })
    }

    fn unready(&self) -> Vec<String> {
        let unready = self.adapters.backends.unready().into_iter();
        unready.map(|unready| unready.part).collect()
    }

    fn jwks(&self) -> String {
        self.adapters.ports.tokens.jwks()
    }

    fn sdl(&self) -> String {
        schema::sdl()
    }

    fn request_id(&self) -> String {
        let mut random = [0; 10];
        self.entropy.fill(&mut random);
        let millis = u64::try_from(self.clock.now().as_millis()).unwrap_or_default();
        let id = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
        id.simple().to_string()
    }

    fn secret(&self) -> String {
        let mut random = [0; 20];
        self.entropy.fill(&mut random);
        hex::encode(random)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
