//! The port by which images are decoded and written anew.

use std::any::Any;

use futures_util::future::BoxFuture;

use super::types::ContentType;
use crate::error::PortError;
use crate::port::port;

/// Reads the bytes of an image, once there is room for it.
pub type ImageSource = BoxFuture<'static, Result<Vec<u8>, PortError>>;

/// An image as it was written anew: its pixels, upright, and nothing else of what was sent.
pub struct Rewritten {
    /// What it is now.
    pub content_type: ContentType,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
    /// A smaller one of at most 800 × 600 pixels, where the image is larger.
    pub thumbnail: Option<(ContentType, Vec<u8>)>,
    /// The room that it takes, which is given back when this is dropped.
    pub room: Box<dyn Any + Send>,
}

/// Why an image was refused. Reads as the end of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageRefusal {
    /// It does not decode.
    #[error("cannot be decoded as an image: it is damaged, or ends early")]
    Damaged,
    /// It has too many pixels.
    #[error("must be an image of at most {0} pixels")]
    TooManyPixels(u64),
    /// All images of an animation together have too many pixels.
    #[error("must be an animation of at most {0} pixels in all its images together")]
    TooLong(u64),
}

port! {
    /// Decodes images and writes them anew. How many at the same time is bounded, and so is the memory
    /// that each takes.
    pub trait ImageCodec as "images" with ImageCodecLayer {
        /// Decodes an image of this type, which is one of [`ContentType::IMAGES`], turns it upright and
        /// writes it anew, without metadata. `source` is not read before there is room.
        async fn rewrite(
            &self,
            content_type: ContentType,
            source: ImageSource,
        ) -> Result<Result<Rewritten, ImageRefusal>, PortError>;
    }
}
