//! Attachments that nobody uses any more are erased, with their bytes.

use std::time::Duration;

use serde_json::{Value, json};
use talksy_tests::app::{Builder, TestApp};
use talksy_tests::client::{User, string};
use talksy_tests::eventually;
use talksy_tests::faulty_store::{Fault, FaultyStore};
use talksy_tests::uploads::{files_below, get};

use super::png;

const DELETE: &str = "mutation($input: DeleteMessageInput!) { deleteMessage(input: $input) {
    message { id kind text attachments { id } deletedAt } } }";

/// An app that looks for jobs often.
fn quick() -> Builder {
    TestApp::builder().config(|config| config.jobs.poll = Duration::from_millis(100))
}

async fn erased(app: &TestApp) {
    let folder = app.data_dir().join("attachments");
    eventually("the end of all bytes", async || {
        app.clock.advance(Duration::from_secs(1));
        files_below(&folder).is_empty().then_some(())
    })
    .await;
}

/// Sends a message with an image that has a smaller one; the message's id and the image's URL.
async fn with_image(ada: &User, chat: &str) -> (String, String, String) {
    let id = ada.upload("a.png", "image/png", png(810, 20)).await;
    let sent = ada
        .send_attached(chat, Some("look"), std::slice::from_ref(&id))
        .await
        .data();
    let message = &sent["sendMessage"]["message"];
    let url = string(&message["attachments"][0]["url"]);
    (string(&message["id"]), url, id)
}

async fn delete(user: &User, message: &str) -> talksy_tests::client::Reply {
    let input = json!({ "input": { "messageId": message } });
    user.client.run(DELETE, input).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_attachments_of_a_deleted_message_are_erased() {
    const NODE: &str = "query($id: ID!) { node(id: $id) { id } }";
    let app = quick().start().await;
    let (ada, bob, chat) = app.pair().await;
    let (message, url, id) = with_image(&ada, &chat).await;
    assert_eq!(files_below(&app.data_dir().join("attachments")).len(), 2);
    // Who may not delete it has nothing erased.
    assert_eq!(delete(&bob, &message).await.code(), "FORBIDDEN");
    app.clock.advance(Duration::from_mins(1));
    assert_eq!(get(&ada.client, &url).await.status(), 200);
    let deleted = delete(&ada, &message).await.data();
    let deleted = &deleted["deleteMessage"]["message"];
    assert_eq!(
        (&deleted["text"], &deleted["attachments"]),
        (&Value::Null, &json!([]))
    );
    app.clock.advance(Duration::from_secs(30));
    let folder = app.data_dir().join("attachments");
    eventually("the end of its bytes", async || {
        files_below(&folder).is_empty().then_some(())
    })
    .await;
    assert_eq!(get(&ada.client, &url).await.status(), 404);
    let node = ada.client.data(NODE, json!({ "id": id })).await;
    assert_eq!(node["node"], Value::Null);
}

/// A retry is answered with what is left of the message, also where its attachments are gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_of_a_deleted_message_with_attachments_finds_what_is_left_of_it() {
    const SEND: &str = "mutation($input: SendMessageInput!) { sendMessage(input: $input) {
        message { id seq kind text attachments { id } deletedAt } } }";
    let app = quick().start().await;
    let (ada, bob, chat) = app.pair().await;
    let image = ada.upload("a.png", "image/png", png(810, 20)).await;
    let send = async |own_id: &str, text: &str| {
        let input = json!({ "chatId": chat, "text": text, "attachmentIds": [image],
            "clientMessageId": own_id });
        ada.client.run(SEND, json!({ "input": input })).await
    };
    let first = send("one", "look").await.data();
    let message = string(&first["sendMessage"]["message"]["id"]);
    let deleted = delete(&ada, &message).await.data();
    let deleted_at = &deleted["deleteMessage"]["message"]["deletedAt"];
    // Before the bytes are erased, and behind that.
    for is_erased in [false, true] {
        if is_erased {
            erased(&app).await;
        }
        let again = send("one", "look").await.data();
        let again = &again["sendMessage"]["message"];
        let expected = json!({ "id": message, "seq": 1, "kind": "IMAGE", "text": null,
            "attachments": [], "deletedAt": deleted_at });
        assert_eq!(again, &expected, "erased: {is_erased}");
        assert_eq!(send("one", "other").await.code(), "CONFLICT");
    }
    // It is nothing that another message may have.
    assert_eq!(send("two", "look").await.code(), "NOT_FOUND");
    let next = bob.send(&chat, "hi").await;
    assert_eq!(next["message"]["seq"], 2);
}

