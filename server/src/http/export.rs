//! `GET /export`: all that is the signed-in user's own, as one archive that is made while it is sent.
//! What belongs to it, the application says; here is how its entries become the bytes of a tar file
//! (ustar, POSIX.1-1988), and what ends one that is on its way.
//!
//! A tar file and not a zip: it needs no directory at its end, so that one of any size takes the same
//! memory. The headers are those of the `tar` crate. What stands between them is passed on piece by
//! piece as the client takes it, which none of the writers of archives does: they push into a sink, and
//! end what was broken off as if it were whole.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY};
use http::{HeaderMap, HeaderValue, StatusCode};
use metrics::{counter, gauge};
use parking_lot::Mutex;
use talksy_domain::attachments::ObjectBytes;
use talksy_domain::clock::Timestamp;
use talksy_domain::error::{ApiError, ErrorCode};
use talksy_domain::exports::{Entries, Entry};
use talksy_domain::id::UserId;
use talksy_domain::viewer::Viewer;
use tokio::time::Instant;

use super::Transports;
use super::attachments::{not_allowed, refused};
use super::client::Caller;
use super::reply::uncached;
use super::shares::in_a_while;
use crate::graphql::errors::log_fault;
use crate::metrics::{EXPORTS, EXPORTS_OPEN, Held};

/// The outcome of an archive that was sent to its end, as the label of a metric.
pub(crate) const COMPLETE: &str = "complete";
/// The outcome of one that the client or the server has broken off.
pub(crate) const BROKEN_OFF: &str = "broken_off";

/// What a tar file is made of.
const BLOCK: u64 = 512;

/// Where a tar file ends: two blocks of zeros.
const END: &[u8] = &[0; 1_024];

/// The longest piece that is handed on at once, in bytes.
const PIECE: usize = 64 << 10;

/// The archives that are being sent by this process.
#[derive(Debug)]
pub(super) struct Exports {
    most: usize,
    users: Mutex<HashSet<UserId>>,
}

impl Exports {
    /// At most so many at a time.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            users: Mutex::default(),
        })
    }

    /// Takes the place of one.
    ///
    /// # Errors
    /// Where the user has one, or there are as many as there may be.
    fn take(self: &Arc<Self>, user: UserId) -> Result<Place, ApiError> {
        let mut users = self.users.lock();
        if users.contains(&user) {
            let message = "Your data is being exported already. Wait until that has ended.";
            return Err(in_a_while(ErrorCode::RateLimited, message));
        }
        if users.len() >= self.most {
            let message = "Others are exporting their data. Try again shortly.";
            return Err(in_a_while(ErrorCode::Unavailable, message));
        }
        users.insert(user);
        drop(users);
        Ok(Place {
            exports: Arc::clone(self),
            user,
            outcome: None,
            _open: Held::new(gauge!(EXPORTS_OPEN)),
        })
    }
}

/// The place of an archive, until it is dropped.
struct Place {
    exports: Arc<Exports>,
    user: UserId,
    /// How the archive has ended; `None` of one that was not begun.
    outcome: Option<&'static str>,
    _open: Held,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.exports.users.lock().remove(&self.user);
        if let Some(outcome) = self.outcome {
            counter!(EXPORTS, "outcome" => outcome).increment(1);
        }
    }
}

/// `GET /export`.
pub(super) async fn get(State(server): State<Arc<Transports>>, request: Request) -> Response {
    let (caller, viewer) = match signed_in(&server, request).await {
        Ok(signed_in) => signed_in,
        Err(refusal) => return refused(&refusal),
    };
    let mut place = match server.exports.take(viewer.user_id) {
        Ok(place) => place,
        Err(refusal) => return refused(&refusal),
    };
    let entries = match server.app.export(&viewer).await {
        Ok(entries) => entries,
        Err(refusal) => return refused(&refusal),
    };
    place.outcome = Some(BROKEN_OFF);
    let now = server.app.now();
    let download = Download {
        pieces: archive(entries, now),
        over: server.app.revoked(&viewer, caller.key_epoch),
        until: Instant::now() + server.config.export_timeout,
        place,
    };
    let pieces = stream::unfold(Some(download), |download| async move {
        let mut download = download?;
        match download.next().await {
            Some(Ok(piece)) => Some((Ok(piece), Some(download))),
            // The connection ends with it, so that no client takes the archive to be whole.
            Some(Err(broken)) => Some((Err(broken), None)),
            None => None,
        }
    });
    described(Body::from_stream(pieces), now)
}

