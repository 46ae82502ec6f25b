//! Images, decoded and written anew. Nothing of what was sent survives but the pixels: no place where
//! a photograph was taken, and no bytes of another format behind the image.
//!
//! Decoding takes time and memory that a small file may ask for: it runs outside of the asynchronous
//! threads, a few at a time, and each within bounds of pixels and bytes that are looked at before
//! anything is decoded.

use std::io::Cursor;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use async_trait::async_trait;
use image::codecs::gif::{GifDecoder, GifEncoder, Repeat};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::metadata::{LoopCount, Orientation};
use image::{
    AnimationDecoder as _, DynamicImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader,
    ImageResult, Limits,
};
use talksy_domain::attachments::{ContentType, ImageCodec, ImageRefusal, ImageSource, Rewritten};
use talksy_domain::error::PortError;
use tokio::sync::{Semaphore, oneshot};

/// The bounds of a smaller image.
const THUMBNAIL: (u32, u32) = (800, 600);

/// Of 100: how good a photograph stays, and its smaller image.
const QUALITY: u8 = 90;
const THUMBNAIL_QUALITY: u8 = 80;

/// Of 30: how quickly the colours of an animation are chosen.
const GIF_SPEED: i32 = 20;

/// How many times the pixels of one image all images of an animation may have together.
const ANIMATION: u64 = 4;

/// The most bytes that a decoder may take for a pixel, besides 16 MiB: the pixel itself, of up to 16,
/// and what it works with.
const BYTES_A_PIXEL: u64 = 24;
const BYTES_BESIDE: u64 = 16 * 1024 * 1024;

/// The longest side of an image, in pixels.
const LONGEST_SIDE: u32 = 32_767;

/// What images may take.
#[derive(Clone, Copy, Debug)]
pub struct ImageLimits {
    /// The most pixels of an image.
    pub max_pixels: u64,
    /// How many are decoded at the same time.
    pub workers: NonZeroUsize,
}

/// Decodes images and writes them anew.
#[derive(Clone, Debug)]
pub struct Images {
    max_pixels: u64,
    room: Arc<Semaphore>,
}

impl Images {
    /// Within these limits.
    pub fn new(limits: ImageLimits) -> Self {
        Self {
            max_pixels: limits.max_pixels,
            room: Arc::new(Semaphore::new(limits.workers.get())),
        }
    }
}

#[async_trait]
impl ImageCodec for Images {
    async fn rewrite(
        &self,
        content_type: ContentType,
        source: ImageSource,
    ) -> Result<Result<Rewritten, ImageRefusal>, PortError> {
        let failed = |error| PortError::unavailable("decoder of images", error);
        let permit = Arc::clone(&self.room).acquire_owned().await;
        let permit = permit.map_err(|closed| failed(closed.to_string()))?;
        let bytes = source.await?;
        let max_pixels = self.max_pixels;
        let work = move || {
            let image = rewrite(content_type, &bytes, max_pixels)?;
            let thumbnail = image.thumbnail;
            Ok(Rewritten {
                content_type: image.content_type,
                bytes: image.bytes,
                width: image.width,
                height: image.height,
                thumbnail,
                room: Box::new(permit),
            })
        };
        // A thread of its own gives back what it took when it ends. Those that the runtime has for such work
        // would each keep some of it: as many of them as have ever decoded one.
        let (done, outcome) = oneshot::channel();
        thread::Builder::new()
            .name("image".to_owned())
            .spawn(move || done.send(work()))
            .map_err(|error| failed(error.to_string()))?;
        // A decoder that panics refuses this image alone.
        Ok(outcome.await.unwrap_or_else(|_| {
            tracing::error!("the decoder of an image panicked");
            Err(ImageRefusal::Damaged)
        }))
    }
}

/// An image as it was written anew.
struct Image {
    content_type: ContentType,
    bytes: Vec<u8>,
    width: u32,
    height: u32,
    thumbnail: Option<(ContentType, Vec<u8>)>,
}

