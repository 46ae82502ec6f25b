//! An open stream: an answer that goes on, in whatever form. It has a place among the connections,
//! keeps its user online, and ends with the token, the session and the server. What it carries is its
//! body's business.

use std::any::Any;
use std::sync::Arc;

use axum::response::Response;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::StatusCode;
use talksy_domain::error::{ApiError, ErrorCode};
use talksy_domain::viewer::Viewer;
use tokio::sync::OwnedSemaphorePermit;

use super::Transports;
use super::client::Caller;
use super::media::Media;
use super::observe;
use super::reply::Malformed;
use crate::metrics::Held;

/// A stream and what it holds, until it is dropped.
pub(super) struct OpenStream {
    end: BoxFuture<'static, Option<ApiError>>,
    _online: Option<Box<dyn Any + Send>>,
    _place: OwnedSemaphorePermit,
    _open: Held,
}

/// The server has as many connections as it may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Full;

impl Full {
    /// 503.
    pub(super) fn reply(self, media: Media) -> Response {
        Malformed::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::Unavailable,
            "The server has as many connections as it may have. Try again shortly.",
        )
        .reply(Some(media))
    }
}

impl OpenStream {
    /// Opens a stream for a caller; `protocol` is the label it is counted by.
    ///
    /// # Errors
    /// Where there is no place left.
    pub(super) fn open(
        server: &Arc<Transports>,
        caller: &Caller,
        protocol: &'static str,
    ) -> Result<Self, Full> {
        let place = Arc::clone(&server.connections).try_acquire_owned();
        let place = place.map_err(|_| Full)?;
        let viewer = caller.viewer();
        Ok(Self {
            end: end(Arc::clone(server), viewer).boxed(),
            _online: viewer.map(|viewer| server.app.connected(&viewer)),
            _place: place,
            _open: observe::open(protocol),
        })
    }

    /// Resolves when the stream has to end: with what to tell the client, or with nothing on a
    /// stop, so that the client comes back. Harmless to drop; not to be asked again behind the end.
    pub(super) async fn ended(&mut self) -> Option<ApiError> {
        (&mut self.end).await
    }
}

/// Resolves when a stream has to end.
async fn end(server: Arc<Transports>, viewer: Option<Viewer>) -> Option<ApiError> {
    let Some(viewer) = viewer else {
        server.shutdown.cancelled().await;
        return None;
    };
    tokio::select! {
        () = server.shutdown.cancelled() => None,
        () = expiry(&server, &viewer) => Some(ApiError::new(
            ErrorCode::TokenExpired,
            "The access token has expired. Refresh the session and subscribe again.",
        )),
        end = server.app.revoked(&viewer) => Some(match end {
            Ok(()) => ApiError::new(
                ErrorCode::Unauthenticated,
                "The session was revoked. Sign in again.",
            ),
            // An outage says nothing of the session.
            Err(refusal) => refusal,
        }),
    }
}

/// Resolves when the token has expired, by the application's clock. It is asked again and again,
/// since timers stand still where machines sleep.
async fn expiry(server: &Transports, viewer: &Viewer) {
    loop {
        let left = viewer.expires_at.since(server.app.now());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(server.config.sse_keep_alive)).await;
    }
}
