//! The entries of an archive, and how parts write them.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::attachments::objects::ObjectBytes;
use crate::error::{ApiError, ErrorCode, PortError, service_error};
use crate::viewer::Viewer;

/// Why there is no archive, or no more of one.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ExportError {
    /// Too many archives.
    #[error("You have exported your data often enough for now.")]
    TooFast(Duration),
    /// The account is gone.
    #[error("The account no longer exists.")]
    NoAccount,
    /// The viewer was signed out meanwhile.
    #[error("The session was revoked. Sign in again.")]
    SessionEnded,
    /// Nobody takes the entries.
    #[error("The archive was not taken.")]
    Abandoned,
    /// A port failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl ExportError {
    fn api_error(&self) -> ApiError {
        let refuse = |code| ApiError::new(code, self.to_string());
        match self {
            Self::TooFast(wait) => refuse(ErrorCode::RateLimited).retry_after(*wait),
            Self::NoAccount | Self::SessionEnded => refuse(ErrorCode::Unauthenticated),
            Self::Abandoned => refuse(ErrorCode::Internal),
            Self::Port(error) => error.into(),
        }
    }
}

service_error!(ExportError);

/// An entry of an archive. Paths are of ASCII letters, digits, `_`, `-`, `.` and `/`, at most 100
/// bytes, and none comes twice.
pub enum Entry {
    /// One that is in memory: JSON, or lines of JSON.
    Text {
        /// Where it stands.
        path: String,
        /// Its content.
        bytes: Bytes,
    },
    /// One that comes piece by piece.
    File {
        /// Where it stands.
        path: String,
        /// How many bytes come.
        byte_size: u64,
        /// They.
        bytes: ObjectBytes,
    },
}

/// The entries of an archive, in their order. Behind an error nothing comes.
pub type Entries = BoxStream<'static, Result<Entry, ExportError>>;

/// A part of the archive.
#[async_trait]
pub(crate) trait ArchivePart: Send + Sync {
    /// Its name, as the manifest has it.
    fn name(&self) -> &'static str;

    /// Writes it, and counts what it is made of.
    ///
    /// # Errors
    /// Where it cannot be read, or is not taken.
    async fn write(&self, viewer: &Viewer, out: &mut Out) -> Result<(), ExportError>;
}

/// Where parts write entries to. It waits until the one before has been taken, so that they do not pile
/// up.
pub(crate) struct Out {
    entries: mpsc::Sender<Entry>,
    written: u64,
    counts: BTreeMap<&'static str, u64>,
}

impl Out {
    /// Writes a value as an entry.
    ///
    /// # Errors
    /// Where nobody takes it.
    pub(super) async fn json(
        &mut self,
        path: impl Into<String>,
        value: &(impl Serialize + Sync),
    ) -> Result<(), ExportError> {
        let mut text = Vec::new();
        write_line(&mut text, value)?;
        self.text(path.into(), text).await
    }

    /// Writes a text as an entry.
    ///
    /// # Errors
    /// Where nobody takes it.
    pub(super) async fn text(&mut self, path: String, text: Vec<u8>) -> Result<(), ExportError> {
        let bytes = text.into();
        self.entry(Entry::Text { path, bytes }).await
    }

    /// Writes an entry.
    ///
    /// # Errors
    /// Where nobody takes it.
    pub(super) async fn entry(&mut self, entry: Entry) -> Result<(), ExportError> {
        let sent = self.entries.send(entry).await;
        sent.map_err(|_| ExportError::Abandoned)?;
        self.written += 1;
        Ok(())
    }

    /// Counts what the archive has.
    pub(super) fn count(&mut self, what: &'static str, number: u64) {
        *self.counts.entry(what).or_default() += number;
    }

    /// How many entries were written.
    pub(super) const fn written(&self) -> u64 {
        self.written
    }

    /// What was counted.
    pub(super) const fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }
}

