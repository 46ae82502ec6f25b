//! Reports, accounts and what operators do about them, as clients see it.

#![expect(
    clippy::unwrap_used,
    reason = "a fixture that cannot be made fails the test"
)]

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use talksy_domain::clock::Clock as _;
use talksy_domain::moderation::OperatorAct;
use talksy_tests::app::TestApp;
use talksy_tests::client::{MESSAGE_ADDED, Reply, User, start_of, string};
use talksy_tests::process::run_talksy;
use talksy_tests::websocket::Received;
use talksy_tests::wire::Events;

const REPORT: &str = "mutation($input: ReportMessageInput!) {
    reportMessage(input: $input) { reportId } }";
const RESOLVE: &str = "mutation($input: ResolveReportInput!) { resolveReport(input: $input) {
    report { id state resolution resolvedBy { id } } } }";
const SUSPEND: &str = "mutation($input: SuspendUserInput!) { suspendUser(input: $input) {
    moderatedUser { id isSuspended suspendedUntil reason user { id } } } }";
const RESTORE: &str = "mutation($input: RestoreUserInput!) { restoreUser(input: $input) {
    moderatedUser { id isSuspended suspendedUntil reason } } }";
const DELETE: &str = "mutation($input: DeleteMessageInput!) { deleteMessage(input: $input) {
    message { id changeSeq text deletedAt chat { viewerMember { id } lastMessage { id } } } } }";
const REPORTS: &str = "query($state: ReportState, $first: Int, $after: String) { moderation {
    reports(state: $state, first: $first, after: $after) {
        nodes { id reason state resolution reportedBy { name } resolvedBy { name }
            message { id text sender { name } chat { title viewerMember { id } lastMessage { id } } } }
        pageInfo { hasNextPage endCursor } } } }";
const USERS: &str = "query($search: String, $suspended: Boolean, $first: Int, $after: String) {
    moderation { users(search: $search, suspended: $suspended, first: $first, after: $after) {
        nodes { isSuspended user { name } } pageInfo { hasNextPage endCursor } } } }";

/// A server that Olga operates.
async fn operated() -> (TestApp, User) {
    let app = TestApp::builder()
        .config(|config| config.users.operators = vec![" Olga@Example.org".to_owned()])
        .start()
        .await;
    let olga = app.sign_in("olga").await;
    (app, olga)
}

async fn ask(user: &User, mutation: &str, input: Value) -> Reply {
    user.client.run(mutation, json!({ "input": input })).await
}

/// The payload of a mutation that is not refused.
async fn done(user: &User, mutation: &str, input: Value) -> Value {
    let data = ask(user, mutation, input).await.data();
    let payload = data.as_object().unwrap().values().next();
    payload.unwrap().clone()
}

async fn report(user: &User, message: &str, reason: &str) -> String {
    let input = json!({ "messageId": message, "reason": reason });
    string(&done(user, REPORT, input).await["reportId"])
}

async fn reports(operator: &User, state: Option<&str>) -> Vec<Value> {
    let data = operator
        .client
        .data(REPORTS, json!({ "state": state }))
        .await;
    let nodes = data["moderation"]["reports"]["nodes"].as_array();
    nodes.unwrap().clone()
}

async fn send(user: &User, chat: &str, text: &str) -> String {
    string(&user.send(chat, text).await["message"]["id"])
}

