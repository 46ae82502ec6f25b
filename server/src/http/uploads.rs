//! Bodies that are files: read piece by piece, each piece in its time, and what is left of one that
//! was refused read and dropped, within bounds.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::HeaderMap;
use http::header::EXPECT;
use talksy_domain::attachments::{Interrupted, Upload};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout, timeout_at};

use super::Transports;

/// How much more of a body that was refused is read and dropped than an upload may have, in bytes. A
/// connection closed over unread bytes is reset, and the reset can overtake the refusal: a proxy that passes
/// bodies on as they come would tell its client of a bad gateway.
const DRAINED_BEYOND: u64 = 8 << 20;

/// A body on its way. Clones are the same one.
#[derive(Clone)]
pub(super) struct Incoming(Arc<Mutex<State>>);

struct State {
    chunks: BodyDataStream,
    has_begun: bool,
    is_over: bool,
}

impl Incoming {
    pub(super) fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(State {
            chunks: body.into_data_stream(),
            has_begun: false,
            is_over: false,
        })))
    }

    /// The body in pieces, each of which has its time, and all of them together.
    pub(super) fn pieces(&self, server: &Transports) -> Upload {
        let each = server.config.body_timeout;
        let end = Instant::now() + server.app.upload_timeout();
        let pieces = stream::unfold(self.clone(), move |incoming| async move {
            let piece = {
                let mut state = incoming.0.lock().await;
                if state.is_over {
                    return None;
                }
                state.has_begun = true;
                let next = timeout_at(end.min(Instant::now() + each), state.chunks.next());
                match next.await {
                    Ok(Some(Ok(piece))) => Ok(piece),
                    Ok(None) => {
                        state.is_over = true;
                        return None;
                    }
                    Ok(Some(Err(_))) => {
                        state.is_over = true;
                        Err(Interrupted::Broken)
                    }
                    Err(_) => Err(Interrupted::TooSlow),
                }
            };
            Some((piece, incoming))
        });
        OneAtATime::new(pieces.boxed()).boxed()
    }

    /// Reads what is left of a body that was refused.
    pub(super) async fn drain(&self, server: &Transports, headers: &HeaderMap) {
        let mut state = self.0.lock().await;
        // Who waits for leave to send has sent nothing that must be read.
        let waits = headers.contains_key(EXPECT) && !state.has_begun;
        if waits || state.is_over {
            return;
        }
        let most = server.app.largest_upload() + DRAINED_BEYOND;
        let reading = async {
            let mut read = 0;
            while read < most
                && let Some(Ok(piece)) = state.chunks.next().await
            {
                read += piece.len() as u64;
            }
        };
        // Whoever is too slow for it is cut off.
        timeout(server.config.body_timeout, reading).await.ok();
    }
}

/// Gives one piece each time that it is polled, though there are more. Who reads as much as there is,
/// as the parser of `multipart/form-data` does, would hold all that a quick client has sent.
struct OneAtATime {
    pieces: Upload,
    has_given: bool,
}

impl OneAtATime {
    fn new(pieces: Upload) -> Self {
        Self {
            pieces,
            has_given: false,
        }
    }
}

impl Stream for OneAtATime {
    type Item = Result<Bytes, Interrupted>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.has_given) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let piece = ready!(self.pieces.as_mut().poll_next(cx));
        self.has_given = true;
        Poll::Ready(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_one_at_a_time_however_many_there_are() {
        let all = ["a", "b"].map(|piece| Ok(Bytes::from_static(piece.as_bytes())));
        let mut pieces = OneAtATime::new(stream::iter(all.clone()).boxed());
        let mut cx = Context::from_waker(std::task::Waker::noop());
        for piece in all {
            assert_eq!(pieces.poll_next_unpin(&mut cx), Poll::Ready(Some(piece)));
            assert_eq!(pieces.poll_next_unpin(&mut cx), Poll::Pending);
        }
        assert_eq!(pieces.poll_next_unpin(&mut cx), Poll::Ready(None));
    }
}
