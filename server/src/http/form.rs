//! `POST /graphql` as `multipart/form-data`: an operation with a file, by the
//! [GraphQL multipart request specification](https://github.com/jaydenseric/graphql-multipart-request-spec).
//! The parts `operations` and `map` are read as a whole, within the bound of any GraphQL body; the
//! file is given on while it comes. One file a request: of several, the fields that take them would
//! have to come in their order. (async-graphql's own `Upload` has every file whole, in memory or on the
//! disk, before the operation begins, whatever is refused then.)

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::response::Response;
use futures_util::StreamExt as _;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use multer::{Field, Multipart};
use talksy_domain::attachments::{FilePart, Interrupted, UploadedFile};
use talksy_domain::error::ErrorCode;
use tokio::time::timeout;

use super::Transports;
use super::body::{self, Operations};
use super::client::Caller;
use super::deadline::Deadline;
use super::graphql::{not_acceptable, run_until};
use super::media::{Accepted, Media};
use super::reply::{self, Malformed};
use super::uploads::Incoming;
use crate::graphql::{OperationType, Params};

/// How many bytes may come ahead of the file besides the parts `operations` and `map`.
const BESIDE: usize = 512 * 1024;

/// Headers that no page of another origin sends without leave. A form can send `multipart/form-data`
/// from anywhere; one of these says that it is none.
const PREFLIGHT: [&str; 3] = [
    "apollo-require-preflight",
    "graphql-require-preflight",
    "x-apollo-operation-name",
];

/// How many bytes may still come ahead of the file. The parser holds a part's head as a whole, however
/// long it is.
#[derive(Clone)]
struct Allowance(Arc<AtomicUsize>);

impl Allowance {
    /// For the parts `operations` and `map`, the heads of all parts, and what of the file comes in the
    /// same pieces.
    fn ahead_of_file(server: &Transports) -> Self {
        let bytes = server.config.max_body_bytes.saturating_mul(2);
        Self(Arc::new(AtomicUsize::new(bytes.saturating_add(BESIDE))))
    }

    fn admits(&self, bytes: usize) -> bool {
        let taken = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                if left == usize::MAX {
                    Some(left)
                } else {
                    left.checked_sub(bytes)
                }
            });
        taken.is_ok()
    }

    /// The file has come, whose bytes are for others to bound.
    fn lift(&self) {
        self.0.store(usize::MAX, Ordering::Relaxed);
    }
}

/// Whether the body is a form.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    content_type.is_some_and(|text| {
        let (kind, _) = text.split_once(';').unwrap_or((text, ""));
        kind.trim().eq_ignore_ascii_case("multipart/form-data")
    })
}

/// Answers such a request.
pub(super) async fn post(
    server: Arc<Transports>,
    parts: Parts,
    body: axum::body::Body,
) -> Response {
    let accepted = Accepted::of(&parts.headers);
    let incoming = Incoming::new(body);
    match answer(&server, &parts, accepted, &incoming).await {
        Ok(response) => response,
        Err(malformed) => {
            incoming.drain(&server, &parts.headers).await;
            malformed.reply(accepted.response)
        }
    }
}

async fn answer(
    server: &Arc<Transports>,
    parts: &Parts,
    accepted: Accepted,
    incoming: &Incoming,
) -> Result<Response, Malformed> {
    let media = accepted.response.ok_or_else(not_acceptable)?;
    if matches!(media, Media::Stream(_)) {
        return Err(not_acceptable());
    }
    if !PREFLIGHT
        .iter()
        .any(|name| parts.headers.contains_key(*name))
    {
        let message = format!(
            "Send the header `{}` with a `multipart/form-data` request.",
            PREFLIGHT[0]
        );
        return Err(Malformed::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ErrorCode::BadUserInput,
            message,
        ));
    }
    let allowance = Allowance::ahead_of_file(server);
    let mut form = open(server, parts, incoming, &allowance)?;
    let most = server.config.max_body_bytes;
    let ahead = async {
        let operations = named(&mut form, "operations", most).await?;
        Ok((operations, named(&mut form, "map", most).await?))
    };
    // The file has time of its own, once somebody takes it.
    let ahead = timeout(server.config.body_timeout, ahead).await;
    let (operations, map) = ahead.unwrap_or_else(|_| Err(too_slow()))?;
    let mut params = one(body::decode(&operations, 1)?)?;
    let name = place(&map, &mut params)?;
    let caller = Caller::of(&*server.app, &server.config.trusted_proxies, parts).await;
    let prepared = match caller.prepare(&server.documents, params) {
        Ok(prepared) => prepared,
        Err(refused) => {
            // It may be waiting for a piece.
            drop(form);
            incoming.drain(server, &parts.headers).await;
            return Ok(reply::graphql(media, refused.encode()));
        }
    };
    if prepared.operation.kind() != OperationType::Mutation {
        return Err(Malformed::bad("A file is sent with a mutation."));
    }
    let file = timeout(server.config.body_timeout, file(&mut form, &name)).await;
    let file = file.unwrap_or_else(|_| Err(too_slow()))?;
    allowance.lift();
    let deadline = Deadline::after(server.app.upload_timeout() + server.config.execution_timeout);
    let prepared = prepared.with_file(FilePart::new(file));
    let answer = run_until(server, prepared, (), deadline).await;
    // What was refused may not have been read. The form may be waiting for a piece of it.
    drop(form);
    incoming.drain(server, &parts.headers).await;
    Ok(reply::graphql(media, answer.encode()))
}

