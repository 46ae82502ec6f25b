//! The worker's health over HTTP, for container platforms.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::sync::watch;

use crate::amqp::ConsumerState;

/// `/livez`: the process answers. `/readyz`: it takes jobs, or 503 and why not.
pub fn router(state: watch::Receiver<ConsumerState>) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(state)
}

async fn ready(State(state): State<watch::Receiver<ConsumerState>>) -> (StatusCode, String) {
    match &*state.borrow() {
        ConsumerState::Consuming => (StatusCode::OK, "ok\n".to_owned()),
        ConsumerState::Waiting(reason) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("waiting for RabbitMQ: {reason}\n"),
        ),
    }
}
