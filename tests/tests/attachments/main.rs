//! Attachments over HTTP: uploading, sending and getting them; what is refused or made harmless; and
//! what is left of them when nobody uses them any more.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod erasing;
mod forms;
mod memory;
mod pictures;
mod receiving;
mod refusals;
mod room;
mod s3;
mod sending;

use std::io::Cursor;

use image::codecs::gif::GifEncoder;
use image::{DynamicImage, Frame, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

/// An image of which each pixel is another.
fn pixels(width: u32, height: u32) -> DynamicImage {
    let colour = |x: u32, y: u32| {
        let part = |value: u32| u8::try_from(value % 256).unwrap();
        Rgb([part(x), part(y), part(x + y)])
    };
    RgbImage::from_fn(width, height, colour).into()
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn png(width: u32, height: u32) -> Vec<u8> {
    encoded(&pixels(width, height), ImageFormat::Png)
}

fn jpeg(width: u32, height: u32) -> Vec<u8> {
    encoded(&pixels(width, height), ImageFormat::Jpeg)
}

/// An animation of as many images, each of one colour.
fn gif(width: u32, height: u32, images: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    {
        let mut encoder = GifEncoder::new_with_speed(&mut bytes, 30);
        for number in 0..images {
            let image = RgbaImage::from_pixel(width, height, Rgba([number * 40, 0, 0, 255]));
            encoder.encode_frame(Frame::new(image)).unwrap();
        }
    }
    bytes
}

/// What was written beside a photograph, which nobody is to be told.
const PLACE: &str = "48.8584 N, 2.2945 E";

/// A photograph that was taken with the camera on its side, and says where.
fn photograph(width: u32, height: u32) -> Vec<u8> {
    let plain = jpeg(width, height);
    let mut exif =
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
    exif.extend_from_slice(PLACE.as_bytes());
    let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    // Behind the start of the image.
    [&plain[..2], &[0xFF, 0xE1], &length, &exif, &plain[2..]].concat()
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}
