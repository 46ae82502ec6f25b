//! An open stream: an answer that goes on, in whatever form. It has a place among the connections,
//! keeps its user online, and ends with the token, the session and the server, also where its
//! client reads nothing. What it carries is its body's business.
//!
//! A body asks [`OpenStream::ended`] beside whatever it waits for, sends what it is told as its
//! last words, and drops the stream with itself. That a client which does not take what is written
//! is given up after `http.write_timeout` is the connection's own rule (`connection_io`): the body
//! is dropped then.

use std::any::Any;
use std::sync::Arc;

use talksy_domain::error::{ApiError, ErrorCode};
use talksy_domain::viewer::Viewer;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::Transports;
use super::application::KeyEpoch;
use super::client::Caller;
use super::connections::{Connection, Cut};
use super::observe;
use super::shares::{Bound, Share};
use crate::metrics::Held;

/// A stream and what it holds, until it is dropped.
pub(super) struct OpenStream {
    end: oneshot::Receiver<Option<ApiError>>,
    /// Holds the rest, and lets go of it when the stream has to end.
    _watch: AbortOnDropHandle<()>,
}

impl OpenStream {
    /// Opens a stream for a caller; `protocol` is the label it is counted by.
    ///
    /// # Errors
    /// The bound that is reached.
    pub(super) fn open(
        server: &Arc<Transports>,
        caller: &Caller,
        protocol: &'static str,
    ) -> Result<Self, Bound> {
        let viewer = caller.viewer();
        let user = viewer.map(|viewer| viewer.user_id);
        let address = caller.counted_address(&server.config.trusted_proxies);
        let share = server.shares.take(address, user)?;
        let (sender, end) = oneshot::channel();
        let watch = Watch {
            server: Arc::clone(server),
            viewer: viewer.map(|viewer| (viewer, caller.key_epoch)),
            connection: caller.connection.clone(),
            online: viewer.map(|viewer| server.app.connected(&viewer)),
            share,
            _open: observe::open(protocol),
        };
        Ok(Self {
            end,
            _watch: AbortOnDropHandle::new(tokio::spawn(watch.run(sender))),
        })
    }

    /// Resolves when the stream has to end: with what to tell the client, or with nothing on a
    /// stop, so that the client comes back. Harmless to drop; not to be asked again behind the end.
    pub(super) async fn ended(&mut self) -> Option<ApiError> {
        // The watch ends without a word with its runtime only.
        (&mut self.end).await.unwrap_or_default()
    }
}

/// What a stream holds, and waits for.
struct Watch {
    server: Arc<Transports>,
    /// Who is signed in, and when keys had been revoked last.
    viewer: Option<(Viewer, KeyEpoch)>,
    connection: Option<Arc<Connection>>,
    online: Option<Box<dyn Any + Send>>,
    share: Share,
    _open: Held,
}

impl Watch {
    async fn run(mut self, sender: oneshot::Sender<Option<ApiError>>) {
        let end = match self.viewer {
            Some((viewer, since)) => end_of_session(&self.server, &viewer, since).await,
            None => end_of_anonymous(&self.server, self.share.gave_way()).await,
        };
        // Whose session is over is not online, even where their client does not read that.
        self.online = None;
        let time = self.server.config.websocket.close_timeout;
        // On a stop what has begun is answered first, which may take as long.
        let time = if end.is_none() { time * 2 } else { time };
        if sender.send(end).is_err() {
            return;
        }
        // The body has this time for its last words. A client that takes them is not here any
        // more: the stream was dropped with its body, and this task with the stream.
        tokio::time::sleep(time).await;
        if let Some(connection) = &self.connection {
            connection.cut(Cut::Over);
        }
    }
}

/// Resolves when a stream without a user has to end.
async fn end_of_anonymous(server: &Transports, gave_way: CancellationToken) -> Option<ApiError> {
    tokio::select! {
        () = server.shutdown.cancelled() => None,
        () = gave_way.cancelled() => Some(Bound::Anonymous.error()),
    }
}

/// Resolves when the stream of a user has to end.
async fn end_of_session(server: &Transports, viewer: &Viewer, since: KeyEpoch) -> Option<ApiError> {
    tokio::select! {
        biased;
        end = server.app.revoked(viewer, since) => Some(match end {
            Ok(()) => ApiError::new(
                ErrorCode::Unauthenticated,
                "The session was revoked. Sign in again.",
            ),
            // An outage says nothing of the session.
            Err(refusal) => refusal,
        }),
        () = expiry(server, viewer) => Some(ApiError::new(
            ErrorCode::TokenExpired,
            "The access token has expired. Refresh the session and subscribe again.",
        )),
        () = server.shutdown.cancelled() => None,
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
