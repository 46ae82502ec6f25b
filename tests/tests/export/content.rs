//! What is in an archive.

use http::Method;
use serde_json::{Value, json};
use talksy_tests::app::TestApp;
use talksy_tests::client::User;
use talksy_tests::faulty_store::{Fault, FaultyStore};
use talksy_tests::servers::mongo::Mongo;
use talksy_tests::servers::redis::RedisServer;
use talksy_tests::{eventually, soon};

use super::scene::{Scene, as_asked, asked, group, member};
use super::{Archive, get};

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_has_what_graphql_answers() {
    let app = TestApp::start().await;
    let (ada, bob) = (app.sign_in("ada").await, app.sign_in("bob").await);
    let scene = Scene::play(ada, bob, true).await;
    holds(&scene).await;
}

/// The same over MongoDB and Redis.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_shared_backends_has_what_graphql_answers() {
    let (mongo, redis) = tokio::join!(Mongo::start(), RedisServer::start());
    let urls = (mongo.url("talksy"), redis.url());
    let configured = TestApp::builder().config(move |config| {
        config.store_url = Some(urls.0);
        config.redis_url = Some(urls.1);
    });
    let app = configured.start().await;
    eventually("a ready server", async || {
        let ready = app.client().request(Method::GET, "/readyz").send().await;
        (ready.ok()?.status() == 200).then_some(())
    })
    .await;
    let (ada, bob) = (app.sign_in("ada").await, app.sign_in("bob").await);
    let scene = Scene::play(ada, bob, false).await;
    holds(&scene).await;
}

/// Compares Ada's archive with what she is answered.
async fn holds(scene: &Scene) {
    let archive = Archive::of(&scene.ada).await;
    own_facts(scene, &archive).await;
    for chat in [&scene.direct, &scene.group] {
        let lines = archive.lines(&format!("chats/{chat}/messages"));
        let lines: Vec<_> = lines.iter().map(as_asked).collect();
        assert_eq!(lines, asked(&scene.ada.client, chat).await);
    }
    let direct = archive.lines(&format!("chats/{}/messages", scene.direct));
    memberships(scene, &archive).await;
    left(scene, &archive).await;
    attachments(scene, &archive, &direct);
    let counts = &archive.json("complete.json")["counts"];
    let messages: usize = [&scene.direct, &scene.group, &scene.left]
        .iter()
        .map(|chat| archive.lines(&format!("chats/{chat}/messages")).len())
        .sum();
    let bytes: usize = scene.files.iter().map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(
        counts,
        &json!({ "sessions": 1, "chats": 3, "messages": messages, "attachments": 2, "files": 3,
            "fileBytes": bytes })
    );
}

async fn own_facts(scene: &Scene, archive: &Archive) {
    const ME: &str = "{ me { id name email about metadata createdAt }
        sessions { nodes { id createdAt lastUsedAt expiresAt userAgent ipAddress isCurrent } } }";
    let manifest = archive.json("manifest.json");
    assert_eq!(
        (
            &manifest["format"],
            &manifest["version"],
            &manifest["userId"]
        ),
        (&json!("talksy-export"), &json!(1), &json!(scene.ada.id))
    );
    let parts = manifest["parts"].as_array().unwrap();
    for part in ["profile", "sessions", "chats", "attachments"] {
        assert!(parts.contains(&json!(part)), "{parts:?}");
    }
    let asked = scene.ada.client.data(ME, json!({})).await;
    let mut profile = archive.json("profile.json");
    let fields = profile.as_object_mut().unwrap();
    for more in ["avatarId", "lastSeenAt"] {
        assert_eq!(fields.remove(more), Some(Value::Null), "{more}");
    }
    assert_eq!(profile, asked["me"]);
    let sessions = archive.lines("sessions");
    assert_eq!(json!(sessions), asked["sessions"]["nodes"]);
    // What would let somebody else in is nowhere.
    for (path, bytes) in &archive.files {
        for secret in [&scene.ada.refresh_token, &scene.ada.device_token] {
            let found = bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!found, "{path}");
        }
    }
}

