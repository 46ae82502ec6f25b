//! Whom the list of users shows, and what an id that one knows is good for.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};
use talksy_server::config::{Directory, Quota};
use talksy_tests::app::TestApp;
use talksy_tests::client::{Reply, User, string};

use super::{input, retry_after};

const USERS: &str = "query($search: String, $first: Int, $after: String) {
    users(search: $search, first: $first, after: $after) {
        nodes { id name } pageInfo { hasNextPage endCursor } } }";
const NODE: &str = "query($id: ID!) { node(id: $id) { ... on User { name } } }";
const RENAME: &str = "mutation($input: UpdateProfileInput!) {
    updateProfile(input: $input) { user { name } } }";

async fn app(directory: Option<Directory>) -> TestApp {
    TestApp::builder()
        .config(move |config| config.users.directory = directory)
        .start()
        .await
}

async fn search(user: &User, text: Option<&str>) -> Reply {
    user.client.run(USERS, json!({ "search": text })).await
}

/// The names that a search finds.
async fn found(user: &User, text: Option<&str>) -> Vec<String> {
    let data = search(user, text).await.data();
    let nodes = data["users"]["nodes"].as_array().unwrap();
    nodes.iter().map(|node| string(&node["name"])).collect()
}

/// The name of the user of an id, where it may be read.
async fn name_of(user: &User, id: &str) -> Value {
    let data = user.client.data(NODE, json!({ "id": id })).await;
    data["node"]["name"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_choice_everyone_is_shown() {
    for directory in [None, Some(Directory::Everyone)] {
        let app = app(directory).await;
        let (ada, bob) = (app.sign_in("ada").await, app.sign_in("bob").await);
        assert_eq!(found(&ada, None).await, ["bob"]);
        assert_eq!(found(&ada, Some("b")).await, ["bob"]);
        assert_eq!(name_of(&ada, &bob.id).await, json!("bob"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shares_a_chat_is_shown_and_nobody_else() {
    let app = app(Some(Directory::SharedChats)).await;
    let (ada, bob) = (app.sign_in("ada").await, app.sign_in("bob").await);
    let eve = app.sign_in("eve").await;
    for user in [&ada, &bob, &eve] {
        assert_eq!(found(user, None).await, [""; 0]);
    }
    // Oneself can be read, and a stranger's profile not, whether or not there is one.
    assert_eq!(name_of(&ada, &ada.id).await, json!("ada"));
    assert_eq!(name_of(&ada, &bob.id).await, Value::Null);
    assert_eq!(
        name_of(&ada, "usr_01h455vb4pex5vsknk084sn02q").await,
        Value::Null
    );

    // An id that one knows is good for a chat, and from then on for the profile.
    ada.start_chat(&bob).await;
    assert_eq!(found(&ada, None).await, ["bob"]);
    assert_eq!(found(&bob, Some("A")).await, ["ada"]);
    assert_eq!(found(&ada, Some("e")).await, [""; 0]);
    assert_eq!(found(&eve, None).await, [""; 0]);
    assert_eq!(name_of(&ada, &bob.id).await, json!("bob"));
    assert_eq!(name_of(&eve, &bob.id).await, Value::Null);

    // Also for a place in a group.
    let create = "mutation($input: CreateGroupInput!) { createGroup(input: $input) {
        chat { members { nodes { user { name } } } } } }";
    let group = json!({ "title": "Group", "memberIds": [eve.id] });
    let data = ada.client.data(create, input(group)).await;
    let members = data["createGroup"]["chat"]["members"]["nodes"].as_array();
    let names = members.unwrap().iter().map(|node| &node["user"]["name"]);
    // By the age of their accounts, which are as old as one another.
    assert_eq!(
        names.collect::<HashSet<_>>(),
        HashSet::from([&json!("ada"), &json!("eve")])
    );
    assert_eq!(found(&ada, None).await, ["bob", "eve"]);
    assert_eq!(found(&eve, None).await, ["ada"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_off_shows_nobody() {
    let app = app(Some(Directory::Off)).await;
    let (ada, bob, _chat) = app.pair().await;
    let eve = app.sign_in("eve").await;
    for search in [None, Some("b"), Some("")] {
        assert_eq!(found(&ada, search).await, [""; 0]);
    }
    assert_eq!(
        name_of(&ada, &bob.id).await,
        json!("bob"),
        "they share a chat"
    );
    assert_eq!(name_of(&ada, &eve.id).await, Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_address_finds_its_user_and_no_one_who_is_called_like_it() {
    for directory in [Directory::Everyone, Directory::SharedChats, Directory::Off] {
        let app = app(Some(directory)).await;
        let (ada, bob) = (app.sign_in("ada").await, app.sign_in("bob").await);
        let eve = app.sign_in("eve").await;
        let posing = input(json!({ "name": "bob@example.org" }));
        eve.client.data(RENAME, posing).await;
        for text in ["bob@example.org", "  BOB@Example.org "] {
            let data = search(&ada, Some(text)).await.data();
            let expected = json!([{ "id": bob.id, "name": "bob" }]);
            assert_eq!(data["users"]["nodes"], expected, "{directory:?}");
            assert_eq!(data["users"]["pageInfo"]["hasNextPage"], json!(false));
        }
        // Nobody has it, less than all of it, and one's own.
        for text in ["cyd@example.org", "bob@example.or", "ada@example.org"] {
            assert_eq!(found(&ada, Some(text)).await, [""; 0], "{text}");
        }
        // Behind the user there is nothing.
        let page = json!({ "search": "bob@example.org", "first": 1 });
        let data = ada.client.data(USERS, page).await;
        let end = &data["users"]["pageInfo"]["endCursor"];
        let next = json!({ "search": "bob@example.org", "first": 1, "after": end });
        let data = ada.client.data(USERS, next).await;
        assert_eq!(data["users"]["nodes"], json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_cannot_be_tried_out_without_end() {
    let app = TestApp::builder()
        .config(|config| {
            config.users.directory = Some(Directory::Off);
            config.limits.find_address = Quota {
                burst: 3,
                period: Duration::from_mins(1),
            };
        })
        .start()
        .await;
    let (ada, bob) = (app.sign_in("ada").await, app.sign_in("bob").await);
    for n in 0..3 {
        let nobody = format!("eve{n}@example.org");
        assert_eq!(found(&ada, Some(&nobody)).await, [""; 0]);
    }
    let reply = search(&ada, Some("bob@example.org")).await;
    assert_eq!(
        (reply.code(), retry_after(&reply)),
        ("RATE_LIMITED", Some(20))
    );
    // Names are no addresses, and others have limits of their own.
    assert_eq!(found(&ada, Some("bob")).await, [""; 0]);
    assert_eq!(found(&bob, Some("ada@example.org")).await, ["ada"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_titles_that_paint_over_others_are_refused() {
    let app = app(None).await;
    let (ada, bob) = (app.sign_in("ada").await, app.sign_in("bob").await);
    let zalgo = format!("Z{}", "\u{30D}\u{489}".repeat(20));
    let create = "mutation($input: CreateGroupInput!) {
        createGroup(input: $input) { chat { id } } }";
    let group = json!({ "title": zalgo, "memberIds": [bob.id] });
    for (mutation, asked, field) in [
        (RENAME, json!({ "name": zalgo }), "input.name"),
        (create, group, "input.title"),
    ] {
        let reply = ada.client.run(mutation, input(asked)).await;
        assert_eq!(reply.code_and_field(), ("BAD_USER_INPUT", field));
        let message = string(&reply.error()["message"]);
        let rule = "must have at most 4 combining marks on one character";
        assert!(message.contains(rule), "{message}");
    }
    // An account's first name comes of its address, which may have any letters.
    let marks = "\u{903}".repeat(8);
    let address = format!("a{marks}@example.org");
    let client = app.client();
    client.login(&address).await.data();
    let code = app.mailbox.code(&address).unwrap();
    let auth = client.verify(&address, &code).await.data();
    let name = string(&auth["verifyOtp"]["user"]["name"]);
    assert_eq!(name, format!("a{}", "\u{903}".repeat(4)));
}