/// `HEAD /export`: begins nothing, and counts as nothing.
pub(super) async fn head(State(server): State<Arc<Transports>>, request: Request) -> Response {
    match signed_in(&server, request).await {
        Ok(_) => described(Body::empty(), server.app.now()),
        Err(refusal) => refused(&refusal),
    }
}

/// Any other method.
pub(super) async fn get_only() -> Response {
    not_allowed("An archive is got by GET.", "GET, HEAD")
}

/// Who asks, as for GraphQL: by the header alone.
async fn signed_in(server: &Transports, request: Request) -> Result<(Caller, Viewer), ApiError> {
    let (parts, _) = request.into_parts();
    let caller = Caller::of(&*server.app, &server.config.trusted_proxies, &parts).await;
    let viewer = *caller.authentication.viewer()?;
    Ok((caller, viewer))
}

fn described(body: Body, now: Timestamp) -> Response {
    let mut response = uncached(StatusCode::OK, "application/x-tar", body);
    let headers: &mut HeaderMap = response.headers_mut();
    let sandbox = HeaderValue::from_static("default-src 'none'; sandbox");
    headers.insert(CONTENT_SECURITY_POLICY, sandbox);
    let day: String = now.to_string().chars().take(10).collect();
    let name = format!("attachment; filename=\"talksy-export-{day}.tar\"");
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    // nginx keeps whole answers in files otherwise.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// An archive on its way to a client.
struct Download {
    pieces: BoxStream<'static, io::Result<Bytes>>,
    /// Resolves when the session is over, or its end would not be heard.
    over: BoxFuture<'static, Result<(), ApiError>>,
    until: Instant,
    place: Place,
}

impl Download {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        let piece = tokio::select! {
            biased;
            over = &mut self.over => Some(Err(match over {
                Ok(()) => io::Error::other("the session is over"),
                Err(refusal) => broken(&refusal),
            })),
            () = tokio::time::sleep_until(self.until) => {
                Some(Err(io::Error::new(io::ErrorKind::TimedOut, "it took too long")))
            }
            piece = self.pieces.next() => piece,
        };
        match &piece {
            None => self.place.outcome = Some(COMPLETE),
            Some(Ok(_)) => {}
            Some(Err(error)) => tracing::info!(%error, "an export was broken off"),
        }
        piece
    }
}

/// What a client is told by the broken connection, and an operator by the log.
fn broken(refusal: &ApiError) -> io::Error {
    log_fault(refusal);
    io::Error::other(refusal.message.clone())
}

/// The bytes of a tar file with these entries.
fn archive(entries: Entries, now: Timestamp) -> BoxStream<'static, io::Result<Bytes>> {
    let end = stream::iter([Ok(Bytes::from_static(END))]);
    entries
        .map(move |entry| match entry {
            Ok(entry) => blocks(entry, now),
            Err(error) => Err(broken(&error.into())),
        })
        .try_flatten()
        .chain(end)
        .boxed()
}

/// An entry: a header, its bytes, and as many zeros as fill the last block.
fn blocks(entry: Entry, now: Timestamp) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
    let (header, length, bytes) = match entry {
        Entry::Text { path, bytes } => {
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            let pieces = stream::iter(pieces_of(bytes)).map(Ok).boxed();
            (header(&path, length, now)?, length, pieces)
        }
        Entry::File {
            path,
            byte_size,
            bytes,
        } => {
            let header = header(&path, byte_size, now)?;
            (header, byte_size, exactly(bytes, byte_size))
        }
    };
    let zeros = usize::try_from(length.next_multiple_of(BLOCK) - length).unwrap_or_default();
    let padding = Bytes::from_static(&END[..zeros]);
    let before = stream::iter([Ok(header)]);
    Ok(before
        .chain(bytes)
        .chain(stream::iter([Ok(padding)]))
        .boxed())
}

fn header(path: &str, length: u64, now: Timestamp) -> io::Result<Bytes> {
    let mut header = tar::Header::new_ustar();
    header.set_path(path)?;
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(length);
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(u64::try_from(now.as_secs()).unwrap_or_default());
    header.set_cksum();
    Ok(Bytes::copy_from_slice(header.as_bytes()))
}

/// Bytes in pieces, none of which is copied.
fn pieces_of(bytes: Bytes) -> impl Iterator<Item = Bytes> {
    let starts = (0..bytes.len()).step_by(PIECE);
    starts.map(move |start| bytes.slice(start..bytes.len().min(start + PIECE)))
}