async fn memberships(scene: &Scene, archive: &Archive) {
    const CHAT: &str = "query($id: ID!) { chat(id: $id) { id kind title metadata createdAt
        isMutedByViewer viewerUnreadFromSeq
        viewerMember { role joinedAt visibleFromSeq lastReadSeq lastReadAt } } }";
    for id in [&scene.direct, &scene.group] {
        let asked = scene.ada.client.data(CHAT, json!({ "id": id })).await;
        let (asked, own) = (&asked["chat"], &asked["chat"]["viewerMember"]);
        let expected = json!({
            "id": asked["id"], "kind": asked["kind"], "title": asked["title"],
            "metadata": asked["metadata"], "createdAt": asked["createdAt"],
            "membership": {
                "role": own["role"], "joinedAt": own["joinedAt"], "leftSeq": null,
                "visibleFromSeq": own["visibleFromSeq"], "lastReadSeq": own["lastReadSeq"],
                "lastReadAt": own["lastReadAt"], "isMuted": asked["isMutedByViewer"],
                "unreadFromSeq": asked["viewerUnreadFromSeq"],
            },
        });
        assert_eq!(archive.json(&format!("chats/{id}/chat.json")), expected);
    }
    let direct = archive.json(&format!("chats/{}/chat.json", scene.direct));
    assert_eq!(direct["title"], json!("bob"));
    assert_eq!(direct["membership"]["unreadFromSeq"], json!(2));
    let group = archive.json(&format!("chats/{}/chat.json", scene.group));
    assert_eq!(group["metadata"], json!({ "b": 1, "a": [2] }));
    assert_eq!(group["membership"]["isMuted"], json!(true));
}

/// Of a group that was left nothing is there but what lies between joining and leaving.
async fn left(scene: &Scene, archive: &Archive) {
    let seen = asked(&scene.bob.client, &scene.left).await;
    let hers: Vec<_> = seen[3..7].to_vec();
    assert_eq!(hers[0]["system"]["kind"], json!("MEMBER_ADDED"));
    assert_eq!(hers[3]["system"]["kind"], json!("MEMBER_REMOVED"));
    let lines = archive.lines(&format!("chats/{}/messages", scene.left));
    assert_eq!(lines.iter().map(as_asked).collect::<Vec<_>>(), hers);
    let chat = archive.json(&format!("chats/{}/chat.json", scene.left));
    assert_eq!(
        (&chat["title"], &chat["metadata"]),
        (&json!("With her"), &Value::Null)
    );
    let own = &chat["membership"];
    assert_eq!(
        (&own["visibleFromSeq"], &own["leftSeq"]),
        (&hers[0]["seq"], &hers[3]["seq"])
    );
    let gone = scene.ada.client.data(
        "query($id: ID!) { chat(id: $id) { id } }",
        json!({ "id": scene.left }),
    );
    assert_eq!(
        gone.await["chat"],
        Value::Null,
        "GraphQL shows her nothing of it"
    );
    for (path, bytes) in &archive.files {
        for hidden in ["ahead of her", "behind her", "Without her"] {
            let found = bytes
                .windows(hidden.len())
                .any(|part| part == hidden.as_bytes());
            assert!(!found, "{hidden} in {path}");
        }
    }
}

fn attachments(scene: &Scene, archive: &Archive, direct: &[Value]) {
    let own = archive.lines("attachments");
    assert_eq!(own.len(), 2);
    let one = |place: usize| {
        let id = &scene.files[place].0;
        own.iter().find(|line| line["id"] == json!(id)).unwrap()
    };
    assert_eq!(one(0)["fileName"], json!("Grüße.txt"));
    assert_eq!(one(1)["usedBy"], Value::Null);
    let kind = one(1)["file"].as_str().unwrap().rsplit_once('.');
    assert_eq!(kind.map(|(_, kind)| kind), Some("txt"));
    let shown = direct
        .iter()
        .flat_map(|line| line["attachments"].as_array().unwrap());
    for line in own.iter().chain(shown) {
        let (_, bytes) = scene
            .files
            .iter()
            .find(|(id, _)| line["id"] == json!(id))
            .unwrap();
        assert_eq!(archive.bytes(line), bytes, "{line}");
    }
}

