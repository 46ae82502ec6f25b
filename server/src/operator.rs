//! The pages for operators on a listener of their own, so that what they show need not be hidden
//! from the clients' one: metrics, and health beside them.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use talksy_telemetry::{CONTENT_TYPE as PROMETHEUS, Metrics};
use tokio_util::sync::CancellationToken;

use crate::adapters::backend::{Backends, Unready};

#[derive(Clone)]
struct Pages {
    metrics: Metrics,
    backends: Backends,
    stop: CancellationToken,
}

/// `/metrics`, `/livez` and `/readyz`.
pub fn router(metrics: Metrics, backends: Backends, stop: CancellationToken) -> Router {
    Router::new()
        .route("/metrics", get(metrics_page))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(Pages {
            metrics,
            backends,
            stop,
        })
}

async fn metrics_page(State(pages): State<Pages>) -> impl IntoResponse {
    ([(CONTENT_TYPE, PROMETHEUS)], pages.metrics.render())
}

async fn ready(State(pages): State<Pages>) -> (StatusCode, String) {
    let reason = if pages.stop.is_cancelled() {
        "stopping".to_owned()
    } else {
        let unready = pages.backends.unready();
        if unready.is_empty() {
            return (StatusCode::OK, "ok\n".to_owned());
        }
        let lines: Vec<_> = unready.iter().map(Unready::to_string).collect();
        lines.join("\n")
    };
    (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n"))
}
