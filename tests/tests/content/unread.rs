//! Showing a chat as unread by hand.

use serde_json::{Value, json};
use talksy_tests::app::TestApp;
use talksy_tests::client::User;

use super::{ADD, ask, done, group};

const UNREAD: &str = "mutation($input: MarkUnreadInput!) { markUnread(input: $input) {
    chat { id unreadCount viewerUnreadFromSeq } } }";
const SHOWN: &str = "query($id: ID!) { chat(id: $id) {
    unreadCount viewerUnreadFromSeq viewerMember { lastReadSeq } } }";

async fn shown(user: &User, chat: &str) -> Value {
    user.client.data(SHOWN, json!({ "id": chat })).await["chat"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_is_shown_as_unread_on_all_own_devices_until_it_is_read() {
    const SIDEBAR: &str = "subscription { chatUpdated { unreadCount viewerUnreadFromSeq } }";
    const ACCOUNT: &str = "subscription { accountEvents(detailOf: []) {
        ... on ChatChanged { chat { unreadCount viewerUnreadFromSeq } } } }";
    const RECEIPTS: &str = "subscription($id: ID!) { readReceiptUpdated(chatId: $id) {
        lastReadSeq user { id } } }";
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    for n in 0..5 {
        ada.send(&chat, &n.to_string()).await;
    }
    bob.mark_read(&chat, 5).await;
    let mut sidebar = bob.client.subscribe(SIDEBAR, json!({})).await;
    let mut account = bob.client.subscribe(ACCOUNT, json!({})).await;
    let mut receipts = ada.client.subscribe(RECEIPTS, json!({ "id": chat })).await;

    let input = json!({ "chatId": chat, "fromSeq": 4 });
    let marked = done(&bob, UNREAD, input).await["markUnread"]["chat"].clone();
    assert_eq!(
        marked,
        json!({ "id": chat, "unreadCount": 2, "viewerUnreadFromSeq": 4 })
    );
    let unread = json!({ "unreadCount": 2, "viewerUnreadFromSeq": 4 });
    assert_eq!(sidebar.next().await["chatUpdated"], unread);
    while account.next().await["accountEvents"]["chat"] != unread {}
    let own = json!({ "unreadCount": 2, "viewerUnreadFromSeq": 4,
        "viewerMember": { "lastReadSeq": 5 } });
    assert_eq!(shown(&bob, &chat).await, own);
    assert_eq!(shown(&ada, &chat).await["viewerUnreadFromSeq"], Value::Null);

    // Nothing new is read, and it ends all the same.
    let marked = bob.mark_read(&chat, 5).await;
    assert_eq!(marked["chat"]["unreadCount"], json!(0));
    let read = json!({ "unreadCount": 0, "viewerUnreadFromSeq": null });
    assert_eq!(sidebar.next().await["chatUpdated"], read);
    while account.next().await["accountEvents"]["chat"] != read {}
    // The other side is told of the next thing alone.
    ada.send(&chat, "5").await;
    bob.mark_read(&chat, 6).await;
    let told = receipts.next().await["readReceiptUpdated"].clone();
    assert_eq!(told, json!({ "lastReadSeq": 6, "user": { "id": bob.id } }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_one_may_not_read_is_refused_by_name() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let bob = app.sign_in("bob").await;
    let eve = app.sign_in("eve").await;
    let chat = group(&ada, &[]).await;
    ada.send(&chat, "before").await;
    done(&ada, ADD, json!({ "chatId": chat, "userIds": [bob.id] })).await;
    ada.send(&chat, "behind").await;
    for from in [-1, 0, 1, 2, 5, i32::MAX] {
        let refused = ask(&bob, UNREAD, json!({ "chatId": chat, "fromSeq": from })).await;
        assert_eq!(
            refused.code_and_field(),
            ("BAD_USER_INPUT", "input.fromSeq"),
            "{from}"
        );
    }
    let refused = ask(&eve, UNREAD, json!({ "chatId": chat, "fromSeq": 4 })).await;
    assert_eq!(refused.code_and_field(), ("FORBIDDEN", "input.chatId"));
    assert_eq!(shown(&bob, &chat).await["viewerUnreadFromSeq"], Value::Null);
    for from in [3, 4] {
        done(&bob, UNREAD, json!({ "chatId": chat, "fromSeq": from })).await;
        let shown = shown(&bob, &chat).await;
        assert_eq!(
            (&shown["viewerUnreadFromSeq"], &shown["unreadCount"]),
            (&json!(from), &json!(1))
        );
    }
}
