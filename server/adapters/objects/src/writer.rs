//! Objects that are being written: one piece of them is held.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore as Driver, ObjectStoreExt as _, PutPayload};
use talksy_domain::attachments::ObjectWriter;
use talksy_domain::error::PortError;

use crate::store::write;

/// An object that is being written.
pub(crate) struct Writer {
    driver: Arc<dyn Driver>,
    path: Path,
    /// How many bytes are written at once.
    piece: usize,
    /// What has come and was not written yet, less than a piece.
    rest: BytesMut,
    /// Begun where it is more than a piece.
    upload: Option<Box<dyn MultipartUpload>>,
}

impl Writer {
    pub(crate) fn new(driver: Arc<dyn Driver>, path: Path, piece: usize) -> Self {
        Self {
            driver,
            path,
            piece,
            rest: BytesMut::new(),
            upload: None,
        }
    }

    /// Writes the first `length` bytes of what has come.
    async fn put(&mut self, length: usize) -> Result<(), PortError> {
        let payload = PutPayload::from(self.rest.split_to(length).freeze());
        let upload = match &mut self.upload {
            Some(upload) => upload,
            begun @ None => begun.insert(write(self.driver.put_multipart(&self.path)).await?),
        };
        write(upload.put_part(payload)).await
    }
}

#[async_trait]
impl ObjectWriter for Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<(), PortError> {
        let mut bytes = bytes;
        while !bytes.is_empty() {
            // As much as a piece has room for, whatever comes at once.
            let room = self.piece - self.rest.len();
            let taken = bytes.split_to(room.min(bytes.len()));
            self.rest.extend_from_slice(&taken);
            if self.rest.len() == self.piece {
                self.put(self.piece).await?;
            }
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<(), PortError> {
        if self.upload.is_none() {
            let payload = PutPayload::from(self.rest.split().freeze());
            write(self.driver.put(&self.path, payload)).await?;
            return Ok(());
        }
        if !self.rest.is_empty() {
            self.put(self.rest.len()).await?;
        }
        if let Some(mut upload) = self.upload.take() {
            write(upload.complete()).await?;
        }
        Ok(())
    }

    async fn discard(mut self: Box<Self>) {
        if let Some(mut upload) = self.upload.take()
            && let Err(error) = write(upload.abort()).await
        {
            tracing::debug!(%error, "an object that was begun was not given up");
        }
    }
}
