//! The peer of the server's transports: the product's own schema on the product's own services,
//! served by async-graphql-axum's handlers as its documentation shows them. Beside them stand only
//! what the schema cannot do without: the sign-in, by the header `Authorization` or the payload of
//! `connection_init`, and the loaders of each request.

use std::any::TypeId;
use std::future::ready;
use std::sync::Arc;

use async_graphql::http::ALL_WEBSOCKET_PROTOCOLS;
use async_graphql::{Data, Executor, Request, Response};
use async_graphql_axum::{GraphQL, GraphQLProtocol, GraphQLWebSocket};
use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Request as HttpRequest, State};
use axum::response::{IntoResponse as _, Response as HttpResponse};
use axum::routing::{any, get};
use axum::serve::ListenerExt as _;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use talksy_domain::services::Services;
use talksy_domain::viewer::{Authentication, ClientInfo};
use talksy_schema::loaders::{Asker, loaders};
use talksy_schema::schema::{TalksySchema, schema};
use talksy_server::adapters::Adapters;
use talksy_server::app::{Environment, Server};
use talksy_server::cli::SettingsArgs;
use talksy_server::config::Config;
use talksy_server::lifecycle::Shutdown;
use tokio::net::TcpListener;
use tower::ServiceExt as _;

use super::outcome::{Context as _, Outcome};

/// Serves until a signal.
pub(super) async fn serve(settings: &SettingsArgs) -> Outcome<()> {
    rlimit::increase_nofile_limit(u64::MAX).context("cannot open more files")?;
    let config = Config::load(&settings.sources())?;
    let shutdown = Shutdown::new();
    shutdown.on_signals()?;
    let adapters = Adapters::open(&config, &Environment::default()).await?;
    let backends = adapters.backends.clone();
    let server = Server::on(adapters, &config, Environment::default(), shutdown.clone())?;
    let services = server.services().clone();
    let stock = Stock {
        schema: schema(services.clone()),
        services,
        authentication: Authentication::Anonymous,
    };
    let are_prepared = move || {
        ready(if backends.are_prepared() {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        })
    };
    let router = Router::new()
        .route("/graphql", any(http))
        .route("/ws", get(socket))
        .with_state(stock)
        .route("/readyz", get(are_prepared));
    let listener = TcpListener::bind(config.listen).await?;
    let listener = listener.tap_io(|stream| {
        // Frames are small and wait for nobody.
        let _ = stream.set_nodelay(true);
    });
    let until = shutdown.soft().clone().cancelled_owned();
    let stock = tokio::spawn(async move {
        axum::serve(listener, router)
            .with_graceful_shutdown(until)
            .await
    });
    // The server's own transports are there, too, where nobody comes; its jobs, mails and events are
    // those of the services.
    let own = TcpListener::bind(("127.0.0.1", 0)).await?;
    server.serve(own).await?;
    // Sockets end with the process.
    stock.abort();
    Ok(())
}

/// The schema for one request or socket.
#[derive(Clone)]
struct Stock {
    schema: TalksySchema,
    services: Services,
    authentication: Authentication,
}

impl Stock {
    /// The same, for who has this token.
    async fn signed_in(self, token: Option<&str>) -> Self {
        let authentication = match token {
            None => Authentication::Anonymous,
            Some(token) => match self.services.auth.authenticate(token).await {
                Ok(viewer) => Authentication::SignedIn(viewer),
                Err(error) => Authentication::Refused(error.into()),
            },
        };
        Self {
            authentication,
            ..self
        }
    }
}

impl Executor for Stock {
    async fn execute(&self, request: Request) -> Response {
        let asker = Asker::from(&self.authentication);
        let (loaders, batches) = loaders(self.services.clone(), asker, false);
        let request = request.data(self.authentication.clone());
        let request = request.data(ClientInfo::default()).data(loaders);
        batches.run(self.schema.execute(request)).await
    }

    fn execute_stream(
        &self,
        request: Request,
        session: Option<Arc<Data>>,
    ) -> BoxStream<'static, Response> {
        let session = session.unwrap_or_default();
        let known = session.get(&TypeId::of::<Authentication>());
        let known = known.and_then(|known| known.downcast_ref::<Authentication>());
        let authentication = known.unwrap_or(&self.authentication).clone();
        let asker = Asker::from(&authentication);
        let (loaders, batches) = loaders(self.services.clone(), asker, false);
        let request = request.data(authentication);
        let request = request.data(ClientInfo::default()).data(loaders);
        let responses = self
            .schema
            .execute_stream_with_session_data(request, session);
        batches.run_stream(responses).boxed()
    }
}

/// `GET` and `POST`.
async fn http(
    State(stock): State<Stock>,
    headers: HeaderMap,
    request: HttpRequest,
) -> HttpResponse {
    let token = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let stock = stock.signed_in(token.and_then(bearer)).await;
    match GraphQL::new(stock).oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// The WebSocket. `GraphQLSubscription` is this, but for the sign-in.
async fn socket(
    State(stock): State<Stock>,
    protocol: GraphQLProtocol,
    upgrade: WebSocketUpgrade,
) -> HttpResponse {
    let upgrade = upgrade.protocols(ALL_WEBSOCKET_PROTOCOLS);
    let upgraded = upgrade.on_upgrade(move |socket| {
        let signing_in = stock.clone();
        let sign_in = async move |payload: Value| {
            let token = payload["authorization"].as_str().and_then(bearer);
            let stock = signing_in.signed_in(token).await;
            if let Authentication::Refused(error) = &stock.authentication {
                return Err(async_graphql::Error::new(error.message.clone()));
            }
            let mut data = Data::default();
            data.insert(stock.authentication);
            Ok(data)
        };
        GraphQLWebSocket::new(socket, stock, protocol)
            .on_connection_init(sign_in)
            .serve()
    });
    upgraded.into_response()
}

fn bearer(value: &str) -> Option<&str> {
    value.strip_prefix("Bearer ")
}