/// The names in a list of accounts, page by page.
async fn names(operator: &User, arguments: Value, size: usize) -> Vec<String> {
    let (mut names, mut after) = (Vec::new(), Value::Null);
    loop {
        let mut variables = arguments.clone();
        variables["first"] = json!(size);
        variables["after"] = after;
        let data = operator.client.data(USERS, variables).await;
        let page = &data["moderation"]["users"];
        let nodes = page["nodes"].as_array().unwrap();
        names.extend(nodes.iter().map(|node| string(&node["user"]["name"])));
        if page["pageInfo"]["hasNextPage"] == json!(false) {
            return names;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reported_message_is_shown_to_operators_wherever_it_lies() {
    let (app, olga) = operated().await;
    let (ada, bob, chat) = app.pair().await;
    let message = send(&ada, &chat, "Buy my pills").await;
    let id = report(&bob, &message, "  It is spam.\nAgain. ").await;
    assert!(id.starts_with("rep_"), "{id}");
    assert_eq!(report(&bob, &message, "another reason").await, id);
    send(&bob, &chat, "no").await;

    let listed = reports(&olga, Some("OPEN")).await;
    let shown = json!({ "id": message, "text": "Buy my pills", "sender": { "name": "ada" },
        "chat": { "title": listed[0]["message"]["chat"]["title"], "viewerMember": null,
            "lastMessage": null } });
    assert_eq!(
        listed,
        [
            json!({ "id": id, "reason": "It is spam.\nAgain.", "state": "OPEN", "resolution": null,
            "reportedBy": { "name": "bob" }, "resolvedBy": null, "message": shown })
        ]
    );
    assert_eq!(reports(&olga, Some("RESOLVED")).await, [] as [Value; 0]);
    // What members read of the chat stays theirs.
    for field in [
        "messages(last: 1) { nodes { text } }",
        "changes(first: 1) { nodes { changeSeq } }",
        "pinnedMessages { nodes { text } }",
        "members { nodes { user { name } } }",
    ] {
        let query = format!(
            "{{ moderation {{ reports {{ nodes {{ message {{ chat {{ {field} }} }} }} }} }} }}"
        );
        let reply = olga.client.run(&query, json!({})).await;
        assert_eq!(reply.code(), "FORBIDDEN", "{field}");
    }
    let query = "query($id: ID!) { chat(id: $id) { id } node(id: $id) { id } }";
    let none = olga.client.data(query, json!({ "id": chat })).await;
    assert_eq!(none, json!({ "chat": null, "node": null }));

    // There is no copy: it is shown as it is now.
    let edit = "mutation($id: ID!) { editMessage(input: { messageId: $id, text: \"Nothing\" }) {
        message { id } } }";
    ada.client.data(edit, json!({ "id": message })).await;
    assert_eq!(reports(&olga, None).await[0]["message"]["text"], "Nothing");
    done(&ada, DELETE, json!({ "messageId": message })).await;
    assert_eq!(reports(&olga, None).await[0]["message"], Value::Null);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_report_what_is_told_so() {
    let (app, olga) = operated().await;
    let (ada, bob, chat) = app.pair().await;
    let cyd = app.sign_in("cyd").await;
    let message = send(&ada, &chat, "hello").await;
    let group = "mutation($bob: ID!) { createGroup(input: { title: \"G\", memberIds: [$bob] }) {
        chat { lastMessage { id } } } }";
    let group = ada.client.data(group, json!({ "bob": bob.id })).await;
    let notice = string(&group["createGroup"]["chat"]["lastMessage"]["id"]);
    let deleted = send(&ada, &chat, "gone").await;
    done(&ada, DELETE, json!({ "messageId": deleted })).await;
    let unknown = "msg_01h455vb4pex5vsknk084sn02q";
    let (control, long) = ("a\u{1B}[2J", "x".repeat(1_001));
    let (message, notice, deleted) = (&*message, &*notice, &*deleted);
    for (user, message, reason, code, field) in [
        (&cyd, message, "Spam", "NOT_FOUND", "input.messageId"),
        (&olga, message, "Spam", "NOT_FOUND", "input.messageId"),
        (&bob, unknown, "Spam", "NOT_FOUND", "input.messageId"),
        (&bob, &*chat, "Spam", "BAD_USER_INPUT", "input.messageId"),
        (&ada, message, "Spam", "FORBIDDEN", "input.messageId"),
        (&bob, notice, "Spam", "FORBIDDEN", "input.messageId"),
        (&bob, deleted, "Spam", "CONFLICT", "input.messageId"),
        (&bob, message, " ", "BAD_USER_INPUT", "input.reason"),
        (&bob, message, control, "BAD_USER_INPUT", "input.reason"),
        (&bob, message, &*long, "BAD_USER_INPUT", "input.reason"),
    ] {
        let input = json!({ "messageId": message, "reason": reason });
        let reply = ask(user, REPORT, input).await;
        assert_eq!(reply.code_and_field(), (code, field), "{message} {reason}");
    }
    assert_eq!(reports(&olga, None).await, [] as [Value; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn others_are_shown_nothing_of_moderation() {
    let (app, olga) = operated().await;
    let (ada, bob, chat) = app.pair().await;
    let message = send(&ada, &chat, "hello").await;
    let id = report(&bob, &message, "Spam").await;
    for user in [&ada, &bob] {
        let reply = user
            .client
            .run("{ moderation { __typename } }", json!({}))
            .await;
        assert_eq!(reply.code_and_field(), ("FORBIDDEN", ""));
        // Not even what is one's own.
        let node = "query($id: ID!) { node(id: $id) { id } nodes(ids: [$id]) { id } }";
        let data = user.client.data(node, json!({ "id": id })).await;
        assert_eq!(data, json!({ "node": null, "nodes": [null] }));
        for (mutation, input) in [
            (RESOLVE, json!({ "reportId": id, "resolution": "Nothing" })),
            (SUSPEND, json!({ "userId": ada.id, "reason": "Spam" })),
            (SUSPEND, json!({ "userId": olga.id, "reason": "Spam" })),
            (RESTORE, json!({ "userId": ada.id })),
        ] {
            let reply = ask(user, mutation, input).await;
            assert_eq!(reply.code_and_field(), ("FORBIDDEN", ""), "{mutation}");
        }
    }
    let node = "query($id: ID!) { node(id: $id) { id ... on Report { state } } }";
    let data = olga.client.data(node, json!({ "id": id })).await;
    assert_eq!(data["node"], json!({ "id": id, "state": "OPEN" }));
    let anonymous = app.client().run("{ moderation { __typename } }", json!({}));
    assert_eq!(anonymous.await.code(), "UNAUTHENTICATED");

    let own =
        "query($olga: ID!) { me { isOperator } node(id: $olga) { ... on User { isOperator } } }";
    let seen = async |user: &User| user.client.data(own, json!({ "olga": olga.id })).await;
    let of_ada = json!({ "me": { "isOperator": false }, "node": { "isOperator": null } });
    assert_eq!(seen(&ada).await, of_ada);
    let of_olga = json!({ "me": { "isOperator": true }, "node": { "isOperator": true } });
    assert_eq!(seen(&olga).await, of_olga);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_resolved_once() {
    let (app, olga) = operated().await;
    let (ada, bob, chat) = app.pair().await;
    let message = send(&ada, &chat, "hello").await;
    let id = report(&bob, &message, "Spam").await;
    let resolve = async |id: &str, text: &str| {
        ask(
            &olga,
            RESOLVE,
            json!({ "reportId": id, "resolution": text }),
        )
        .await
    };
    let resolved = resolve(&id, "No spam").await.data();
    let expected = json!({ "id": id, "state": "RESOLVED", "resolution": "No spam",
        "resolvedBy": { "id": olga.id } });
    assert_eq!(resolved["resolveReport"]["report"], expected);
    assert_eq!(resolve(&id, " No spam").await.data(), resolved, "again");
    let other = resolve(&id, "Spam after all").await;
    assert_eq!(other.code_and_field(), ("CONFLICT", "input.reportId"));
    let unknown = resolve("rep_01h455vb4pex5vsknk084sn02q", "Nothing").await;
    assert_eq!(unknown.code_and_field(), ("NOT_FOUND", "input.reportId"));
    let blank = resolve(&id, "").await;
    assert_eq!(
        blank.code_and_field(),
        ("BAD_USER_INPUT", "input.resolution")
    );

    // It may be reported again then.
    let next = report(&bob, &message, "Still").await;
    assert_ne!(next, id);
    let states: Vec<_> = reports(&olga, None).await;
    let states: Vec<_> = states
        .iter()
        .map(|one| (string(&one["id"]), string(&one["state"])))
        .collect();
    let expected = [
        (next.clone(), "OPEN".to_owned()),
        (id, "RESOLVED".to_owned()),
    ];
    assert_eq!(states, expected, "newest first");
    let page = json!({ "first": 1 });
    let first = olga.client.data(REPORTS, page).await["moderation"]["reports"].clone();
    let page = json!({ "first": 1, "after": first["pageInfo"]["endCursor"] });
    let second = olga.client.data(REPORTS, page).await["moderation"]["reports"].clone();
    assert_eq!(first["nodes"][0]["id"], next);
    assert_eq!(first["pageInfo"]["hasNextPage"], true);
    assert_eq!(second["nodes"][0]["state"], "RESOLVED");
    assert_eq!(second["pageInfo"]["hasNextPage"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_ends_sessions_sockets_and_streams_and_lets_none_begin() {
    let (app, olga) = operated().await;
    let (ada, bob, chat) = app.pair().await;
    let mut idle = ada.client.socket().await;
    let mut following = ada.follow(&chat, None).await;
    let mut of_bob = bob.follow(&chat, None).await;
    let stream = ada
        .client
        .request(Method::POST, "/graphql")
        .header("accept", "text/event-stream")
        .json(&json!({ "query": MESSAGE_ADDED, "variables": { "chatId": chat } }));
    let mut stream = Events::of(stream).await;

    let input = json!({ "userId": ada.id, "reason": "Spam" });
    let suspended = done(&olga, SUSPEND, input.clone()).await["moderatedUser"].clone();
    let expected = json!({ "id": format!("moderated:{}", ada.id), "isSuspended": true,
        "suspendedUntil": null, "reason": "Spam", "user": { "id": ada.id } });
    assert_eq!(suspended, expected);
    let revoked = Received::Closed(4403, "The session was revoked".into());
    assert_eq!(idle.next().await, revoked);
    assert_eq!(following.socket().next().await, revoked);
    let payload = stream.payload().await;
    assert_eq!(
        payload["errors"][0]["extensions"]["code"],
        "UNAUTHENTICATED"
    );
    stream.completed().await;
    let reply = ada.client.run("{ me { id } }", json!({})).await;
    assert_eq!(reply.code(), "UNAUTHENTICATED");
    let reply = app.client().refresh(&ada.refresh_token).await;
    assert_eq!(
        reply.code_and_field(),
        ("UNAUTHENTICATED", "input.refreshToken")
    );
    bob.send(&chat, "still there?").await;
    assert_eq!(of_bob.seqs(1).await, [1]);
    assert_eq!(
        done(&olga, SUSPEND, input).await["moderatedUser"],
        expected,
        "again"
    );

    // Who has no code learns nothing; who has it is told.
    app.clock.advance(Duration::from_mins(2));
    let client = app.client();
    let login = client.login(&ada.email).await.data();
    let other = client.login("nobody@example.org").await.data();
    let keys = |answer: &Value| {
        let answer = answer["login"].as_object().unwrap();
        answer.keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(keys(&login), keys(&other));
    let code = app.mailbox.code(&ada.email).unwrap();
    let wrong = if code == "000000" { "000001" } else { "000000" };
    assert_eq!(client.verify(&ada.email, wrong).await.code(), "OTP_INVALID");
    let reply = client.verify(&ada.email, &code).await;
    assert_eq!(reply.code_and_field(), ("SUSPENDED", ""));
    assert_eq!(reply.error()["message"], "This account is suspended.");

    let restored = done(&olga, RESTORE, json!({ "userId": ada.id })).await;
    let expected = json!({ "id": format!("moderated:{}", ada.id), "isSuspended": false,
        "suspendedUntil": null, "reason": null });
    assert_eq!(restored["moderatedUser"], expected);
    let again = done(&olga, RESTORE, json!({ "userId": ada.id })).await;
    assert_eq!(again["moderatedUser"], expected);
    app.clock.advance(Duration::from_mins(2));
    let back = app.sign_in("ada").await;
    assert_eq!(back.id, ada.id);
    // What was ended stays so.
    let reply = ada.client.run("{ me { id } }", json!({})).await;
    assert_eq!(reply.code(), "UNAUTHENTICATED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_with_an_end_ends_by_itself() {
    let (app, olga) = operated().await;
    let ada = app.sign_in("ada").await;
    let until = app.clock.now() + Duration::from_mins(8);
    let input = |until: String| json!({ "userId": ada.id, "reason": "Spam", "until": until });
    let past = ask(&olga, SUSPEND, input(app.clock.now().to_string())).await;
    assert_eq!(past.code_and_field(), ("BAD_USER_INPUT", "input.until"));
    ada.client.data("{ me { id } }", json!({})).await;
    let suspended = done(&olga, SUSPEND, input(until.to_string())).await;
    assert_eq!(
        suspended["moderatedUser"]["suspendedUntil"],
        json!(until.to_string())
    );
    app.clock.advance(Duration::from_mins(2));
    app.client().login(&ada.email).await.data();
    let code = app.mailbox.code(&ada.email).unwrap();
    let reply = app.client().verify(&ada.email, &code).await;
    assert_eq!(reply.code(), "SUSPENDED");
    let sentence = format!("This account is suspended until {until}.");
    assert_eq!(reply.error()["message"], sentence);
    assert_eq!(
        names(&olga, json!({ "suspended": true }), 10).await,
        ["ada"]
    );

    app.clock.advance(Duration::from_mins(6));
    assert_eq!(
        names(&olga, json!({ "suspended": true }), 10).await,
        [""; 0]
    );
    let back = app.sign_in("ada").await;
    assert_eq!(back.id, ada.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_and_strangers_are_not_suspended() {
    let app = TestApp::builder()
        .config(|config| {
            let operators = ["olga@example.org", "otto@example.org"];
            config.users.operators = operators.map(str::to_owned).into();
        })
        .start()
        .await;
    let (olga, otto) = (app.sign_in("olga").await, app.sign_in("otto").await);
    for (user, code) in [
        (&*otto.id, "FORBIDDEN"),
        (&*olga.id, "FORBIDDEN"),
        ("usr_01h455vb4pex5vsknk084sn02q", "NOT_FOUND"),
        ("nobody", "BAD_USER_INPUT"),
    ] {
        let reply = ask(&olga, SUSPEND, json!({ "userId": user, "reason": "Spam" })).await;
        assert_eq!(reply.code_and_field(), (code, "input.userId"), "{user}");
    }
    let restore = ask(
        &olga,
        RESTORE,
        json!({ "userId": "usr_01h455vb4pex5vsknk084sn02q" }),
    );
    assert_eq!(
        restore.await.code_and_field(),
        ("NOT_FOUND", "input.userId")
    );
    otto.client
        .data("{ moderation { __typename } }", json!({}))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_listed_in_three_orders() {
    let (app, olga) = operated().await;
    let mut people = Vec::new();
    for name in ["anna", "anton", "bert", "anke", "cora"] {
        // Ids tell the time to the millisecond.
        app.clock.advance(Duration::from_millis(1));
        people.push(app.sign_in(name).await);
    }
    for user in [&people[1], &people[3], &people[2]] {
        app.clock.advance(Duration::from_millis(1));
        done(
            &olga,
            SUSPEND,
            json!({ "userId": user.id, "reason": "Spam" }),
        )
        .await;
    }
    for size in [1, 2, 100] {
        let listed = async |arguments| names(&olga, arguments, size).await;
        let all = ["cora", "anke", "bert", "anton", "anna", "olga"];
        assert_eq!(listed(json!({})).await, all, "newest first");
        let active = listed(json!({ "suspended": false })).await;
        assert_eq!(active, ["cora", "anna", "olga"]);
        let suspended = listed(json!({ "suspended": true })).await;
        assert_eq!(suspended, ["bert", "anke", "anton"], "last suspended first");
        let named = listed(json!({ "search": "AN" })).await;
        assert_eq!(named, ["anke", "anna", "anton"], "by name");
        let named = listed(json!({ "search": "an", "suspended": true })).await;
        assert_eq!(named, ["anke", "anton"]);
        let named = listed(json!({ "search": "an", "suspended": false })).await;
        assert_eq!(named, ["anna"]);
        assert_eq!(
            listed(json!({ "search": "Bert@example.org" })).await,
            ["bert"]
        );
        let none = json!({ "search": "bert@example.org", "suspended": false });
        assert_eq!(listed(none).await, [""; 0]);
    }
    // A cursor belongs to its order.
    let page = olga.client.data(USERS, json!({ "first": 1 })).await;
    let cursor = page["moderation"]["users"]["pageInfo"]["endCursor"].clone();
    for arguments in [json!({ "suspended": true }), json!({ "search": "a" })] {
        let mut variables = arguments;
        variables["after"] = cursor.clone();
        let reply = olga.client.run(USERS, variables).await;
        assert_eq!(reply.code_and_field(), ("BAD_USER_INPUT", "after"));
    }
    let long = json!({ "search": "x".repeat(101) });
    let reply = olga.client.run(USERS, long).await;
    assert_eq!(reply.code_and_field(), ("BAD_USER_INPUT", "search"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_deletes_any_message_and_all_is_logged() {
    const UPDATED: &str = "subscription($chat: ID!, $after: String) {
        messageUpdated(chatId: $chat, after: $after) {
            changeSeq message { seq changeSeq text deletedAt } } }";
    let (app, olga) = operated().await;
    let (ada, bob, chat) = app.pair().await;
    let message = send(&ada, &chat, "Buy my pills").await;
    let cyd = app.sign_in("cyd").await;
    let variables = json!({ "chat": chat, "after": start_of(&chat) });
    let mut updates = bob.client.subscribe(UPDATED, variables).await;
    let input = json!({ "messageId": message });
    let refused = ask(&cyd, DELETE, input.clone()).await;
    assert_eq!(refused.code_and_field(), ("NOT_FOUND", "input.messageId"));
    let refused = ask(&bob, DELETE, input.clone()).await;
    assert_eq!(refused.code_and_field(), ("FORBIDDEN", "input.messageId"));

    let deleted = done(&olga, DELETE, input.clone()).await["message"].clone();
    assert_eq!(
        (&deleted["changeSeq"], &deleted["text"]),
        (&json!(1), &Value::Null)
    );
    assert_eq!(
        deleted["chat"],
        json!({ "viewerMember": null, "lastMessage": null })
    );
    let told = updates.next().await["messageUpdated"].clone();
    assert_eq!(told["message"]["changeSeq"], 1);
    assert_eq!(told["message"]["deletedAt"], deleted["deletedAt"]);
    assert_eq!(
        done(&olga, DELETE, input).await["message"],
        deleted,
        "again"
    );
    let unknown = json!({ "messageId": "msg_01h455vb4pex5vsknk084sn02q" });
    let refused = ask(&olga, DELETE, unknown).await;
    assert_eq!(refused.code_and_field(), ("NOT_FOUND", "input.messageId"));
    // As a sender or an admin they do what others do.
    let own = olga.start_chat(&ada).await;
    let sent = send(&olga, &own, "hello").await;
    done(&olga, DELETE, json!({ "messageId": sent })).await;

    done(
        &olga,
        SUSPEND,
        json!({ "userId": ada.id, "reason": "Spam" }),
    )
    .await;
    done(&olga, RESTORE, json!({ "userId": ada.id })).await;
    let log = app
        .adapters
        .ports
        .moderation
        .audit(None, 100)
        .await
        .unwrap();
    let acts: Vec<_> = log.iter().map(|entry| entry.act.name()).collect();
    assert_eq!(acts, ["deleteMessage", "suspendUser", "restoreUser"]);
    assert!(
        log.iter()
            .all(|entry| entry.operator_id.to_string() == olga.id)
    );
    let expected = OperatorAct::DeleteMessage {
        message_id: message.parse().unwrap(),
        chat_id: chat.parse().unwrap(),
        sender_id: Some(ada.id.parse().unwrap()),
    };
    assert_eq!(log[0].act, expected);

    // The server's owner reads it, beside the running server too.
    let printed = run_talksy(app.data_dir(), &["audit"]).await;
    assert_eq!(printed.status.code(), Some(0));
    let printed = String::from_utf8(printed.stdout).unwrap();
    let lines = printed.lines().map(serde_json::from_str::<Value>);
    let lines: Vec<Value> = lines.map(Result::unwrap).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1]["act"], "suspendUser");
    assert_eq!(lines[1]["operatorId"], json!(olga.id));
    assert_eq!(lines[1]["userId"], json!(ada.id));
    assert_eq!(lines[1]["reason"], "Spam");
    let first = string(&lines[0]["id"]);
    let rest = run_talksy(app.data_dir(), &["audit", "--after", &first]).await;
    assert_eq!(String::from_utf8(rest.stdout).unwrap().lines().count(), 2);
    app.stop().await;
}
