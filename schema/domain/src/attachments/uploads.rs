//! Receiving uploads: piece by piece, what they are by their content, and images written anew.

use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use parking_lot::Mutex;

use super::error::AttachmentError;
use super::model::{Attachment, AttachmentState, ImageFacts, Received, Thumbnail};
use super::objects::{ObjectKey, ObjectPart, ObjectWriter};
use super::service::{AttachmentService, Presented};
use super::types::{ContentType, HEAD, allowed, is_printable};
use crate::error::{Invalid, PortError};
use crate::viewer::Viewer;

/// Why no more of an upload comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupted {
    /// It has ended early.
    Broken,
    /// It comes too slowly.
    TooSlow,
}

/// An upload, piece by piece.
pub type Upload = BoxStream<'static, Result<Bytes, Interrupted>>;

/// A file that came as a part of a request, and has not been read yet.
pub struct UploadedFile {
    /// What it is called.
    pub file_name: String,
    /// What it is, as the client says.
    pub content_type: String,
    /// Its bytes.
    pub content: Upload,
}

/// The file of a request, which one field of it takes. Clones share it.
#[derive(Clone, Default)]
pub struct FilePart(Arc<Mutex<Option<UploadedFile>>>);

impl fmt::Debug for FilePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FilePart(…)")
    }
}

impl FilePart {
    /// What stands for the file among the variables of its request.
    pub const VARIABLE: &'static str = "file part";

    /// The part of this file.
    pub fn new(file: UploadedFile) -> Self {
        Self(Arc::new(Mutex::new(Some(file))))
    }

    /// The file, to whoever asks first.
    pub fn take(&self) -> Option<UploadedFile> {
        self.0.lock().take()
    }
}

impl From<Interrupted> for AttachmentError {
    fn from(interrupted: Interrupted) -> Self {
        match interrupted {
            Interrupted::Broken => ended_early().into(),
            Interrupted::TooSlow => Self::TooSlow,
        }
    }
}

/// What is named where the bytes are not as they have to be.
const FILE: &str = "file";

fn ended_early() -> Invalid {
    Invalid::new(FILE, "must be as long as was announced: it ended early")
}

/// What is expected of an upload.
#[derive(Clone, Copy, Debug)]
struct Expected {
    content_type: ContentType,
    /// The most bytes.
    most: u64,
    /// Whether as many must come.
    exactly: bool,
}

/// What has come of an upload.
struct Arriving<'a> {
    expected: Expected,
    /// What it begins with, until its type is known.
    head: Option<BytesMut>,
    count: u64,
    key: ObjectKey,
    service: &'a AttachmentService,
    writer: Option<Box<dyn ObjectWriter>>,
}

impl AttachmentService {
    /// Receives what an announced upload consists of, and inspects it. Where that is refused, nothing of
    /// it is kept, and it may be sent again. `length` is what the client says of it, if it does.
    ///
    /// # Errors
    /// Where the URL was altered or has expired, the upload was received before, or is not what was
    /// announced.
    pub async fn receive(
        &self,
        presented: &Presented,
        length: Option<u64>,
        upload: Upload,
    ) -> Result<Attachment, AttachmentError> {
        let attachment = self.presented(presented).await?;
        if attachment.state != AttachmentState::Awaited {
            return Err(AttachmentError::Received);
        }
        let expected = Expected {
            content_type: attachment.content_type,
            most: attachment.byte_size,
            exactly: true,
        };
        match length {
            Some(length) if length > expected.most => Err(AttachmentError::TooLarge(expected.most)),
            Some(length) if length < expected.most => Err(ended_early().into()),
            _ => self.take(attachment, expected, upload).await,
        }
    }

