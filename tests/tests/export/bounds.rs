//! An archive is made as quickly as it is taken, and for as long as somebody takes it.

use std::time::Duration;

use talksy_tests::app::TestApp;
use talksy_tests::client::User;
use talksy_tests::faulty_store::FaultyStore;
use talksy_tests::soon;
use talksy_tests::wire::Wire;

use super::{Archive, get};

fn zip(megabytes: usize) -> Vec<u8> {
    [&b"PK\x03\x04"[..], &vec![0; (megabytes << 20) - 4]].concat()
}

/// A client that asks for the archive and reads nothing of it.
async fn idle(app: &TestApp, user: &User) -> Wire {
    let mut wire = Wire::narrow(app.address).await;
    let token = user.client.token().unwrap();
    let request =
        format!("GET /export HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n");
    wire.write(request).await;
    wire
}

/// What a client does not take is not read: of six files of eight megabytes not the third is begun. And
/// it is given up in its time, so that its place is another's.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_holds_little_and_not_for_long() {
    let store = FaultyStore::new();
    let app = TestApp::builder()
        .config(|config| {
            config.http.write_timeout = Duration::from_secs(1);
            config.http.max_exports = 1;
        })
        .ports(store.install())
        .start()
        .await;
    let ada = app.sign_in("ada").await;
    for number in 0..6 {
        ada.upload(&format!("{number}.zip"), "application/zip", zip(8))
            .await;
    }
    let before = store.calls("objects.read");
    let mut wire = idle(&app, &ada).await;
    wire.given_up().await;
    let begun = store.calls("objects.read") - before;
    assert!((1..=2).contains(&begun), "{begun} files");
    talksy_tests::eventually("the place", async || {
        (get(&ada.client).await.status() == 200).then_some(())
    })
    .await;
}

/// The same of messages: pages are read one after the other, and no further than they are taken.
#[tokio::test(flavor = "multi_thread")]
async fn pages_are_read_as_they_are_taken() {
    let store = FaultyStore::new();
    let app = TestApp::builder()
        .config(|config| config.http.write_timeout = Duration::from_secs(1))
        .ports(store.install())
        .start()
        .await;
    let (ada, bob, chat) = app.pair().await;
    bob.upload("a.zip", "application/zip", zip(16)).await;
    let large = bob.upload("b.zip", "application/zip", zip(16)).await;
    for number in 0..450 {
        if number == 120 {
            bob.send_attached(&chat, None, std::slice::from_ref(&large))
                .await
                .data();
        }
        bob.send(&chat, &format!("message {number}")).await;
    }
    let before = store.calls("messages.page");
    let mut wire = idle(&app, &ada).await;
    wire.given_up().await;
    let stalled = store.calls("messages.page") - before;
    // The second page has the file that is not taken; the next one may have been asked for.
    assert!((2..=3).contains(&stalled), "{stalled} pages");
    let before = store.calls("messages.page");
    let archive = soon("the archive", Archive::of(&ada)).await;
    assert_eq!(store.calls("messages.page") - before, 5);
    assert_eq!(archive.lines(&format!("chats/{chat}/messages")).len(), 451);
}
