//! Two servers on one MongoDB: an account that is deleted at one is gone at the other.

use std::path::Path;

use mongodb::Client;
use mongodb::bson::{Document, doc};
use secrecy::ExposeSecret as _;
use serde_json::json;
use talksy_tests::client::MESSAGE_ADDED;
use talksy_tests::cluster::{Addresses, Cluster, client_at};
use talksy_tests::eventually;
use talksy_tests::replica::AccountReplica;

use super::{group, mutate, present, request};

/// The code in the letter that deletes an account.
pub(super) async fn mailed(outbox: &Path) -> String {
    eventually("a letter", async || {
        let mails = std::fs::read_dir(outbox).ok()?;
        mails.into_iter().find_map(|entry| {
            let mail = std::fs::read_to_string(entry.ok()?.path()).ok()?;
            let (before, _) = mail.split_once(" deletes your Talksy account")?;
            let (_, code) = before.rsplit_once("Subject: ")?;
            Some(code.to_owned())
        })
    })
    .await
}

/// The collections that hold one of these texts.
pub(super) async fn holding(database: &mongodb::Database, texts: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for name in database.list_collection_names().await.unwrap() {
        let mut all = database
            .collection::<Document>(&name)
            .find(doc! {})
            .await
            .unwrap();
        while all.advance().await.unwrap() {
            let bytes = all.current().as_bytes();
            for text in texts {
                let is_held = |window: &[u8]| window == text.as_bytes();
                if bytes.windows(text.len()).any(is_held) {
                    found.push(format!("{text} in {name}"));
                }
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_deleted_at_one_server_is_gone_at_the_other() {
    const TEXTS: [&str; 3] = [
        "zanzibar-secret",
        "Zanzibar Name",
        "zanzibar-ada@example.org",
    ];
    let cluster = Cluster::start().await;
    let settings = ["jobs.poll=100ms", "auth.otp_resend=1s"];
    let a = cluster.instance(&settings).await;
    let b = cluster.instance(&settings).await;
    let (ada, bob) = (a.sign_in("zanzibar-ada").await, b.sign_in("bob").await);
    let direct = ada.start_chat(&bob).await;
    let group = group(&ada, &[&bob]).await;
    let name = json!({ "name": "Zanzibar Name" });
    mutate(&ada, "updateProfile", "UpdateProfileInput", name)
        .await
        .data();
    for chat in [&direct, &group] {
        for n in 0..5 {
            ada.send(chat, &format!("zanzibar-secret {n}")).await;
        }
        let theirs = bob.send(chat, "kept by bob").await;
        let react = json!({ "messageId": theirs["message"]["id"], "emoji": "👍" });
        mutate(&ada, "addReaction", "AddReactionInput", react)
            .await
            .data();
    }
    let replica = AccountReplica::start(&bob, &Addresses::new(&[b.address()]));
    replica.agrees_with(&bob.client).await;
    let elsewhere = client_at(&ada, b.address());
    let mut feed = elsewhere
        .subscribe(MESSAGE_ADDED, json!({ "chatId": direct }))
        .await;

    let challenge = request(&ada).await;
    let code = mailed(&a.data.path().join("outbox")).await;
    // Either server takes it.
    present(&elsewhere, &challenge, &code).await.data();
    assert_eq!(feed.socket().closed().await, 4403);
    for client in [&elsewhere, &ada.client] {
        eventually("a refused token", async || {
            let reply = client.run("{ me { id } }", json!({})).await;
            (reply.body.get("errors").is_some() && reply.code() == "UNAUTHENTICATED").then_some(())
        })
        .await;
    }
    let url = cluster.mongo.url("talksy");
    let client = Client::with_uri_str(url.expose_secret()).await.unwrap();
    let database = client.database("talksy");
    eventually("the erasing", async || {
        holding(&database, &TEXTS).await.is_empty().then_some(())
    })
    .await;
    assert!(!holding(&database, &["kept by bob"]).await.is_empty());
    replica.agrees_with(&bob.client).await;
    let sending = json!({ "chatId": direct, "text": "?" });
    let refused = mutate(&bob, "sendMessage", "SendMessageInput", sending).await;
    assert_eq!(refused.code_and_field(), ("FORBIDDEN", "input.chatId"));
    let new = b.sign_in("zanzibar-ada").await;
    assert_ne!(new.id, ada.id);
}