/// What belongs to two people is in the archive of each, and what is one's own in no other's.
#[tokio::test(flavor = "multi_thread")]
async fn each_has_an_archive_of_their_own() {
    let app = TestApp::start().await;
    let (ada, bob) = (app.sign_in("ada").await, app.sign_in("bob").await);
    let eve = app.sign_in("eve").await;
    let scene = Scene::play(ada, bob, false).await;
    let with_eve = scene.bob.start_chat(&eve).await;
    scene.bob.send(&with_eve, "between us").await;
    let (his, hers) = (Archive::of(&scene.bob).await, Archive::of(&scene.ada).await);
    let message =
        |archive: &Archive| archive.lines(&format!("chats/{}/messages", scene.direct))[0].clone();
    assert_eq!(message(&his), message(&hers));
    assert!(
        his.files
            .contains_key(&format!("chats/{with_eve}/chat.json"))
    );
    assert!(!hers.paths.iter().any(|path| path.contains(&with_eve)));
    assert_eq!(his.lines("attachments").len(), 1);
    let nothing = Archive::of(&app.sign_in("new").await).await;
    assert_eq!(
        nothing.paths,
        [
            "manifest.json",
            "profile.json",
            "sessions/000001.jsonl",
            "complete.json"
        ]
    );
}

/// Whoever joins again sees what they see as a member, and no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_who_was_away_has_the_present_range() {
    let app = TestApp::start().await;
    let (ada, bob) = (app.sign_in("ada").await, app.sign_in("bob").await);
    let chat = group(&bob, "Engines", &[&ada]).await;
    bob.send(&chat, "first").await;
    member(&bob, &chat, &ada, false).await;
    bob.send(&chat, "meanwhile").await;
    member(&bob, &chat, &ada, true).await;
    bob.send(&chat, "again").await;
    let archive = Archive::of(&ada).await;
    let lines = archive.lines(&format!("chats/{chat}/messages"));
    let lines: Vec<_> = lines.iter().map(as_asked).collect();
    assert_eq!(lines, asked(&ada.client, &chat).await);
    assert_eq!(lines.len(), 2);
}

/// A member who is removed while the chat is being written has nothing of what was sent behind that,
/// although it was read before their end was known.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_removed_meanwhile_has_nothing_behind_that() {
    let store = FaultyStore::new();
    let app = TestApp::builder().ports(store.install()).start().await;
    let (ada, bob) = (app.sign_in("ada").await, app.sign_in("bob").await);
    let chat = group(&bob, "Engines", &[&ada]).await;
    for number in 0..150 {
        bob.send(&chat, &format!("message {number}")).await;
    }
    store.set("messages.page", Fault::Held);
    let exporting = {
        let ada = ada.clone();
        tokio::spawn(async move { Archive::of(&ada).await })
    };
    store.arrived("messages.page").await;
    // The chat has begun, with all of its messages.
    member(&bob, &chat, &ada, false).await;
    bob.send(&chat, "behind her").await;
    store.set("messages.page", Fault::None);
    store.release("messages.page", 1);
    let archive = soon("the archive", exporting).await.unwrap();
    let lines = archive.lines(&format!("chats/{chat}/messages"));
    assert!(lines.iter().all(|line| line["text"] != json!("behind her")));
    assert_eq!(lines.len(), 151, "what was there, and nothing twice");
}

/// The headers say what it is, and that no page shows it.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_saved_and_kept_by_no_cache() {
    let app = TestApp::builder()
        .config(|config| config.http.cors_origins = vec!["https://chat.example.org".to_owned()])
        .start()
        .await;
    let ada: User = app.sign_in("ada").await;
    let request = ada.client.request(Method::GET, "/export");
    let response = request.header("origin", "https://chat.example.org").send();
    let response = response.await.unwrap();
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/x-tar");
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(
        header("content-security-policy"),
        "default-src 'none'; sandbox"
    );
    assert_eq!(
        header("access-control-allow-origin"),
        "https://chat.example.org"
    );
    let disposition = header("content-disposition");
    assert!(
        disposition.starts_with("attachment; filename=\"talksy-export-"),
        "{disposition}"
    );
    // One at a time: this one has to be read first.
    response.bytes().await.unwrap();
    assert_eq!(get(&ada.client).await.status(), 200);
}
