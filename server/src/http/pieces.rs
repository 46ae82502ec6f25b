//! The body of an answer that was made in pieces. Long ones are sent as they are: to make one of them
//! would take the memory of the whole once more.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use hyper::body::{Frame, SizeHint};

use super::connection_io::LONG;

/// See the module. A piece that is shorter than [`LONG`] goes with what is beside it.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    whole: VecDeque<Bytes>,
    /// What follows them.
    open: BytesMut,
}

impl Pieces {
    /// Puts this behind the rest.
    pub(super) fn push(&mut self, piece: Bytes) {
        if piece.len() < LONG {
            self.open.extend_from_slice(&piece);
            return;
        }
        self.close();
        self.whole.push_back(piece);
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.whole.push_back(self.open.split().freeze());
        }
    }
}

impl From<Pieces> for Body {
    fn from(mut pieces: Pieces) -> Self {
        pieces.close();
        match pieces.whole.len() {
            0 | 1 => pieces.whole.pop_front().unwrap_or_default().into(),
            _ => Self::new(pieces),
        }
    }
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.whole.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.whole.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let bytes = self.whole.iter().map(|piece| piece.len() as u64);
        SizeHint::with_exact(bytes.sum())
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use hyper::body::Body as _;

    use super::*;

    #[tokio::test]
    async fn what_is_sent_is_what_was_put_in_and_its_length_is_known() {
        for lengths in [
            vec![],
            vec![5],
            vec![LONG],
            vec![1, LONG, 2, 3, LONG + 7, LONG, 9],
        ] {
            let (mut pieces, mut expected) = (Pieces::default(), Vec::new());
            for (letter, length) in (b'a'..).zip(lengths) {
                let piece = vec![letter; length];
                expected.extend_from_slice(&piece);
                pieces.push(piece.into());
            }
            let body = Body::from(pieces);
            assert_eq!(body.size_hint().exact(), Some(expected.len() as u64));
            assert_eq!(to_bytes(body, usize::MAX).await.unwrap(), expected);
        }
    }

    #[test]
    fn long_pieces_are_not_copied() {
        let long = Bytes::from(vec![1; LONG]);
        let mut pieces = Pieces::default();
        pieces.push(Bytes::from_static(b"["));
        pieces.push(long.clone());
        assert_eq!(pieces.whole.back().unwrap().as_ptr(), long.as_ptr());
    }
}