    /// Receives a file of the viewer that was not announced.
    ///
    /// # Errors
    /// As [`Self::announce`] and [`Self::receive`]; they name the file also where its type is wrong, which
    /// comes with it and is no argument of its own.
    pub async fn receive_file(
        &self,
        viewer: &Viewer,
        file_name: &str,
        content_type: &str,
        upload: Upload,
    ) -> Result<Attachment, AttachmentError> {
        let taken = self.take_file(viewer, file_name, content_type, upload);
        taken.await.map_err(|refused| match refused {
            AttachmentError::Invalid(Invalid { rule, .. }) => Invalid::new(FILE, rule).into(),
            refused => refused,
        })
    }

    async fn take_file(
        &self,
        viewer: &Viewer,
        file_name: &str,
        content_type: &str,
        upload: Upload,
    ) -> Result<Attachment, AttachmentError> {
        let content_type = allowed(content_type, &self.policy.documents)?;
        self.admit(viewer).await?;
        let largest = self.most(content_type);
        let reserve = async |most| self.reserve(viewer, file_name, content_type, most).await;
        // How much comes is not known before it has. What is smaller than the largest file may have all
        // that is left.
        let (attachment, most) = match reserve(largest).await {
            Err(AttachmentError::Full { left, .. }) if left > 0 => (reserve(left).await?, left),
            reserved => (reserved?, largest),
        };
        let expected = Expected {
            content_type,
            most,
            exactly: false,
        };
        let id = attachment.id;
        let taken = match self.take(attachment, expected, upload).await {
            Err(AttachmentError::TooLarge(left)) if left < largest => Err(AttachmentError::Full {
                most: self.policy.max_user_bytes,
                left,
            }),
            taken => taken,
        };
        if taken.is_err() {
            // Nobody could send it again. Where this fails, the sweep does it.
            let erased = self.objects.erase(id).await;
            if erased.is_err() || self.store.forget(&[id]).await.is_err() {
                tracing::debug!(attachment = %id, "an upload that failed was not forgotten");
            }
        }
        taken
    }

    async fn take(
        &self,
        attachment: Attachment,
        expected: Expected,
        upload: Upload,
    ) -> Result<Attachment, AttachmentError> {
        let mut attempt = [0; 8];
        self.entropy.fill(&mut attempt);
        let key = ObjectKey {
            attachment: attachment.id,
            attempt,
            part: ObjectPart::Received,
        };
        let taken = self.take_as(key, attachment, expected, upload).await;
        if taken.is_err() {
            self.drop_attempt(key, &ObjectPart::ALL).await;
        }
        taken
    }

    async fn take_as(
        &self,
        key: ObjectKey,
        attachment: Attachment,
        expected: Expected,
        upload: Upload,
    ) -> Result<Attachment, AttachmentError> {
        let byte_size = self.store_bytes(key, expected, upload).await?;
        let mut received = Received {
            attempt: key.attempt,
            content_type: expected.content_type,
            byte_size,
            image: None,
        };
        if expected.content_type.is_image() {
            self.rewrite(key, byte_size, &mut received).await?;
        }
        let ready = attachment.received(received, self.clock.now());
        if self
            .store
            .advance(std::slice::from_ref(&ready))
            .await?
            .is_empty()
        {
            // The same upload was sent twice at the same time, and the other one is there.
            return Err(AttachmentError::Received);
        }
        Ok(ready)
    }

    /// Stores what comes, and returns how many bytes it was.
    async fn store_bytes(
        &self,
        key: ObjectKey,
        expected: Expected,
        mut upload: Upload,
    ) -> Result<u64, AttachmentError> {
        let mut arriving = Arriving {
            expected,
            head: Some(BytesMut::new()),
            count: 0,
            key,
            service: self,
            writer: None,
        };
        let received = arriving.all(&mut upload).await;
        if received.is_err()
            && let Some(writer) = arriving.writer.take()
        {
            writer.discard().await;
        }
        received
    }