fn open(
    server: &Transports,
    parts: &Parts,
    incoming: &Incoming,
    allowance: &Allowance,
) -> Result<Multipart<'static>, Malformed> {
    let content_type = parts.headers.get(CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let boundary = multer::parse_boundary(content_type.unwrap_or_default())
        .map_err(|error| Malformed::bad(format!("The form cannot be read: {error}.")))?;
    let allowance = allowance.clone();
    let pieces = incoming.pieces(server).map(move |piece| match piece {
        Ok(piece) if allowance.admits(piece.len()) => Ok(piece),
        Ok(_) => Err(io::ErrorKind::FileTooLarge),
        Err(Interrupted::Broken) => Err(io::ErrorKind::UnexpectedEof),
        Err(Interrupted::TooSlow) => Err(io::ErrorKind::TimedOut),
    });
    let pieces = pieces.map(|piece| piece.map_err(io::Error::from));
    Ok(Multipart::new(pieces, boundary))
}

/// The next part, which has to have this name, as a whole.
async fn named(
    form: &mut Multipart<'static>,
    name: &str,
    most: usize,
) -> Result<Vec<u8>, Malformed> {
    let mut part = next(form, name).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = part.chunk().await.map_err(broken)? {
        if bytes.len() + piece.len() > most {
            return Err(Malformed::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                ErrorCode::PayloadTooLarge,
                format!("The part `{name}` is larger than {most} bytes."),
            ));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

async fn next(form: &mut Multipart<'static>, name: &str) -> Result<Field<'static>, Malformed> {
    let part = form.next_field().await.map_err(broken)?;
    part.filter(|part| part.name() == Some(name))
        .ok_or_else(|| {
            Malformed::bad(format!(
                "The form has to have the parts `operations`, `map` and the file, in this order: \
             `{name}` is missing."
            ))
        })
}

fn broken(error: multer::Error) -> Malformed {
    match kind(&error) {
        Some(io::ErrorKind::TimedOut) => too_slow(),
        Some(io::ErrorKind::FileTooLarge) => Malformed::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            ErrorCode::PayloadTooLarge,
            "What comes ahead of the file is too large.",
        ),
        _ => Malformed::bad(format!("The form cannot be read: {error}.")),
    }
}

fn too_slow() -> Malformed {
    Malformed::new(
        StatusCode::REQUEST_TIMEOUT,
        ErrorCode::BadUserInput,
        "The body did not arrive in time.",
    )
}

/// What happened to the body, where the form itself is none the worse.
fn kind(error: &multer::Error) -> Option<io::ErrorKind> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}

fn interrupted(error: &multer::Error) -> Interrupted {
    match kind(error) {
        Some(io::ErrorKind::TimedOut) => Interrupted::TooSlow,
        _ => Interrupted::Broken,
    }
}

fn one(operations: Operations) -> Result<Params, Malformed> {
    match operations {
        Operations::One(params) => Ok(*params),
        Operations::Batch(_) => Err(Malformed::bad("A file is sent with one operation.")),
    }
}

/// Puts the file in its place among the variables, and returns the name of its part.
fn place(map: &[u8], params: &mut Params) -> Result<String, Malformed> {
    let malformed = || {
        Malformed::bad(
            "The part `map` has to name one file and its place among the variables, such as \
             `{\"0\": [\"variables.input.file\"]}`.",
        )
    };
    let map: BTreeMap<String, Vec<String>> =
        serde_json::from_slice(map).map_err(|_| malformed())?;
    let mut files = map.into_iter();
    let (Some((name, places)), None) = (files.next(), files.next()) else {
        return Err(malformed());
    };
    let [path] = places.as_slice() else {
        return Err(malformed());
    };
    let path = path.strip_prefix("variables.").ok_or_else(malformed)?;
    if !params.place_file(path, FilePart::VARIABLE) {
        return Err(malformed());
    }
    Ok(name)
}

/// The file, which is read while it comes.
async fn file(form: &mut Multipart<'static>, name: &str) -> Result<UploadedFile, Malformed> {
    let part = next(form, name).await?;
    let content_type = part.content_type().map(ToString::to_string);
    Ok(UploadedFile {
        file_name: part.file_name().unwrap_or_default().to_owned(),
        content_type: content_type.unwrap_or_default(),
        content: part
            .map(|piece| piece.map_err(|error| interrupted(&error)))
            .boxed(),
    })
}
