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

use super::connections::{Busy, Connection, Cut, Place, Unread};

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
    fn watched<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
        bytes: usize,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
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

/// The body of an answer: its connection is busy until the last of it has been taken.
pub(super) struct Answering {
    body: Body,
    _busy: Busy,
}

impl Answering {
    pub(super) fn new(body: Body, busy: Busy) -> Self {
        Self { body, _busy: busy }
    }
}

impl hyper::body::Body for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
