//! What uploads take of the server's memory.

use std::io::Cursor;

use futures_util::future::join_all;
use image::codecs::png::PngEncoder;
use image::{DynamicImage, ImageEncoder as _, ImageFormat, Rgb, RgbImage};
use talksy_tests::process::{ServerProcess, forget_peak, peak};
use talksy_tests::uploads::{send_form, upload_form};

use super::encoded;

fn zip(megabytes: usize) -> Vec<u8> {
    [&b"PK\x03\x04"[..], &vec![0; (megabytes << 20) - 4]].concat()
}

/// By how many KiB a new server's memory grows by an upload of 25 MiB to a signed URL, and by one as a
/// part of a request.
async fn growth() -> [u64; 2] {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path(), &[]).await;
    let ada = server.sign_in(folder.path(), "ada").await;
    let process = server.id().unwrap();
    let form = |megabytes| upload_form("a.zip", "application/zip", &zip(megabytes));
    // What is taken once and kept.
    ada.upload("a.zip", "application/zip", zip(2)).await;
    send_form(&ada.client, form(2)).await.data();

    forget_peak(process);
    let before = peak(process);
    ada.upload("a.zip", "application/zip", zip(25)).await;
    let put = peak(process).saturating_sub(before);
    forget_peak(process);
    let before = peak(process);
    send_form(&ada.client, form(25)).await.data();
    [put, peak(process).saturating_sub(before)]
}

/// Whichever way it comes, it is never held as a whole, nor a large part of it. What else the process
/// does meanwhile counts too, so that a server may have another try: a new one, which has kept nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_25_megabytes_takes_less_than_four() {
    let mut all = Vec::new();
    for _ in 0..8 {
        let grown = growth().await;
        if grown.iter().all(|grown| *grown < 4_096) {
            return;
        }
        all.push(grown);
    }
    panic!("{all:?} KiB");
}

/// A small image takes what its pixels do, and not what the largest may, whatever stands beside them: a
/// colour profile is kept compressed.
#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_inflates_takes_no_memory() {
    const MEGABYTES: usize = 100;
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path(), &[]).await;
    let ada = server.sign_in(folder.path(), "ada").await;
    let process = server.id().unwrap();
    let png = |profile: Vec<u8>| {
        let mut bytes = Cursor::new(Vec::new());
        let mut encoder = PngEncoder::new(&mut bytes);
        encoder.set_icc_profile(profile).unwrap();
        let image = DynamicImage::new_rgb8(8, 8);
        image.write_with_encoder(encoder).unwrap();
        bytes.into_inner()
    };
    // What is taken once and kept.
    ada.upload("a.png", "image/png", png(vec![0; 100])).await;
    let bomb = png(vec![0; MEGABYTES << 20]);
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());

    forget_peak(process);
    let before = peak(process);
    ada.upload("a.png", "image/png", bomb).await;
    let grown = peak(process).saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KiB");
}

/// A picture of almost 5 MiB, of which no part says anything of another.
fn noise(side: u32) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    let image = RgbImage::from_fn(side, side, |_, _| Rgb([next(), next(), next()]));
    encoded(&image.into(), ImageFormat::Png)
}

/// By how many bytes a new server's memory grows by so many pictures at once.
async fn growth_by_pictures(count: usize, picture: &[u8], settings: &[&str]) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path(), settings).await;
    let ada = server.sign_in(folder.path(), "ada").await;
    let process = server.id().unwrap();
    forget_peak(process);
    let before = peak(process);
    let uploads = (0..count).map(|_| ada.upload("a.png", "image/png", picture.to_vec()));
    join_all(uploads).await;
    peak(process).saturating_sub(before) << 10
}

/// However many come at once, no more are decoded than there are workers; the others wait in the store of
/// objects. Each that is decoded takes what its pixels may, and each that is on its way what the connection and
/// the store hold of it. Another try is a new server, as above.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_pictures_at_once_take_no_more_than_the_bound() {
    const COUNT: usize = 50;
    const WORKERS: u64 = 2;
    const PIXELS: u64 = 1_700_000;
    const BOUND: u64 = WORKERS * (24 * PIXELS + (16 << 20)) + COUNT as u64 * (2 << 20);
    let picture = noise(1_300);
    assert!((4_900_000..5 << 20).contains(&picture.len()));
    // All of them together, without a bound, as they came.
    assert!((COUNT * picture.len()) as u64 > BOUND);
    let pixels = format!("attachments.max_image_pixels={PIXELS}");
    let workers = format!("attachments.image_workers={WORKERS}");
    let settings = ["--set", &pixels, "--set", &workers];
    let mut all = Vec::new();
    for _ in 0..4 {
        let grown = growth_by_pictures(COUNT, &picture, &settings).await;
        if grown <= BOUND {
            return;
        }
        all.push(grown);
    }
    panic!("{all:?} bytes, where {BOUND} are the bound");
}