/// These bytes, of which there must be as many as the header says: with more or less of them, all that
/// follows would be read as something else.
fn exactly(bytes: ObjectBytes, length: u64) -> BoxStream<'static, io::Result<Bytes>> {
    let counted = stream::try_unfold((bytes, length), |(mut bytes, left)| async move {
        let piece = match bytes.next().await {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => return Err(broken(&error.into())),
            None if left == 0 => return Ok(None),
            None => {
                return Err(io::Error::other(
                    "an attachment is shorter than it should be",
                ));
            }
        };
        let taken = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        let Some(left) = left.checked_sub(taken) else {
            return Err(io::Error::other(
                "an attachment is longer than it should be",
            ));
        };
        Ok(Some((piece, (bytes, left))))
    });
    counted.boxed()
}

#[cfg(test)]
mod tests {
    use talksy_domain::exports::ExportError;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    #[expect(clippy::unnecessary_wraps, reason = "a stream of entries has results")]
    fn text(path: &str, length: usize) -> Result<Entry, ExportError> {
        Ok(Entry::Text {
            path: path.to_owned(),
            bytes: vec![b'x'; length].into(),
        })
    }

    #[expect(clippy::unnecessary_wraps, reason = "a stream of entries has results")]
    fn file(path: &str, byte_size: u64, pieces: &[usize]) -> Result<Entry, ExportError> {
        let pieces: Vec<_> = pieces
            .iter()
            .map(|length| Ok(Bytes::from(vec![b'y'; *length])))
            .collect();
        Ok(Entry::File {
            path: path.to_owned(),
            byte_size,
            bytes: stream::iter(pieces).boxed(),
        })
    }

    async fn made(entries: Vec<Result<Entry, ExportError>>) -> io::Result<Vec<u8>> {
        let pieces = archive(stream::iter(entries).boxed(), NOW);
        let pieces: Vec<Bytes> = pieces.try_collect().await?;
        assert!(pieces.iter().all(|piece| piece.len() <= PIECE));
        Ok(pieces.concat())
    }

    #[tokio::test]
    async fn entries_are_read_back_as_they_were() {
        let entries = vec![
            text("manifest.json", 3),
            text("chats/a/messages/000001.jsonl", 3 * PIECE),
            file("files/a.zip", 1_024, &[24, 1_000]),
            file("files/b.zip", 1, &[0, 1]),
        ];
        let bytes = made(entries).await.unwrap();
        assert_eq!(bytes.len() % 512, 0);
        let mut archive = tar::Archive::new(bytes.as_slice());
        let found: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let path = entry.path().unwrap().display().to_string();
                let mut content = Vec::new();
                io::Read::read_to_end(&mut entry, &mut content).unwrap();
                (path, content.len(), content.first().copied())
            })
            .collect();
        let expected = [
            ("manifest.json", 3, b'x'),
            ("chats/a/messages/000001.jsonl", 3 * PIECE, b'x'),
            ("files/a.zip", 1_024, b'y'),
            ("files/b.zip", 1, b'y'),
        ];
        let expected = expected.map(|(path, length, byte)| (path.to_owned(), length, Some(byte)));
        assert_eq!(found, expected);
    }

    #[tokio::test]
    async fn bytes_that_are_not_as_many_as_was_said_break_it_off() {
        for pieces in [&[5][..], &[5, 6], &[]] {
            let broken = made(vec![file("files/a", 10, pieces)]).await;
            assert!(broken.is_err(), "{pieces:?}");
        }
        let broken = made(vec![text("a.json", 1), Err(ExportError::SessionEnded)]).await;
        assert!(broken.is_err());
    }

    #[test]
    fn there_are_no_more_than_may_be_and_one_of_a_user() {
        let user = |byte| talksy_domain::id::from_bytes([byte; 16]);
        let exports = Exports::new(2);
        let first = exports.take(user(1)).ok().unwrap();
        let again = exports.take(user(1)).err().unwrap();
        assert_eq!(again.code, ErrorCode::RateLimited);
        let second = exports.take(user(2)).ok();
        let third = exports.take(user(3)).err().unwrap();
        assert_eq!(third.code, ErrorCode::Unavailable);
        assert!(third.retry_after.is_some() && again.retry_after.is_some());
        drop((first, second));
        assert!(exports.take(user(3)).is_ok() && exports.take(user(1)).is_ok());
    }
}
