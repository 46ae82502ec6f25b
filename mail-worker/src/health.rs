//! The worker's health and metrics over HTTP, for container platforms and Prometheus.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use talksy_telemetry::{CONTENT_TYPE as PROMETHEUS, Metrics};
use tokio::sync::watch;

use crate::amqp::ConsumerState;

/// `/livez`: the process answers. `/readyz`: it takes jobs, or 503 and why not. `/metrics`, where
/// they are collected.
pub fn router(state: watch::Receiver<ConsumerState>, metrics: Option<&Metrics>) -> Router {
    let pages = match metrics.cloned() {
        None => Router::new(),
        Some(metrics) => Router::new().route(
            "/metrics",
            get(async move || ([(CONTENT_TYPE, PROMETHEUS)], metrics.render())),
        ),
    };
    pages
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
