//! The routes that a demo has beside the server's: the page with both people, each person's chat for it,
//! what the bot has done, and the sign-in by one click.
//!
//! A click is answered with a ticket: a challenge and its code, which the page exchanges as it would those
//! of a letter. It is good once, goes in bodies alone, and only a page of this server is given one: other
//! origins cannot read the answers, and a host name that was turned to this machine is refused.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::{CACHE_CONTROL, HOST, ORIGIN, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, StatusCode};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use talksy_domain::auth::AuthService;
use talksy_domain::clock::Entropy;
use talksy_domain::mail::EmailAddress;
use talksy_domain::viewer::ClientInfo;

use super::bot::{Counts, Doings};
use super::mail::Mailbox;
use super::script::Who;
use crate::http::web::{Framing, page};

/// What the routes need.
pub(super) struct Stage {
    auth: Arc<AuthService>,
    mailbox: Arc<Mailbox>,
    doings: Arc<Doings>,
    /// Tells one run from the next: browsers keep what the last one has told them.
    run: String,
}

impl Stage {
    pub(super) fn new(
        auth: Arc<AuthService>,
        mailbox: Arc<Mailbox>,
        doings: Arc<Doings>,
        entropy: &dyn Entropy,
    ) -> Arc<Self> {
        let mut random = [0; 8];
        entropy.fill(&mut random);
        Arc::new(Self {
            auth,
            mailbox,
            doings,
            run: hex::encode(random),
        })
    }
}

/// Whom a page wants to be.
#[derive(Deserialize)]
struct Wanted {
    r#as: String,
}

/// What signs them in.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    email: &'static str,
    challenge: String,
    code: String,
}

/// What the page shows of the demo itself.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Playing {
    run: String,
    /// Whether the chats are there.
    is_ready: bool,
    bot: Counts,
}

/// The routes; all others are the server's.
pub(super) fn router(stage: Arc<Stage>) -> Router {
    Router::new()
        .route("/", get(async || Redirect::temporary("/demo")))
        .route("/demo", get(both))
        .route("/demo/pane", get(one))
        .route("/demo/state", get(playing))
        .route("/demo/ticket", post(ticket))
        .layer(axum::middleware::from_fn(on_this_machine))
        .with_state(stage)
}

/// `/demo`: both people.
async fn both(headers: HeaderMap) -> Response {
    page("demo.html", Framing::Frames, &headers)
}

/// `/demo/pane?as=…`: the chat of one of them, in the page or on its own.
async fn one(headers: HeaderMap) -> Response {
    page("pane.html", Framing::Framed, &headers)
}

/// `/demo/state`.
async fn playing(State(stage): State<Arc<Stage>>) -> Response {
    Json(Playing {
        run: stage.run.clone(),
        is_ready: stage.doings.is_open(),
        bot: stage.doings.watch(),
    })
    .into_response()
}

/// `/demo/ticket`.
async fn ticket(
    State(stage): State<Arc<Stage>>,
    headers: HeaderMap,
    // A page of elsewhere cannot send JSON without asking first, which is refused.
    Json(wanted): Json<Wanted>,
) -> Response {
    if !is_own_page(&headers) {
        return (
            StatusCode::FORBIDDEN,
            "Only the demo's page gets tickets.\n",
        )
            .into_response();
    }
    if !stage.doings.is_open() {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "The chats are being made.\n",
        )
            .into_response();
    }
    let Some(who) = Who::of_page(&wanted.r#as) else {
        return (StatusCode::NOT_FOUND, "Nobody of this name is there.\n").into_response();
    };
    let Ok(address) = EmailAddress::parse(who.address()) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let client = ClientInfo::default();
    let asked = stage.mailbox.ticket(&stage.auth, address, &client);
    match asked.await {
        Ok(ticket) => Json(Told {
            email: who.address(),
            challenge: ticket.sent.challenge.expose_secret().to_owned(),
            code: ticket.code,
        })
        .into_response(),
        Err(error) => {
            tracing::debug!(%error, "no ticket was made");
            StatusCode::TOO_MANY_REQUESTS.into_response()
        }
    }
}

/// Whether the request comes from a page of the host that it asks: browsers say where a POST comes from.
fn is_own_page(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match (text(ORIGIN), text(HOST)) {
        (Some(origin), Some(host)) => origin.strip_prefix("http://") == Some(host),
        _ => false,
    }
}

/// Answers for the names of this machine alone, as nothing that a cache keeps.
async fn on_this_machine(request: Request, next: Next) -> Response {
    let host = request
        .headers()
        .get(HOST)
        .and_then(|value| value.to_str().ok());
    if !host.is_some_and(is_loopback_name) {
        return (
            StatusCode::FORBIDDEN,
            "The demo is for this machine alone.\n",
        )
            .into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(X_CONTENT_TYPE_OPTIONS, nosniff);
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Whether a `Host` names this machine without asking anybody: another name may lead here for a page that
/// means to read what is here.
fn is_loopback_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine_are_those_that_nobody_else_has() {
        for host in [
            "127.0.0.1:4000",
            "localhost:4000",
            "LOCALHOST",
            "[::1]:4000",
            "[::1]",
            "127.0.0.2",
        ] {
            assert!(is_loopback_name(host), "{host}");
        }
        for host in [
            "",
            "example.org:4000",
            "localhost.example.org",
            "10.0.0.1:4000",
            "0.0.0.0",
            "[::2]:1",
        ] {
            assert!(!is_loopback_name(host), "{host}");
        }
    }

    #[test]
    fn a_page_of_elsewhere_gets_no_ticket() {
        let asked = |origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("127.0.0.1:4000"));
            if let Some(origin) = origin {
                headers.insert(ORIGIN, HeaderValue::from_static(origin));
            }
            is_own_page(&headers)
        };
        assert!(asked(Some("http://127.0.0.1:4000")));
        for origin in [
            None,
            Some("null"),
            Some("http://127.0.0.1:4001"),
            Some("http://example.org"),
        ] {
            assert!(!asked(origin), "{origin:?}");
        }
    }
}
