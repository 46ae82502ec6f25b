//! `accountEvents` over GraphQL and a socket.

use serde_json::{Value, json};
use talksy_tests::app::TestApp;
use talksy_tests::client::{User, string};
use talksy_tests::websocket::Subscription;

const EVENTS: &str = "subscription($after: AccountPosition, $detailOf: [ID!]) {
    accountEvents(after: $after, detailOf: $detailOf) { __typename cursor
        ... on MessageAdded { message { seq changeSeq text chat { id } } }
        ... on MessageChange { changeSeq message { seq text deletedAt } }
        ... on ChatChanged { chat { id title unreadCount isMutedByViewer } }
        ... on ChatRemoved { chatId }
        ... on ReceiptChanged { receipt { lastReadSeq user { id } } }
        ... on ViewerChanged { viewer { name email } }
        ... on ChatReset { chatId }
        ... on AccountCheckpoint { isCaughtUp } } }";

async fn done(user: &User, mutation: &str, input: Value) -> Value {
    user.client.data(mutation, json!({ "input": input })).await
}

async fn create(user: &User, title: &str, members: &[&User]) -> String {
    const CREATE: &str = "mutation($input: CreateGroupInput!) {
        createGroup(input: $input) { chat { id } } }";
    let members: Vec<_> = members.iter().map(|user| &user.id).collect();
    let data = done(
        user,
        CREATE,
        json!({ "title": title, "memberIds": members }),
    )
    .await;
    string(&data["createGroup"]["chat"]["id"])
}

async fn next(events: &mut Subscription) -> Value {
    events.next().await["accountEvents"].clone()
}

async fn follow(user: &User, variables: Value) -> Subscription {
    user.client.subscribe(EVENTS, variables).await
}

#[tokio::test]
async fn an_account_is_followed_and_resumed() {
    const REMOVE: &str = "mutation($input: RemoveMemberInput!) {
        removeMember(input: $input) { chat { id } } }";
    const DELETE: &str = "mutation($input: DeleteMessageInput!) {
        deleteMessage(input: $input) { message { id } } }";
    const RENAME: &str = "mutation($input: UpdateProfileInput!) {
        updateProfile(input: $input) { user { name } } }";
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let mut events = follow(&bob, json!({})).await;
    let start = next(&mut events).await;
    assert_eq!(start["__typename"], "AccountCheckpoint");
    assert_eq!(start["isCaughtUp"], true);

    let sent = ada.send(&chat, "hello").await;
    let added = next(&mut events).await;
    assert_eq!(added["__typename"], "MessageAdded");
    assert_eq!(added["message"]["text"], "hello");
    assert_eq!(added["message"]["chat"]["id"], chat.as_str());
    bob.mark_read(&chat, 1).await;
    let changed = next(&mut events).await;
    assert_eq!(changed["__typename"], "ChatChanged");
    assert_eq!(changed["chat"]["unreadCount"], 0);
    ada.mark_read(&chat, 1).await;
    let receipt = next(&mut events).await;
    assert_eq!(receipt["__typename"], "ReceiptChanged");
    assert_eq!(receipt["receipt"]["user"]["id"], ada.id.as_str());
    let group = create(&ada, "Skiing", &[&bob]).await;
    let changed = next(&mut events).await;
    assert_eq!(changed["__typename"], "ChatChanged");
    assert_eq!(changed["chat"]["title"], "Skiing");
    let reset = next(&mut events).await;
    assert_eq!(reset["__typename"], "ChatReset");
    assert_eq!(reset["chatId"], group.as_str());
    done(&bob, RENAME, json!({ "name": "Robert" })).await;
    let viewer = next(&mut events).await;
    assert_eq!(viewer["__typename"], "ViewerChanged");
    assert_eq!(viewer["viewer"]["name"], "Robert");
    assert_eq!(viewer["viewer"]["email"], bob.email.as_str());
    drop(events);

    done(&ada, DELETE, json!({ "messageId": sent["message"]["id"] })).await;
    ada.send(&chat, "again").await;
    done(&ada, REMOVE, json!({ "chatId": group, "userId": bob.id })).await;
    let since = [&added, &changed, &receipt, &reset, &viewer].map(|event| &event["cursor"]);
    let after = json!({ "checkpoint": start["cursor"], "since": since });
    let mut events = follow(&bob, json!({ "after": after })).await;
    let mut told = Vec::new();
    loop {
        let event = next(&mut events).await;
        if event["isCaughtUp"] == true {
            break;
        }
        told.push(event);
    }
    let of = |kind: &str| -> Vec<&Value> {
        let all = told.iter();
        all.filter(|event| event["__typename"] == kind).collect()
    };
    assert_eq!(of("MessageAdded").len(), 1, "{told:#?}");
    assert_eq!(of("MessageAdded")[0]["message"]["text"], "again");
    assert_eq!(of("MessageChange").len(), 1);
    assert_eq!(of("MessageChange")[0]["message"]["text"], Value::Null);
    assert_eq!(of("ChatRemoved").len(), 1);
    assert_eq!(of("ChatRemoved")[0]["chatId"], group.as_str());
    assert_eq!(of("ViewerChanged").len(), 1);
    app.stop().await;
}

#[tokio::test]
async fn bad_positions_are_refused_by_their_argument() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let checkpoint = next(&mut follow(&bob, json!({})).await).await["cursor"].clone();
    let foreign = next(&mut follow(&ada, json!({})).await).await["cursor"].clone();
    let error = |variables: Value| {
        let bob = bob.clone();
        async move {
            let mut events = follow(&bob, variables).await;
            let error = events.error().await;
            (
                string(&error["extensions"]["code"]),
                string(&error["extensions"]["field"]),
            )
        }
    };
    let bad = |field: &str| ("BAD_USER_INPUT".to_owned(), field.to_owned());
    for text in [json!(""), json!("rubbish"), foreign] {
        let after = json!({ "checkpoint": text });
        assert_eq!(
            error(json!({ "after": after })).await,
            bad("after.checkpoint")
        );
    }
    let after = json!({ "checkpoint": checkpoint, "since": ["rubbish"] });
    assert_eq!(error(json!({ "after": after })).await, bad("after.since.0"));
    let wrong = json!({ "detailOf": [chat, "usr_00000000000000000000000000"] });
    assert_eq!(error(wrong).await, bad("detailOf.1"));
    app.stop().await;
}