fn rewrite(content_type: ContentType, bytes: &[u8], max: u64) -> Result<Image, ImageRefusal> {
    if content_type == ContentType::GIF {
        return rewrite_gif(bytes, max);
    }
    let format = match content_type {
        ContentType::JPEG => ImageFormat::Jpeg,
        ContentType::PNG => ImageFormat::Png,
        ContentType::WEBP => ImageFormat::WebP,
        _ => return Err(ImageRefusal::Damaged),
    };
    let (mut image, orientation) = decode(format, bytes, max)?;
    image.apply_orientation(orientation);
    // WebP is written without loss alone, which makes photographs many times as large.
    let content_type = match content_type {
        ContentType::WEBP if !image.color().has_alpha() => ContentType::JPEG,
        content_type => content_type,
    };
    let bytes = encode(&image, content_type, QUALITY)?;
    Ok(Image {
        content_type,
        bytes,
        width: image.width(),
        height: image.height(),
        thumbnail: thumbnail(&image, content_type)?,
    })
}

/// Decodes an image, of whose size it looks first.
fn decode(
    format: ImageFormat,
    bytes: &[u8],
    max: u64,
) -> Result<(DynamicImage, Orientation), ImageRefusal> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let pixels = match format {
        // Ahead of them may stand a colour profile, which inflates to a thousand times its bytes.
        ImageFormat::Png => pixels_of_png(bytes).map_or(max, |pixels| pixels.min(max)),
        _ => max,
    };
    reader.limits(limits(pixels));
    let mut decoder = reader
        .into_decoder()
        .map_err(|error| refusal(&error, max))?;
    let (width, height) = decoder.dimensions();
    check(width, height, max)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder).map_err(|error| refusal(&error, max))?;
    Ok((image, orientation))
}

/// How many pixels the head of a PNG image says that it has.
fn pixels_of_png(bytes: &[u8]) -> Option<u64> {
    // Behind the signature, the length of the head, and its name.
    let (width, rest) = bytes.get(16..)?.split_first_chunk()?;
    let (height, _) = rest.split_first_chunk()?;
    Some(u64::from(u32::from_be_bytes(*width)).saturating_mul(u32::from_be_bytes(*height).into()))
}

/// What an image of so many pixels may take.
fn limits(max: u64) -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(LONGEST_SIDE);
    limits.max_image_height = Some(LONGEST_SIDE);
    limits.max_alloc = Some(max.saturating_mul(BYTES_A_PIXEL) + BYTES_BESIDE);
    limits
}

fn check(width: u32, height: u32, max: u64) -> Result<(), ImageRefusal> {
    if width == 0 || height == 0 {
        return Err(ImageRefusal::Damaged);
    }
    if u64::from(width) * u64::from(height) > max {
        return Err(ImageRefusal::TooManyPixels(max));
    }
    Ok(())
}

fn refusal(error: &ImageError, max: u64) -> ImageRefusal {
    match error {
        ImageError::Limits(_) => ImageRefusal::TooManyPixels(max),
        _ => ImageRefusal::Damaged,
    }
}

/// Writes an image.
fn encode(
    image: &DynamicImage,
    content_type: ContentType,
    quality: u8,
) -> Result<Vec<u8>, ImageRefusal> {
    let mut bytes = Cursor::new(Vec::new());
    let written = match content_type {
        ContentType::JPEG => {
            let encoder = JpegEncoder::new_with_quality(&mut bytes, quality);
            image.to_rgb8().write_with_encoder(encoder)
        }
        ContentType::WEBP => {
            let encoder = WebPEncoder::new_lossless(&mut bytes);
            image.to_rgba8().write_with_encoder(encoder)
        }
        _ => {
            let encoder = PngEncoder::new(&mut bytes);
            match image {
                // PNG has no floating colours, which none of what is decoded has.
                DynamicImage::ImageRgb32F(_) | DynamicImage::ImageRgba32F(_) => {
                    image.to_rgba8().write_with_encoder(encoder)
                }
                image => image.write_with_encoder(encoder),
            }
        }
    };
    written.map_err(|_| ImageRefusal::Damaged)?;
    Ok(bytes.into_inner())
}

/// A smaller image of one that is larger.
fn thumbnail(
    image: &DynamicImage,
    content_type: ContentType,
) -> Result<Option<(ContentType, Vec<u8>)>, ImageRefusal> {
    let (width, height) = THUMBNAIL;
    if image.width() <= width && image.height() <= height {
        return Ok(None);
    }
    let small = image.thumbnail(width, height);
    let content_type = match content_type {
        ContentType::JPEG => ContentType::JPEG,
        _ => ContentType::PNG,
    };
    let bytes = encode(&small, content_type, THUMBNAIL_QUALITY)?;
    Ok(Some((content_type, bytes)))
}

