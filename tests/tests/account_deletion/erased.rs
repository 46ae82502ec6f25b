//! Nothing is left of a deleted account: neither in the store's files nor among the bytes.

use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::json;
use talksy_tests::client::string;
use talksy_tests::faulty_store::{Fault, FaultyStore};
use talksy_tests::uploads::files_below;
use talksy_tests::{client::User, eventually};

use super::{delete, erased, group, mutate, png, quick};

/// The files below a folder that hold one of these texts, but mails: a developer's letters.
pub(super) fn holding(folder: &Path, texts: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for path in files_below(folder) {
        if path.extension().is_some_and(|extension| extension == "eml") {
            continue;
        }
        // What is erased in this moment is no longer there.
        let bytes = std::fs::read(&path).unwrap_or_default();
        for text in texts {
            let text = text.as_bytes();
            if bytes.windows(text.len()).any(|window| window == text) {
                found.push(format!(
                    "{} in {}",
                    String::from_utf8_lossy(text),
                    path.display()
                ));
            }
        }
    }
    found
}

const TEXTS: [&str; 7] = [
    "zanzibar-secret",
    "zanzibar-about",
    "zanzibar-file",
    "zanzibar-edited",
    "zanzibar-key",
    "Zanzibar Name",
    "zanzibar-ada@example.org",
];

/// Leaves traces of all kinds.
async fn live(ada: &User, bob: &User) -> (String, String) {
    let direct = ada.start_chat(bob).await;
    let group = group(ada, &[bob]).await;
    let avatar = ada.upload("zanzibar-file.png", "image/png", png()).await;
    let profile = json!({ "name": "Zanzibar Name", "about": "zanzibar-about", "avatarId": avatar,
        "metadata": { "zanzibar-key": 1 } });
    mutate(ada, "updateProfile", "UpdateProfileInput", profile)
        .await
        .data();
    for chat in [&direct, &group] {
        for n in 0..40 {
            ada.send(
                chat,
                &format!("zanzibar-secret {n} {}", "long ".repeat(200)),
            )
            .await;
        }
        let sent = ada.send(chat, "short").await;
        let edit = json!({ "messageId": sent["message"]["id"], "text": "zanzibar-edited" });
        mutate(ada, "editMessage", "EditMessageInput", edit)
            .await
            .data();
        let file = ada.upload("zanzibar-file.png", "image/png", png()).await;
        ada.send_attached(chat, Some("zanzibar-secret too"), &[file])
            .await
            .data();
        let theirs = bob.send(chat, "kept by bob").await;
        let react = json!({ "messageId": theirs["message"]["id"], "emoji": "👍" });
        mutate(ada, "addReaction", "AddReactionInput", react)
            .await
            .data();
        let pin = json!({ "messageId": theirs["message"]["id"], "pinned": true });
        mutate(ada, "pinMessage", "PinMessageInput", pin)
            .await
            .data();
    }
    // Nobody uses it.
    ada.upload("zanzibar-file.png", "image/png", png()).await;
    ada.announce("zanzibar-file.png", "image/png", 10)
        .await
        .data();
    let picture = ada.upload("zanzibar-file.png", "image/png", png()).await;
    let update = json!({ "chatId": group, "avatarId": picture });
    mutate(ada, "updateGroup", "UpdateGroupInput", update)
        .await
        .data();
    (direct, group)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_byte_of_it_is_left() {
    let app = quick().start().await;
    let (ada, bob) = (app.sign_in("zanzibar-ada").await, app.sign_in("bob").await);
    let (direct, group) = live(&ada, &bob).await;
    assert_eq!(
        holding(app.data_dir(), &["zanzibar-secret"]).len().min(1),
        1
    );
    delete(&app, &ada).await;
    erased(&app).await;

    // The group keeps its picture, which is all that is left of what was uploaded.
    let query = "query($id: ID!) { chat(id: $id) { avatar { id fileName }
        pinnedMessages { nodes { text } } } }";
    let chat = bob.client.data(query, json!({ "id": group })).await["chat"].clone();
    assert_eq!(chat["avatar"]["fileName"], "file.png");
    assert_eq!(chat["pinnedMessages"]["nodes"][0]["text"], "kept by bob");
    let query = "query($id: ID!) { chat(id: $id) { messages(last: 1) { nodes { text
        reactions { count } } } } }";
    let chat = bob.client.data(query, json!({ "id": direct })).await;
    let last = &chat["chat"]["messages"]["nodes"][0];
    assert_eq!(last, &json!({ "text": "kept by bob", "reactions": [] }));
    let picture = string(&json!(
        files_below(&app.data_dir().join("attachments"))
            .len()
            .to_string()
    ));
    assert_eq!(picture, "1");

    let data = app.stop().await;
    let left = holding(data.path(), &TEXTS);
    assert!(left.is_empty(), "{left:#?}");
    assert!(!holding(data.path(), &["kept by bob"]).is_empty());
}

/// Also while the server runs: the log of the database is emptied too.
#[tokio::test(flavor = "multi_thread")]
async fn no_byte_of_it_is_left_while_the_server_runs() {
    let app = quick().start().await;
    let (ada, bob) = (app.sign_in("zanzibar-ada").await, app.sign_in("bob").await);
    live(&ada, &bob).await;
    delete(&app, &ada).await;
    erased(&app).await;
    eventually("the end of all bytes", async || {
        holding(app.data_dir(), &TEXTS).is_empty().then_some(())
    })
    .await;
}

/// The job is done again where the store is away in the middle of it, and once more an hour later.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_in_the_middle_leaves_nothing() {
    for what in [
        "messages.erase",
        "groups.change_group",
        "attachments",
        "sessions.end_sessions_of",
    ] {
        let faults = FaultyStore::new();
        let app = quick().ports(faults.install()).start().await;
        let (ada, bob) = (app.sign_in("zanzibar-ada").await, app.sign_in("bob").await);
        live(&ada, &bob).await;
        faults.set(what, Fault::Unavailable("down for the test"));
        delete(&app, &ada).await;
        eventually("two refusals", async || {
            app.clock.advance(Duration::from_secs(1));
            faults.refused(2).now_or_never()
        })
        .await;
        faults.set(what, Fault::None);
        eventually("the next try", async || {
            app.clock.advance(Duration::from_secs(1));
            holding(app.data_dir(), &TEXTS).is_empty().then_some(())
        })
        .await;
        erased(&app).await;
        app.clock.advance(Duration::from_hours(2));
        let conn = rusqlite::Connection::open(app.data_dir().join("talksy.db")).unwrap();
        conn.busy_timeout(Duration::from_secs(30)).unwrap();
        eventually("the job's end", async || {
            let sql = "SELECT count(*) FROM jobs WHERE kind = 'eraseAccount.1'";
            let open: i64 = conn.query_row(sql, [], |row| row.get(0)).ok()?;
            (open == 0).then_some(())
        })
        .await;
    }
}