/// Each is erased by a job of its own: neither takes the other's place.
#[tokio::test(flavor = "multi_thread")]
async fn the_reactions_to_a_message_are_erased_beside_its_attachments() {
    const REACT: &str = "mutation($input: AddReactionInput!) { addReaction(input: $input) {
        message { id attachments { id } } } }";
    let store = FaultyStore::new();
    let app = quick().ports(store.install()).start().await;
    let (ada, bob, chat) = app.pair().await;
    let (message, _, id) = with_image(&ada, &chat).await;
    let reaction = json!({ "messageId": message, "emoji": "👍" });
    let added = bob.client.data(REACT, json!({ "input": reaction })).await;
    assert_eq!(
        added["addReaction"]["message"]["attachments"],
        json!([{ "id": id }])
    );
    store.set(
        "messages.erase_reactions",
        Fault::Unavailable("down for the test"),
    );
    delete(&ada, &message).await.data();
    erased(&app).await;
    store.refused(1).await;
}

/// The erasing outlasts an outage of the store of bytes.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_erased_now_is_erased_later() {
    let store = FaultyStore::new();
    let app = quick().ports(store.install()).start().await;
    let (ada, _, chat) = app.pair().await;
    let (message, _, _) = with_image(&ada, &chat).await;
    store.set("objects.erase", Fault::Unavailable("down for the test"));
    delete(&ada, &message).await.data();
    app.clock.advance(Duration::from_secs(10));
    store.refused(1).await;
    store.set("objects.erase", Fault::None);
    erased(&app).await;
}