/// Writes an animation anew, image by image, so that one of them is in memory.
fn rewrite_gif(bytes: &[u8], max: u64) -> Result<Image, ImageRefusal> {
    let failed = |error: ImageError| refusal(&error, max);
    let mut decoder = GifDecoder::new(Cursor::new(bytes)).map_err(failed)?;
    let (width, height) = decoder.dimensions();
    check(width, height, max)?;
    decoder.set_limits(limits(max)).map_err(failed)?;
    let repeat = match decoder.loop_count() {
        LoopCount::Infinite => Repeat::Infinite,
        LoopCount::Finite(times) => Repeat::Finite(u16::try_from(times.get()).unwrap_or(u16::MAX)),
    };
    let most = max.saturating_mul(ANIMATION);
    let mut pixels = 0_u64;
    let mut written = Cursor::new(Vec::new());
    let mut small = None;
    let mut is_empty = true;
    {
        let mut encoder = GifEncoder::new_with_speed(&mut written, GIF_SPEED);
        for frame in decoder.into_frames() {
            let frame = frame.map_err(failed)?;
            pixels += u64::from(width) * u64::from(height);
            if pixels > most {
                return Err(ImageRefusal::TooLong(most));
            }
            if is_empty {
                is_empty = false;
                let first = DynamicImage::ImageRgba8(frame.buffer().clone());
                small = thumbnail(&first, ContentType::PNG)?;
            }
            put_frame(&mut encoder, frame, repeat).map_err(failed)?;
        }
    }
    if is_empty {
        return Err(ImageRefusal::Damaged);
    }
    Ok(Image {
        content_type: ContentType::GIF,
        bytes: written.into_inner(),
        width,
        height,
        thumbnail: small,
    })
}

fn put_frame<W: std::io::Write>(
    encoder: &mut GifEncoder<W>,
    frame: image::Frame,
    repeat: Repeat,
) -> ImageResult<()> {
    encoder.set_repeat(repeat)?;
    encoder.encode_frame(frame)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    /// However many images come at once: what is not read yet takes no memory.
    #[tokio::test]
    async fn no_more_images_are_read_at_once_than_there_is_room_for() {
        let images = Images::new(ImageLimits {
            max_pixels: 1_000,
            workers: NonZeroUsize::MIN.saturating_add(1),
        });
        let now = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let all = (0..50).map(|_| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            let source = async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(b"no image".to_vec())
            };
            images.rewrite(ContentType::PNG, Box::pin(source))
        });
        for outcome in join_all(all).await {
            assert_eq!(outcome.unwrap().err(), Some(ImageRefusal::Damaged));
        }
        assert_eq!(most.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn the_head_of_a_png_tells_its_size() {
        let png = encode(&DynamicImage::new_rgb8(300, 2), ContentType::PNG, QUALITY).unwrap();
        assert_eq!(pixels_of_png(&png), Some(600));
        assert_eq!(pixels_of_png(&png[..23]), None);
        // As much as that may take, and not what the largest of all may.
        assert_eq!(
            limits(600).max_alloc,
            Some(600 * BYTES_A_PIXEL + BYTES_BESIDE)
        );
    }

    #[tokio::test]
    async fn room_is_kept_for_as_long_as_the_image_is() {
        let images = Images::new(ImageLimits {
            max_pixels: 1_000,
            workers: NonZeroUsize::MIN,
        });
        let png = encode(&DynamicImage::new_rgb8(3, 2), ContentType::PNG, QUALITY).unwrap();
        let source = || -> ImageSource { Box::pin(std::future::ready(Ok(png.clone()))) };
        let rewriting = images.rewrite(ContentType::PNG, source());
        let first = rewriting.await.unwrap().unwrap();
        assert_eq!((first.width, first.height), (3, 2));
        assert_eq!(images.room.available_permits(), 0);
        drop(first);
        assert_eq!(images.room.available_permits(), 1);
        images
            .rewrite(ContentType::PNG, source())
            .await
            .unwrap()
            .unwrap();
    }
}
