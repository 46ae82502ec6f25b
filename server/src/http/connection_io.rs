//! What hyper reads from and writes to: a connection's bytes, and the bodies of its answers. A
//! client that does not read is given up here, where bytes are written, so that it holds whatever
//! its answer is no longer than that.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::connections::{Busy, Connection, Cut, Held, Place, Unread};

/// A connection with its place. Where nothing could be written for a whole timeout although there
/// was something to write, writing fails, which ends the connection. A socket, which it may
/// become, has deadlines of its own.
pub(super) struct ConnectionIo {
    stream: TcpStream,
    place: Place,
    write_timeout: Duration,
    /// Until when the peer may take nothing, and what waits for it meanwhile.
    stalled: Option<(Pin<Box<Sleep>>, Unread)>,
}

impl ConnectionIo {
    pub(super) fn new(stream: TcpStream, place: Place, write_timeout: Duration) -> Self {
        Self {
            stream,
            place,
            write_timeout,
            stalled: None,
        }
    }

    fn connection(&self) -> &Arc<Connection> {
        self.place.connection()
    }

    /// What became of a write of so many bytes, or the end of patience with it.
    fn watched(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
        bytes: usize,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = written {
            if let Ok(taken) = written {
                self.connection().wrote(taken);
            }
            self.stalled = None;
            return Poll::Ready(written);
        }
        if self.connection().is_over() {
            return Poll::Pending;
        }
        let (connection, timeout) = (self.place.connection(), self.write_timeout);
        let (patience, _) = self
            .stalled
            .get_or_insert_with(|| (Box::pin(sleep(timeout)), connection.stalls(bytes)));
        ready!(patience.as_mut().poll(cx));
        self.stalled = None;
        Cut::Unread.counted();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for ConnectionIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for ConnectionIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watched(cx, written, buf.len())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        let bytes = bufs.iter().map(|buf| buf.len()).sum();
        self.watched(cx, written, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// A piece of an answer that is as long at least counts as held until it is written, which may take
/// its client a while. What is shorter, the system takes.
pub(super) const LONG: usize = 16 * 1024;

/// The body of an answer: its connection is busy until the last of it has been taken.
pub(super) struct Answering {
    body: Body,
    /// What is still in the body.
    held: Held,
}

impl Answering {
    /// Of a body without a length, such as one that is compressed as it is sent, so many bytes are
    /// held until its end.
    pub(super) fn new(body: Body, busy: Busy, uncompressed: u64) -> Self {
        let exact = hyper::body::Body::size_hint(&body).exact();
        let bytes = usize::try_from(exact.unwrap_or(uncompressed)).unwrap_or(usize::MAX);
        let held = Held::of_answer(&Arc::new(busy), bytes);
        Self { body, held }
    }
}

impl hyper::body::Body for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let held = &mut self.held;
        let counted = |bytes: Bytes| {
            if bytes.len() >= LONG {
                return held.piece(bytes);
            }
            held.let_go(bytes.len());
            bytes
        };
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(counted))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{FutureExt as _, stream};
    use hyper::body::Body as _;

    use super::*;
    use crate::config::HttpConfig;
    use crate::http::connections::Connections;

    async fn next(answering: &mut Answering) -> Option<Bytes> {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut *answering).poll_frame(cx)).await;
        frame.and_then(|frame| frame.ok()?.into_data().ok())
    }

    #[tokio::test]
    async fn an_answer_counts_as_held_from_when_it_is_made_until_the_last_of_it_is_written() {
        let connections = Connections::new(&HttpConfig::default());
        let (place, _) = connections.admit("192.0.2.1".parse().unwrap()).unwrap();
        let connection = place.connection();
        let busy = connection.begin();
        let mut whole = Answering::new(Body::from(vec![1; 3 * LONG]), busy, 0);
        assert_eq!(connection.held(), 3 * LONG);
        let piece = next(&mut whole).now_or_never().flatten().unwrap();
        assert_eq!((piece.len(), connection.held()), (3 * LONG, 3 * LONG));
        assert!(whole.is_end_stream());
        drop(whole);
        assert_eq!(connection.held(), 3 * LONG);
        drop(piece);
        assert_eq!(connection.held(), 0);
    }

    #[tokio::test]
    async fn what_is_compressed_counts_with_what_it_is_made_of() {
        let connections = Connections::new(&HttpConfig::default());
        let (place, _) = connections.admit("192.0.2.1".parse().unwrap()).unwrap();
        let connection = place.connection();
        let pieces = [vec![1_u8; 100], vec![2; 100]].map(Ok::<_, Infallible>);
        let body = Body::from_stream(stream::iter(pieces));
        let mut answering = Answering::new(body, connection.begin(), 5_000);
        assert_eq!(connection.held(), 5_000);
        let piece = next(&mut answering).now_or_never().flatten();
        assert_eq!(piece.map(|piece| piece.len()), Some(100));
        assert_eq!(connection.held(), 4_900);
        drop(answering);
        assert_eq!(connection.held(), 0);
    }
}