/// A store of bytes that is down is told as that, and nothing is half done.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_told_as_one_and_the_upload_can_be_sent_again() {
    let store = FaultyStore::new();
    let app = quick().ports(store.install()).start().await;
    let (ada, _, chat) = app.pair().await;
    let announced = ada.announce("a.txt", "text/plain", 5).await.data();
    let url = string(&announced["createUpload"]["url"]);
    store.set("objects", Fault::Unavailable("down for the test"));
    let reply = talksy_tests::uploads::put(&ada.client, &url, "hello").await;
    assert_eq!((reply.status, reply.code()), (503, "UNAVAILABLE"));
    store.set("objects", Fault::None);
    let reply = talksy_tests::uploads::put(&ada.client, &url, "hello").await;
    assert_eq!(reply.status, 204);
    let id = string(&announced["createUpload"]["attachmentId"]);
    let sent = ada.send_attached(&chat, None, &[id]).await.data();
    let url = string(&sent["sendMessage"]["message"]["attachments"][0]["url"]);
    store.set("objects", Fault::Unavailable("down for the test"));
    assert_eq!(get(&ada.client, &url).await.status(), 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_uses_is_erased_after_a_day_and_what_is_used_stays() {
    let app = quick().start().await;
    let (ada, _, chat) = app.pair().await;
    let (_, _, used) = with_image(&ada, &chat).await;
    ada.upload("b.txt", "text/plain", b"hello".to_vec()).await;
    ada.announce("c.txt", "text/plain", 5).await.data();
    let folder = app.data_dir().join("attachments");
    assert_eq!(files_below(&folder).len(), 3);
    app.clock.advance(Duration::from_hours(25));
    eventually("the end of what is not used", async || {
        app.clock.advance(Duration::from_secs(1));
        (files_below(&folder).len() == 2).then_some(())
    })
    .await;
    // Nor does a further day change that.
    app.clock.advance(Duration::from_hours(49));
    let attachments = app.adapters.ports.attachments.clone();
    let id = used.parse().unwrap();
    let found = attachments.attachments(&[id]).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(files_below(&folder).len(), 2);
}

/// A send that is broken off between its claim and its message leaves attachments that a retry sends.
#[tokio::test(flavor = "multi_thread")]
async fn a_send_that_was_broken_off_is_completed_by_its_retry() {
    let store = FaultyStore::new();
    let app = quick().ports(store.install()).start().await;
    let (ada, _, chat) = app.pair().await;
    let id = ada.upload("a.txt", "text/plain", b"hello".to_vec()).await;
    let send = async || {
        let input = json!({ "chatId": chat, "attachmentIds": [id], "clientMessageId": "one" });
        let send = talksy_tests::uploads::SEND_ATTACHED;
        ada.client.run(send, json!({ "input": input })).await
    };
    store.set("messages.append", Fault::Unavailable("down for the test"));
    assert_eq!(send().await.code(), "UNAVAILABLE");
    store.set("messages.append", Fault::None);
    let message = send().await.data();
    let attachments = &message["sendMessage"]["message"]["attachments"];
    assert_eq!(attachments[0]["id"], json!(id));
    // The sweep finds that it is used.
    app.clock.advance(Duration::from_hours(26));
    eventually("the sweep", async || {
        let id = id.parse().unwrap();
        let found = app.adapters.ports.attachments.attachments(&[id]).await;
        let state = found.unwrap().pop()?.state;
        (state == talksy_domain::attachments::AttachmentState::Used).then_some(())
    })
    .await;
}

/// What a send has claimed whose message has not come yet is of that send and of its retries: not of
/// another message, which would be stored under the same id, nor of one in another chat.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_send_under_way_has_claimed_no_other_message_takes() {
    let store = FaultyStore::new();
    let app = quick().ports(store.install()).start().await;
    let (ada, _, chat) = app.pair().await;
    let eve = app.sign_in("eve").await;
    let elsewhere = ada.start_chat(&eve).await;
    let id = ada.upload("a.txt", "text/plain", b"hello".to_vec()).await;
    let input = |chat: &str, own_id: Option<&str>| {
        json!({ "input": { "chatId": chat,
        "attachmentIds": [id], "clientMessageId": own_id } })
    };
    let send = async |chat: &str, own_id: Option<&str>| {
        let send = talksy_tests::uploads::SEND_ATTACHED;
        ada.client.run(send, input(chat, own_id)).await
    };
    store.set("messages.append", Fault::Held);
    let first = tokio::spawn({
        let (client, input) = (ada.client.clone(), input(&chat, Some("one")));
        async move {
            client
                .run(talksy_tests::uploads::SEND_ATTACHED, input)
                .await
        }
    });
    store.arrived("messages.append").await;
    store.set("messages.append", Fault::None);
    for (chat, own_id) in [
        (&chat, Some("other")),
        (&elsewhere, Some("one")),
        (&elsewhere, Some("other")),
        (&chat, None),
    ] {
        let refused = send(chat, own_id).await;
        assert_eq!(
            refused.code_and_field(),
            ("CONFLICT", "input.attachmentIds"),
            "{own_id:?}"
        );
    }
    let retry = send(&chat, Some("one")).await.data();
    store.release("messages.append", 1);
    let first = first.await.unwrap().data();
    assert_eq!(
        first["sendMessage"]["message"],
        retry["sendMessage"]["message"]
    );
    assert_eq!(
        retry["sendMessage"]["message"]["attachments"][0]["id"],
        json!(id)
    );
}