/// Adds a value to a text, as one line.
///
/// # Errors
/// Where it is no JSON, which is a fault of the record that it was made of.
pub(super) fn write_line(
    text: &mut Vec<u8>,
    value: &(impl Serialize + Sync),
) -> Result<(), ExportError> {
    let start = text.len();
    serde_json::to_writer(&mut *text, value)
        .map_err(|error| PortError::corrupt("an export", error))?;
    // What an application keeps is passed on as it is. Outside of texts, which escape it, a line break
    // means no more than a space.
    for byte in &mut text[start..] {
        if *byte == b'\n' {
            *byte = b' ';
        }
    }
    text.push(b'\n');
    Ok(())
}

/// What `write` writes, as a stream, which `write` is polled by: at most one entry waits to be taken.
pub(super) fn entries(
    write: impl FnOnce(Out) -> BoxFuture<'static, Result<(), ExportError>>,
) -> Entries {
    let (entries, taken) = mpsc::channel(1);
    let writing = write(Out {
        entries,
        written: 0,
        counts: BTreeMap::new(),
    });
    stream::unfold(Some(Archive { writing, taken }), |archive| async move {
        let mut archive = archive?;
        match archive.next().await? {
            Ok(entry) => Some((Ok(entry), Some(archive))),
            Err(error) => Some((Err(error), None)),
        }
    })
    .fuse()
    .boxed()
}

/// What writes an archive, and what of it is to be taken.
struct Archive {
    writing: BoxFuture<'static, Result<(), ExportError>>,
    taken: mpsc::Receiver<Entry>,
}

impl Archive {
    async fn next(&mut self) -> Option<Result<Entry, ExportError>> {
        tokio::select! {
            biased;
            entry = self.taken.recv() => entry.map(Ok),
            ended = &mut self.writing => match ended {
                // Its last entry may still be there.
                Ok(()) => {
                    let last = self.taken.try_recv().ok();
                    self.writing = Box::pin(std::future::pending());
                    last.map(Ok)
                }
                Err(error) => Some(Err(error)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::FutureExt as _;

    use super::*;

    fn counting(written: &Arc<AtomicU64>, most: u64) -> Entries {
        let written = Arc::clone(written);
        entries(move |mut out| {
            async move {
                for number in 0..most {
                    out.json(format!("{number}.json"), &number).await?;
                    written.fetch_add(1, Ordering::SeqCst);
                }
                Ok(())
            }
            .boxed()
        })
    }

    #[tokio::test]
    async fn no_more_is_written_than_is_taken_but_one() {
        let written = Arc::new(AtomicU64::new(0));
        let mut archive = counting(&written, 1_000);
        assert_eq!(written.load(Ordering::SeqCst), 0, "nobody has asked");
        for taken in 1..=1_000 {
            let Some(Ok(Entry::Text { path, bytes })) = archive.next().await else {
                panic!("no entry");
            };
            assert_eq!(path, format!("{}.json", taken - 1));
            assert_eq!(bytes, format!("{}\n", taken - 1));
            assert!(written.load(Ordering::SeqCst) <= taken + 1);
        }
        assert!(archive.next().await.is_none());
        assert!(archive.next().await.is_none());
    }

    #[tokio::test]
    async fn behind_an_error_nothing_comes() {
        let mut archive = entries(|mut out| {
            async move {
                out.json("a.json", &1).await?;
                Err(ExportError::SessionEnded)
            }
            .boxed()
        });
        let mut kinds = Vec::new();
        while let Some(entry) = archive.next().await {
            kinds.push(entry.is_ok());
        }
        // What was written ahead of the error may be lost with it: the archive is broken either way.
        assert_eq!(kinds.last(), Some(&false));
    }

    #[test]
    fn a_value_is_one_line_whatever_is_in_it() {
        let raw = serde_json::value::RawValue::from_string("{\n\"a\": \"x\\ny\"}".to_owned());
        let mut text = Vec::new();
        write_line(&mut text, &raw.unwrap()).unwrap();
        assert_eq!(text, b"{ \"a\": \"x\\ny\"}\n");
    }
}
