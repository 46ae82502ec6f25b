//! Pictures of users and of groups.

use std::time::Duration;

use serde_json::{Value, json};
use talksy_tests::app::TestApp;
use talksy_tests::client::{Reply, User, string};
use talksy_tests::eventually;
use talksy_tests::uploads::{files_below, get};

use super::png;

const UPDATE_PROFILE: &str = "mutation($input: UpdateProfileInput!) {
    updateProfile(input: $input) { user { name avatar { id url width } } } }";
const CREATE_GROUP: &str = "mutation($input: CreateGroupInput!) {
    createGroup(input: $input) { chat { id title avatar { id } } } }";
const UPDATE_GROUP: &str = "mutation($input: UpdateGroupInput!) {
    updateGroup(input: $input) { chat { id title avatar { id } lastSeq } } }";

async fn run(user: &User, mutation: &str, input: Value) -> Reply {
    user.client.run(mutation, json!({ "input": input })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_a_picture_that_others_see() {
    const SEEN: &str =
        "query($id: ID!) { chat(id: $id) { avatar { id } peer { avatar { id url } } } }";
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let id = ada.upload("a.png", "image/png", png(30, 30)).await;
    let changed = run(&ada, UPDATE_PROFILE, json!({ "avatarId": id }))
        .await
        .data();
    let user = &changed["updateProfile"]["user"];
    assert_eq!(
        (&user["name"], &user["avatar"]["id"]),
        (&json!("ada"), &json!(id))
    );
    // The same again changes nothing.
    run(&ada, UPDATE_PROFILE, json!({ "avatarId": id }))
        .await
        .data();
    let seen = bob.client.data(SEEN, json!({ "id": chat })).await;
    let avatar = &seen["chat"]["peer"]["avatar"];
    assert_eq!(
        (&avatar["id"], &seen["chat"]["avatar"]["id"]),
        (&json!(id), &json!(id))
    );
    assert_eq!(
        get(&bob.client, &string(&avatar["url"])).await.status(),
        200
    );
    // What is a picture is no attachment of a message.
    let reply = ada
        .send_attached(&chat, None, std::slice::from_ref(&id))
        .await;
    assert_eq!(reply.code(), "CONFLICT");
    let none = run(&ada, UPDATE_PROFILE, json!({ "avatarId": null }))
        .await
        .data();
    assert_eq!(none["updateProfile"]["user"]["avatar"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_an_own_image_that_is_not_used() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let text = ada.upload("a.txt", "text/plain", b"hello".to_vec()).await;
    let of_bob = bob.upload("a.png", "image/png", png(30, 30)).await;
    let used = ada.upload("a.png", "image/png", png(30, 30)).await;
    ada.send_attached(&chat, None, std::slice::from_ref(&used))
        .await
        .data();
    for (id, code) in [
        (&text, "BAD_USER_INPUT"),
        (&of_bob, "NOT_FOUND"),
        (&used, "CONFLICT"),
        (&chat, "BAD_USER_INPUT"),
    ] {
        let reply = run(&ada, UPDATE_PROFILE, json!({ "avatarId": id })).await;
        assert_eq!(
            reply.code_and_field(),
            (code, "input.avatarId"),
            "{}",
            reply.body
        );
        let group = json!({ "title": "Looms", "memberIds": [], "avatarId": id });
        let reply = run(&ada, CREATE_GROUP, group).await;
        assert_eq!(
            reply.code_and_field(),
            (code, "input.avatarId"),
            "{}",
            reply.body
        );
    }
    // What was refused as a picture can still be sent.
    ada.send_attached(&chat, None, &[text]).await.data();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_has_a_picture_and_a_notice_says_so() {
    const SEEN: &str = "query($id: ID!) { chat(id: $id) { avatar { id } messages(last: 10) {
        nodes { system { kind actor { id } title } } } } }";
    let app = TestApp::start().await;
    let (ada, bob, _) = app.pair().await;
    let first = ada.upload("a.png", "image/png", png(30, 30)).await;
    let group = json!({ "title": "Looms", "memberIds": [bob.id], "avatarId": first,
        "clientChatId": "one" });
    let made = run(&ada, CREATE_GROUP, group.clone()).await.data();
    let again = run(&ada, CREATE_GROUP, group.clone()).await.data();
    assert_eq!(made, again);
    let chat = string(&made["createGroup"]["chat"]["id"]);
    assert_eq!(made["createGroup"]["chat"]["avatar"]["id"], json!(first));

    let second = ada.upload("a.png", "image/png", png(30, 30)).await;
    let input = json!({ "chatId": chat, "title": "Engines", "avatarId": second });
    let changed = run(&ada, UPDATE_GROUP, input.clone()).await.data();
    let changed = &changed["updateGroup"]["chat"];
    assert_eq!(changed["title"], json!("Engines"));
    assert_eq!(changed["avatar"]["id"], json!(second));
    // The same again is no further notice.
    let same = run(&ada, UPDATE_GROUP, input).await.data();
    assert_eq!(same["updateGroup"]["chat"]["lastSeq"], changed["lastSeq"]);
    let seen = bob.client.data(SEEN, json!({ "id": chat })).await;
    assert_eq!(seen["chat"]["avatar"]["id"], json!(second));
    let nodes = seen["chat"]["messages"]["nodes"].as_array().unwrap();
    let kinds: Vec<_> = nodes
        .iter()
        .map(|node| string(&node["system"]["kind"]))
        .collect();
    // Both are said by one.
    assert_eq!(kinds, ["CHAT_CREATED", "TITLE_CHANGED"]);
    // The group that was made with a picture is found by its own id, though it has another one by now.
    let again = run(&ada, CREATE_GROUP, group).await.data();
    assert_eq!(again["createGroup"]["chat"]["id"], json!(chat));
    assert_eq!(again["createGroup"]["chat"]["avatar"]["id"], json!(second));
    // A plain member may not, and keeps what they have.
    let own = bob.upload("a.png", "image/png", png(30, 30)).await;
    let input = json!({ "chatId": chat, "avatarId": own });
    assert_eq!(run(&bob, UPDATE_GROUP, input).await.code(), "FORBIDDEN");
    run(&bob, UPDATE_PROFILE, json!({ "avatarId": own }))
        .await
        .data();
    let input = json!({ "chatId": chat, "avatarId": null });
    let none = run(&ada, UPDATE_GROUP, input).await.data();
    assert_eq!(none["updateGroup"]["chat"]["avatar"], Value::Null);
    let seen = bob.client.data(SEEN, json!({ "id": chat })).await;
    let nodes = seen["chat"]["messages"]["nodes"].as_array().unwrap();
    let last = &nodes.last().unwrap()["system"];
    assert_eq!(last["kind"], json!("AVATAR_CHANGED"));
}

/// A picture that another has taken the place of is erased; the one that is there stays.
#[tokio::test(flavor = "multi_thread")]
async fn former_pictures_are_erased() {
    let app = TestApp::builder()
        .config(|config| config.jobs.poll = Duration::from_millis(100))
        .start()
        .await;
    let ada = app.sign_in("ada").await;
    let mut last = String::new();
    for _ in 0..3 {
        last = ada.upload("a.png", "image/png", png(30, 30)).await;
        run(&ada, UPDATE_PROFILE, json!({ "avatarId": last }))
            .await
            .data();
    }
    let folder = app.data_dir().join("attachments");
    assert_eq!(files_below(&folder).len(), 3);
    app.clock.advance(Duration::from_hours(3));
    eventually("the end of former pictures", async || {
        app.clock.advance(Duration::from_secs(1));
        (files_below(&folder).len() == 1).then_some(())
    })
    .await;
    assert!(files_below(&folder)[0].to_str().unwrap().contains(&last));
}
