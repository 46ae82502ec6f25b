//! The transports: one GraphQL schema over HTTP, Server-Sent Events and WebSocket, and the small
//! pages beside it.
//!
//! Owns protocols and status codes; its limits are declared with the other settings, in `config`.
//! Must not know the schema's types, the services or the adapters: all of that is behind
//! [`Application`]. What a request means, and how its answer becomes bytes, is
//! [`crate::graphql`]'s.

pub mod application;
mod attachments;
mod body;
pub mod client;
mod compression;
mod connection_io;
mod connections;
mod deadline;
mod delivery;
mod embedded;
mod event_queue;
mod executions;
mod export;
mod form;
mod framing;
mod graphiql;
mod graphql;
pub(crate) mod listener;
mod media;
mod networks;
mod observe;
mod open_stream;
mod operations;
mod origins;
mod pages;
mod pieces;
mod reply;
mod reservations;
mod shares;
mod single_connection;
mod sse;
mod stalled;
mod uploads;
pub(crate) mod web;
mod ws;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, put};
use bytes::Bytes;
use http::header::X_CONTENT_TYPE_OPTIONS;
use http::{HeaderValue, Method};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use tower_http::set_header::SetResponseHeaderLayer;

pub use application::{Application, KeyEpoch};
pub(crate) use connections::Cut;
pub(crate) use export::{BROKEN_OFF, COMPLETE};
use reservations::{Bounds, Reservations};
pub(crate) use shares::Bound;

use self::export::Exports;
use self::operations::Operations;
use self::shares::Shares;
use self::stalled::Stalled;
use self::ws::SendQueue;
use crate::config::HttpConfig;
use crate::graphql::metering::Names;
use crate::graphql::{Documents, DocumentsError, Guard};
use crate::metrics::SOCKETS_STALLED_BYTES;

/// What all transports share.
struct Transports {
    app: Arc<dyn Application>,
    config: HttpConfig,
    documents: Documents,
    sdl: Bytes,
    names: Arc<Names>,
    /// The places of sockets and event streams.
    shares: Arc<Shares>,
    /// How many operations each has on them.
    operations: Arc<Operations>,
    /// What waits for sockets that are not read.
    stalled: Arc<Stalled<SendQueue>>,
    /// The archives that are being sent.
    exports: Arc<Exports>,
    /// The streams of graphql-sse's "single connection" mode.
    reservations: Arc<Reservations>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

/// All routes of the server.
///
/// Serve it with `into_make_service_with_connect_info::<SocketAddr>()`, so that the peer's
/// address is known, and with `TCP_NODELAY`.
///
/// To stop: stop accepting, cancel `shutdown`, close `tasks` and wait for it. Sockets then send
/// what is queued and close with 1012, event streams end, and mutations that have begun finish;
/// `tasks` is empty when all of them have.
///
/// # Errors
/// Where the registry of trusted documents cannot be used.
pub fn router(
    app: Arc<dyn Application>,
    mut config: HttpConfig,
    shutdown: CancellationToken,
    tasks: TaskTracker,
) -> Result<Router, DocumentsError> {
    let sdl = app.sdl();
    let guard = Guard::new(config.query.clone(), &sdl, config.introspection.is_on());
    let documents = Documents::open(guard, &config.documents)?;
    // Where nothing runs but what is registered, nobody looks at the schema.
    let trusted_only = config.documents.trusted_only;
    config.graphiql &= !trusted_only;
    config.web_chat &= !trusted_only;
    let names = Arc::new(Names::new(&sdl));
    let cors = cors(&config.cors_origins);
    let (graphiql, web_chat) = (config.graphiql, config.web_chat);
    let bounds = Bounds {
        bytes: config.websocket.max_queued_bytes,
        executions: config.websocket.max_executions,
    };
    let reservations = Arc::new(Reservations::new(config.max_reservations, bounds));
    let shares = Shares::new(&config);
    let operations = Operations::new(&config.shares);
    let exports = Exports::new(config.max_exports);
    let stalled = Stalled::new(config.websocket.max_stalled_bytes, SOCKETS_STALLED_BYTES);
    let server = Arc::new(Transports {
        app,
        config,
        documents,
        sdl: sdl.into(),
        names,
        shares,
        operations,
        stalled,
        exports,
        reservations,
        shutdown,
        tasks,
    });

    let mut router = Router::new()
        .route(
            "/graphql",
            get(graphql::get)
                .post(graphql::post)
                .put(single_connection::reserve)
                .delete(single_connection::stop)
                .fallback(graphql::method_not_allowed),
        )
        .route(
            "/uploads/{attachment}",
            put(attachments::put).fallback(attachments::put_only),
        )
        .route(
            "/attachments/{attachment}/{variant}",
            get(attachments::get).fallback(attachments::get_only),
        )
        .route(
            "/export",
            get(export::get)
                .head(export::head)
                .fallback(export::get_only),
        )
        .merge(web::routes(web_chat))
        .route("/livez", get(pages::live))
        .route("/readyz", get(pages::ready))
        .route("/.well-known/jwks.json", get(pages::jwks));
    if !trusted_only {
        router = router.route("/schema.graphql", get(pages::schema));
    }
    if graphiql {
        router = router
            .route("/graphiql", get(graphiql::index))
            .route("/graphiql/", get(graphiql::index))
            .route("/graphiql/{*path}", get(graphiql::asset));
    }
    if let Some(cors) = cors {
        router = router.layer(cors);
    }
    // No browser takes an answer for anything but what it says it is.
    let nosniff = HeaderValue::from_static("nosniff");
    router = router.layer(SetResponseHeaderLayer::overriding(
        X_CONTENT_TYPE_OPTIONS,
        nosniff,
    ));
    let observe = axum::middleware::from_fn_with_state(Arc::clone(&server), observe::request);
    Ok(router.layer(observe).with_state(server))
}

/// What browsers are told of other origins; nothing where none is configured. Entries that are
/// no header values match no origin.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| origin.parse().ok()))
    };
    Some(
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers([observe::REQUEST_ID])
            .max_age(Duration::from_hours(1)),
    )
}
