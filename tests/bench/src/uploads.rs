//! What uploads take of the server's memory: the most that it held meanwhile, beyond what it held before.

use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};
use serde::Serialize;
use serde_json::json;
use talksy_tests::client::Client;
use talksy_tests::process::{forget_peak, peak};
use talksy_tests::uploads::{CREATE_UPLOAD, put, send_form, upload_form};
use tokio::task::JoinSet;

use super::account::{self, text};
use super::outcome::{Context as _, Outcome};
use super::process::{Home, Process};
use super::run::say;
use super::stats::float;

/// The largest file and the largest image that may be sent, and the most pixels, where nothing else is set.
const FILE: usize = 25 << 20;
const IMAGE: usize = 5 << 20;
const PIXELS: u64 = 25_000_000;
/// How many images are decoded at once, and how much each pixel of one may take, as `ImageLimits` says.
const WORKERS: u64 = 2;
const OF_PIXEL: u64 = 24;
const BESIDE: u64 = 16 << 20;
/// What each that is on its way takes at most: a piece, and the buffers of its connection.
const ON_ITS_WAY: u64 = 2 << 20;
/// Images that are sent at once.
const IMAGES: u64 = 50;
/// A side of an image with almost as many pixels as there may be.
const SIDE: u32 = 4_990;

/// In bytes.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Uploads {
    /// A file of 25 MiB, put at a signed URL.
    pub(super) put: f64,
    /// The same as a part of a request.
    pub(super) form: f64,
    /// The images.
    pub(super) images: f64,
    /// What these may take at most.
    pub(super) bound: f64,
    /// The size of one of them.
    pub(super) image_bytes: f64,
}

/// Measures all on a fresh server.
pub(super) async fn measure(binary: &Path) -> Outcome<Uploads> {
    say("uploads of 25 MiB");
    let settings = ["limits.uploads.burst=1000".to_owned()];
    let home = Home::with(binary, settings.to_vec())?;
    let (server, _) = home.start().await?;
    let users = account::sign_in(&home, &server, "uploads", 1).await?;
    let user = users.first().context("nobody is there")?;
    let client = Client::new(server.address).with_token(&user.token);
    // What is taken once and kept.
    upload(&client, "application/zip", zip(2 << 20)).await?;
    send(&client, 2 << 20).await?;

    let put = grown(&server, upload(&client, "application/zip", zip(FILE))).await?;
    let form = grown(&server, send(&client, FILE)).await?;
    say(&format!("{IMAGES} images at once"));
    let image = tokio::task::spawn_blocking(photograph).await??;
    let image_bytes = float(u64::try_from(image.len())?);
    let images = grown(&server, async {
        let mut uploads = JoinSet::new();
        for _ in 0..IMAGES {
            let (client, image) = (client.clone(), image.clone());
            uploads.spawn(async move { upload(&client, "image/jpeg", image).await });
        }
        while let Some(ended) = uploads.join_next().await {
            ended??;
        }
        Ok(())
    });
    let images = images.await?;
    server.stop().await?;
    Ok(Uploads {
        put,
        form,
        images,
        bound: float(WORKERS * (OF_PIXEL * PIXELS + BESIDE) + IMAGES * ON_ITS_WAY),
        image_bytes,
    })
}

/// By how many bytes the server's peak lies above what it held before.
async fn grown(server: &Process, work: impl Future<Output = Outcome<()>>) -> Outcome<f64> {
    forget_peak(server.id());
    let before = peak(server.id());
    work.await?;
    Ok(float(peak(server.id()).saturating_sub(before) << 10))
}

fn zip(bytes: usize) -> Vec<u8> {
    let mut zip = b"PK\x03\x04".to_vec();
    zip.resize(bytes, 0);
    zip
}

async fn upload(client: &Client, content_type: &str, bytes: Vec<u8>) -> Outcome<()> {
    let input = json!({ "fileName": "a", "contentType": content_type, "byteSize": bytes.len() });
    let announced = client.try_run(CREATE_UPLOAD, json!({ "input": input }));
    let announced = announced.await.context("no answer")?;
    let url = text(&announced.body["data"]["createUpload"]["url"])?;
    let reply = put(client, &url, bytes).await;
    if reply.status == 204 {
        Ok(())
    } else {
        Err(format!("an upload was refused: {}", reply.body).into())
    }
}

async fn send(client: &Client, bytes: usize) -> Outcome<()> {
    let form = upload_form("a.zip", "application/zip", &zip(bytes));
    let reply = send_form(client, form).await;
    if reply.body.get("errors").is_none() {
        Ok(())
    } else {
        Err(format!("an upload was refused: {}", reply.body).into())
    }
}

/// A photograph of as many pixels as one may have, as large as one may be.
fn photograph() -> Outcome<Vec<u8>> {
    let mut state = 1_u32;
    let image = RgbImage::from_fn(SIDE, SIDE, |x, y| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [noise, ..] = state.to_be_bytes();
        let part = |side: u32| u8::try_from(side / 25).unwrap_or(u8::MAX);
        let grain = noise / 16;
        Rgb([part(x), part(y), part(x.midpoint(y))].map(|part| part.saturating_add(grain)))
    });
    for quality in (10..=90).rev().step_by(5) {
        let mut bytes = Vec::new();
        let encoder = JpegEncoder::new_with_quality(&mut bytes, quality);
        image.write_with_encoder(encoder)?;
        if bytes.len() <= IMAGE {
            return Ok(bytes);
        }
    }
    Err("no photograph is small enough".into())
}
