//! What an upload takes of the server's memory.

use std::io::Cursor;

use image::codecs::png::PngEncoder;
use image::{DynamicImage, ImageEncoder as _};
use talksy_tests::process::ServerProcess;
use talksy_tests::uploads::{send_form, upload_form};

/// The most that the process has held at one time since the last [`forget_peak`], in KiB (proc(5)).
fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
    kilobytes.parse().unwrap()
}

/// Has the most be what the process holds now.
fn forget_peak(process: u32) {
    std::fs::write(format!("/proc/{process}/clear_refs"), "5").unwrap();
}

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
    for _ in 0..3 {
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