    /// Writes an image anew in the place of what was received.
    async fn rewrite(
        &self,
        key: ObjectKey,
        byte_size: u64,
        received: &mut Received,
    ) -> Result<(), AttachmentError> {
        let objects = Arc::clone(&self.objects);
        let source = async move {
            let mut bytes = Vec::new();
            let mut pieces = objects
                .read(key, 0..byte_size)
                .await?
                .ok_or_else(|| PortError::corrupt(key.to_string(), "it is not there"))?;
            while let Some(piece) = pieces.next().await {
                bytes.extend_from_slice(&piece?);
            }
            Ok(bytes)
        };
        let rewritten = self
            .images
            .rewrite(received.content_type, Box::pin(source))
            .await??;
        let part = |part| ObjectKey { part, ..key };
        received.content_type = rewritten.content_type;
        received.byte_size = rewritten.bytes.len() as u64;
        let mut facts = ImageFacts {
            width: rewritten.width,
            height: rewritten.height,
            thumbnail: None,
        };
        self.put(part(ObjectPart::Image), rewritten.bytes).await?;
        if let Some((content_type, bytes)) = rewritten.thumbnail {
            facts.thumbnail = Some(Thumbnail {
                content_type,
                byte_size: bytes.len() as u64,
            });
            self.put(part(ObjectPart::Thumbnail), bytes).await?;
        }
        drop(rewritten.room);
        received.image = Some(facts);
        self.drop_attempt(key, &[ObjectPart::Received]).await;
        Ok(())
    }

    async fn put(&self, key: ObjectKey, bytes: Vec<u8>) -> Result<(), PortError> {
        let mut writer = self.objects.create(key).await?;
        writer.write(bytes.into()).await?;
        writer.finish().await
    }

    /// Deletes objects of a try. What is left where that fails goes with the attachment.
    async fn drop_attempt(&self, key: ObjectKey, parts: &[ObjectPart]) {
        for &part in parts {
            if let Err(error) = self.objects.delete(ObjectKey { part, ..key }).await {
                tracing::debug!(%error, "an object of an upload was not deleted");
            }
        }
    }
}

impl Arriving<'_> {
    /// Takes all of it, and returns how many bytes it was.
    async fn all(&mut self, upload: &mut Upload) -> Result<u64, AttachmentError> {
        while let Some(piece) = upload.next().await {
            self.take(piece?).await?;
        }
        if self.expected.exactly && self.count < self.expected.most {
            return Err(ended_early().into());
        }
        if self.count == 0 {
            return Err(Invalid::new(FILE, "must not be empty").into());
        }
        self.recognise().await?;
        if let Some(writer) = self.writer.take() {
            writer.finish().await?;
        }
        Ok(self.count)
    }

    async fn take(&mut self, piece: Bytes) -> Result<(), AttachmentError> {
        self.count = self.count.saturating_add(piece.len() as u64);
        if self.count > self.expected.most {
            return Err(AttachmentError::TooLarge(self.expected.most));
        }
        let is_text = self.expected.content_type == ContentType::TEXT;
        if is_text && !is_printable(&piece) {
            return Err(self.another_type(None));
        }
        let Some(head) = &mut self.head else {
            return self.write(piece).await;
        };
        head.extend_from_slice(&piece);
        if head.len() >= HEAD {
            return self.recognise().await;
        }
        Ok(())
    }

    /// Looks at what it begins with. Nothing is stored of what is refused by that.
    async fn recognise(&mut self) -> Result<(), AttachmentError> {
        let Some(head) = self.head.take() else {
            return Ok(());
        };
        let known = &head[..head.len().min(HEAD)];
        let found = ContentType::of_content(known);
        if found != Some(self.expected.content_type) {
            return Err(self.another_type(found));
        }
        self.write(head.freeze()).await
    }

    fn another_type(&self, found: Option<ContentType>) -> AttachmentError {
        let expected = self.expected.content_type.as_str();
        let found = found.map_or_else(
            || "something else".to_owned(),
            |found| format!("`{}`", found.as_str()),
        );
        let rule =
            format!("must be what its content is: `{expected}` was given, and it is {found}");
        Invalid::new("contentType", rule).into()
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), AttachmentError> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            writer @ None => writer.insert(self.service.objects.create(self.key).await?),
        };
        Ok(writer.write(bytes).await?)
    }
}
