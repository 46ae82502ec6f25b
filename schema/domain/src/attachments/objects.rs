//! The port by which the bytes of attachments are kept.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::error::PortError;
use crate::id::AttachmentId;
use crate::port::port;

/// One of the objects of an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObjectPart {
    /// What was sent: what is given out of a file, and of an image what it is written anew from.
    Received,
    /// An image as it was written anew.
    Image,
    /// The smaller image.
    Thumbnail,
}

impl ObjectPart {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Received, Self::Image, Self::Thumbnail];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Image => "image",
            Self::Thumbnail => "thumbnail",
        }
    }
}

/// Names an object. Its text is a path: `att_…/0011223344556677/image`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObjectKey {
    /// Whose.
    pub attachment: AttachmentId,
    /// Of which try to send it: two that send the same upload do not meet.
    pub attempt: [u8; 8],
    /// Which.
    pub part: ObjectPart,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attempt = hex::encode(self.attempt);
        write!(f, "{}/{attempt}/{}", self.attachment, self.part.name())
    }
}

/// An object's bytes, piece by piece.
pub type ObjectBytes = BoxStream<'static, Result<Bytes, PortError>>;

/// An object that is being written. Nothing is there of one that is dropped before it is finished.
#[async_trait]
pub trait ObjectWriter: Send {
    /// Writes further bytes. It waits until they are taken, so that they do not pile up.
    ///
    /// # Errors
    /// Where the store fails.
    async fn write(&mut self, bytes: Bytes) -> Result<(), PortError>;

    /// Makes the object durable, whole.
    ///
    /// # Errors
    /// Where the store fails.
    async fn finish(self: Box<Self>) -> Result<(), PortError>;

    /// Gives up, and waits until nothing of it is there.
    async fn discard(self: Box<Self>);
}

port! {
    /// Keeps bytes. An object appears as a whole once it is finished, and never changes.
    pub trait ObjectStore as "objects" with ObjectStoreLayer {
        /// Begins an object.
        async fn create(&self, key: ObjectKey) -> Result<Box<dyn ObjectWriter>, PortError>;

        /// This part of an object, which is not empty; `None` where there is no such object.
        async fn read(
            &self,
            key: ObjectKey,
            range: Range<u64>,
        ) -> Result<Option<ObjectBytes>, PortError>;

        /// Deletes an object. One that is not there is no error.
        async fn delete(&self, key: ObjectKey) -> Result<(), PortError>;

        /// Deletes all objects of an attachment, whatever their tries.
        async fn erase(&self, attachment: AttachmentId) -> Result<(), PortError>;
    }
}
