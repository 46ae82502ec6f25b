//! Who is behind a socket: how credentials come, and how their end ends the socket.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use talksy_domain::error::PortError;
use talksy_domain::events::{Bus, BusLayer, Event, Topic};
use talksy_domain::port::{Layer, Layered};
use talksy_domain::services::Ports;
use talksy_tests::app::TestApp;
use talksy_tests::client::{Client, MESSAGE_ADDED, User, start_of, string};
use talksy_tests::faulty_store::{Fault, FaultyStore};
use talksy_tests::soon;
use talksy_tests::websocket::{Received, Socket};
use talksy_tests::wire::{Events, RawSocket};

const PROTOCOL: &str = "graphql-transport-ws";
const ELEVEN_MINUTES: Duration = Duration::from_mins(11);
const LOGOUT: &str = "mutation { logout { sessionId } }";

async fn name_on(socket: &mut Socket) -> Value {
    let answer = socket.run("me", "{ me { name } }", json!({})).await;
    answer["data"]["me"].clone()
}

async fn refused(app: &TestApp, token: &str) -> (u16, String) {
    let mut socket = Socket::connect(app.address, PROTOCOL).await;
    socket.send_init(Some(token)).await;
    match socket.next().await {
        Received::Closed(code, reason) => (code, reason),
        other => panic!("not refused: {other:?}"),
    }
}

/// The same person, signed in on another device.
async fn other_device(app: &TestApp, user: &User) -> User {
    app.clock.advance(Duration::from_mins(2));
    let name = user.email.trim_end_matches("@example.org");
    app.sign_in(name).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_taken_from_wherever_clients_put_it() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let token = ada.client.token().unwrap();
    let bearer = format!("Bearer {token}");
    for payload in [
        json!({ "authorization": bearer }),
        json!({ "Authorization": format!("bearer {token}") }),
        json!({ "token": token }),
        json!({ "accessToken": token }),
        json!({ "accessToken": bearer, "lang": "en" }),
        json!({ "headers": { "Authorization": bearer } }),
    ] {
        let mut socket = Socket::connect(app.address, PROTOCOL).await;
        let init = json!({ "type": "connection_init", "payload": payload });
        socket.send(init).await;
        assert_eq!(
            socket.message().await,
            json!({ "type": "connection_ack" }),
            "{payload}"
        );
        assert_eq!(
            name_on(&mut socket).await,
            json!({ "name": "ada" }),
            "{payload}"
        );
    }
    let query =
        json!({ "type": "subscribe", "id": "1", "payload": { "query": "{ me { name } }" } });
    let headers = [
        ("Sec-WebSocket-Protocol", PROTOCOL),
        ("Authorization", &bearer),
    ];
    let mut socket = RawSocket::open(app.address, &headers).await;
    socket.message(json!({ "type": "connection_init" })).await;
    assert_eq!(socket.next().await, Ok(json!({ "type": "connection_ack" })));
    socket.message(query).await;
    let next = socket.next().await.unwrap();
    assert_eq!(next["payload"]["data"]["me"]["name"], "ada");

    // Nobody is someone too, who may do what needs no account.
    let mut socket = app.client().socket().await;
    assert_eq!(name_on(&mut socket).await, json!(null));
    socket
        .subscribe("1", "subscription { chatUpdated { id } }", json!({}))
        .await;
    let error = socket.message().await;
    assert_eq!(error["type"], "error");
    assert_eq!(error["payload"][0]["extensions"]["code"], "UNAUTHENTICATED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_does_not_hold_closes_with_4403() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let token = ada.client.token().unwrap();
    assert_eq!(refused(&app, "nonsense").await.0, 4403);
    let mut forged = token.to_owned();
    forged.replace_range(forged.len() - 6.., "AAAAAA");
    assert_eq!(refused(&app, &forged).await.0, 4403);
    let mut basic = Socket::connect(app.address, PROTOCOL).await;
    basic
        .send(json!({ "type": "connection_init", "payload": { "authorization": "Basic YTpi" } }))
        .await;
    assert_eq!(basic.closed().await, 4403);

    let phone = other_device(&app, &ada).await;
    phone.client.data(LOGOUT, json!({})).await;
    let (code, reason) = refused(&app, phone.client.token().unwrap()).await;
    assert_eq!(code, 4403);
    assert!(reason.contains("session"), "{reason}");

    app.clock.advance(ELEVEN_MINUTES);
    let (code, reason) = refused(&app, token).await;
    assert_eq!(code, 4403);
    assert!(reason.contains("expired"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_ends_with_its_token_and_the_client_comes_back_with_a_fresh_one() {
    let app = TestApp::builder()
        // The token is looked at with each ping; two that go unanswered would end the socket.
        .config(|config| config.http.websocket.ping_interval = Duration::from_secs(2))
        .start()
        .await;
    let (ada, bob, chat) = app.pair().await;
    let mut bob_sees = bob.follow(&chat, None).await;
    ada.send(&chat, "before").await;
    let last = bob_sees.added().await["cursor"].clone();
    app.clock.advance(ELEVEN_MINUTES);
    assert_eq!(
        bob_sees.socket().next().await,
        Received::Closed(4403, "The access token has expired".into())
    );
    let refreshed = async |user: &User| -> Client {
        let auth = app.client().refresh(&user.refresh_token).await.data();
        User::of(&app.client(), &auth["refreshSession"]).client
    };
    let ada = User {
        client: refreshed(&ada).await,
        ..ada
    };
    ada.send(&chat, "meanwhile").await;
    let variables = json!({ "chatId": chat, "after": last });
    let mut bob_sees = refreshed(&bob)
        .await
        .subscribe(MESSAGE_ADDED, variables)
        .await;
    assert_eq!(bob_sees.seqs(1).await, [2]);
}

/// Exchanges a refresh token over the socket.
async fn refresh_over(socket: &mut Socket, token: &str) -> Value {
    let query = "mutation($input: RefreshSessionInput!) {
        refreshSession(input: $input) { refreshToken expiresAt } }";
    let input = json!({ "input": { "refreshToken": token } });
    let answer = socket.run("refresh", query, input).await;
    assert!(answer.get("errors").is_none(), "{answer}");
    answer["data"]["refreshSession"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_over_which_its_session_is_refreshed_stays_open() {
    let nine_minutes = Duration::from_mins(9);
    let app = TestApp::start().await;
    let (mut ada, bob, chat) = app.pair().await;
    let mut socket = bob.client.socket().await;
    let messages = json!({ "chatId": chat, "after": start_of(&chat) });
    socket.subscribe("live", MESSAGE_ADDED, messages).await;
    let mut refresh = bob.refresh_token.clone();
    for _ in 0..3 {
        app.clock.advance(nine_minutes);
        let auth = refresh_over(&mut socket, &refresh).await;
        refresh = string(&auth["refreshToken"]);
        assert_eq!(name_on(&mut socket).await, json!({ "name": "bob" }));
        let auth = app.client().refresh(&ada.refresh_token).await.data();
        ada = User::of(&app.client(), &auth["refreshSession"]);
    }
    ada.send(&chat, "still there?").await;
    let next = socket.message().await;
    assert_eq!(next["id"], "live", "{next}");
    assert_eq!(next["payload"]["data"]["messageAdded"]["node"]["seq"], 1);
    // An answer that is given again renews it as well.
    app.clock.advance(nine_minutes);
    let first = refresh_over(&mut socket, &refresh).await;
    let again = refresh_over(&mut socket, &refresh).await;
    assert_eq!(first["refreshToken"], again["refreshToken"]);
    app.clock.advance(nine_minutes);
    assert_eq!(name_on(&mut socket).await, json!({ "name": "bob" }));

    // It ends with the last token that was issued over it, whatever is issued elsewhere, or over it
    // for somebody else.
    let last = string(&again["refreshToken"]);
    app.client().refresh(&last).await.data();
    refresh_over(&mut socket, &ada.refresh_token).await;
    app.clock.advance(Duration::from_mins(1));
    socket.subscribe("late", "{ me { name } }", json!({})).await;
    assert_eq!(
        socket.next().await,
        Received::Closed(4403, "The access token has expired".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_starts_no_operation() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let mut socket = ada.client.socket().await;
    app.clock.advance(ELEVEN_MINUTES);
    socket.subscribe("1", "{ me { name } }", json!({})).await;
    assert_eq!(
        socket.next().await,
        Received::Closed(4403, "The access token has expired".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_session_loses_its_sockets_at_once_and_others_keep_theirs() {
    let app = TestApp::start().await;
    let (ada, bob, chat) = app.pair().await;
    let phone = other_device(&app, &bob).await;
    let revoked = Received::Closed(4403, "The session was revoked".into());

    let mut on_phone = phone.follow(&chat, None).await;
    let mut idle_on_phone = phone.client.socket().await;
    let mut at_desk = bob.follow(&chat, None).await;
    let revoke = "mutation($id: ID!) { revokeSession(input: { sessionId: $id }) { sessionId } }";
    let data = bob
        .client
        .data(revoke, json!({ "id": phone.session_id }))
        .await;
    assert_eq!(data["revokeSession"]["sessionId"], json!(phone.session_id));
    assert_eq!(on_phone.socket().next().await, revoked);
    assert_eq!(idle_on_phone.next().await, revoked);
    ada.send(&chat, "still there?").await;
    assert_eq!(at_desk.seqs(1).await, [1]);

    // By the socket itself: the answer may be lost to the close, the close is not.
    let mut own = bob.client.socket().await;
    own.subscribe("1", LOGOUT, json!({})).await;
    assert_eq!(own.closed().await, 4403);
    assert_eq!(at_desk.socket().next().await, revoked);
    let reply = bob.client.run("{ me { id } }", json!({})).await;
    assert_eq!(reply.code(), "UNAUTHENTICATED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_used_twice_ends_the_sockets_of_its_session() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let mut socket = ada.client.socket().await;
    app.client().refresh(&ada.refresh_token).await.data();
    // The moment in which a lost answer is given again is over by then.
    app.clock.advance(Duration::from_mins(5));
    let reply = app.client().refresh(&ada.refresh_token).await;
    assert_eq!(reply.code(), "TOKEN_REUSED");
    assert_eq!(socket.closed().await, 4403);
}

/// Without the bus the end of a session would not be heard. That is no word on the session.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_bus_is_no_revocation() {
    let store = FaultyStore::new();
    let app = TestApp::builder().ports(store.install()).start().await;
    let (ada, bob, chat) = app.pair().await;
    store.set("bus", Fault::Unavailable("taken away by the test"));
    for protocol in [PROTOCOL, "graphql-ws"] {
        let mut socket = Socket::connect(app.address, protocol).await;
        socket.send_init(ada.client.token()).await;
        let end = loop {
            match socket.next().await {
                Received::Message(_) => {}
                Received::Closed(code, reason) => break (code, reason),
                Received::Gone => panic!("no close"),
            }
        };
        assert_eq!(end.0, 1013, "{end:?}");
        assert!(!end.1.contains("revoked"), "{end:?}");
    }
    // The session goes on, and so does the socket once the bus is back.
    assert_eq!(
        ada.client.run("{ me { name } }", json!({})).await.data()["me"]["name"],
        "ada"
    );
    store.set("bus", Fault::None);
    let mut seen = bob.follow(&chat, None).await;
    ada.send(&chat, "back").await;
    assert_eq!(seen.seqs(1).await, [1]);
}

/// A bus that loses the word of revocations.
#[derive(Clone)]
struct Deaf(Arc<dyn Bus>);

impl Layer<dyn Bus> for Deaf {
    fn inner(&self) -> &Arc<dyn Bus> {
        &self.0
    }
}

impl BusLayer for Deaf {
    async fn publish(&self, topic: Topic, event: Event) -> Result<(), PortError> {
        match event {
            Event::SessionRevoked { .. } => Ok(()),
            event => self.0.publish(topic, event).await,
        }
    }
}

/// A server whose bus loses the word of revocations, and that looks often.
async fn deaf(store: &FaultyStore) -> TestApp {
    let faults = store.install();
    TestApp::builder()
        .config(|config| config.live.session_check = Duration::from_millis(100))
        .ports(|ports| Ports {
            bus: Arc::new(Layered(Deaf(Arc::clone(&ports.bus)))),
            ..faults(ports)
        })
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_that_the_bus_lost_closes_idle_sockets_and_streams() {
    let app = deaf(&FaultyStore::new()).await;
    let (ada, bob, chat) = app.pair().await;
    let phone = other_device(&app, &bob).await;
    let mut idle = phone.client.socket().await;
    let mut following = phone.follow(&chat, None).await;
    let mut at_desk = bob.follow(&chat, None).await;
    let stream = phone
        .client
        .request(Method::POST, "/graphql")
        .header("accept", "text/event-stream")
        .json(&json!({ "query": MESSAGE_ADDED, "variables": { "chatId": chat } }));
    let mut stream = Events::of(stream).await;
    phone.client.data(LOGOUT, json!({})).await;
    let revoked = Received::Closed(4403, "The session was revoked".into());
    assert_eq!(idle.next().await, revoked);
    assert_eq!(following.socket().next().await, revoked);
    let payload = stream.payload().await;
    assert_eq!(
        payload["errors"][0]["extensions"]["code"],
        "UNAUTHENTICATED"
    );
    stream.completed().await;
    ada.send(&chat, "still there?").await;
    assert_eq!(at_desk.seqs(1).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_store_is_no_revocation() {
    let store = FaultyStore::new();
    let app = deaf(&store).await;
    let (ada, bob, chat) = app.pair().await;
    let mut bob_sees = bob.follow(&chat, None).await;
    store.set("sessions", Fault::Unavailable("taken away by the test"));
    soon("looks in vain", store.refused(3)).await;
    store.set("sessions", Fault::None);
    ada.send(&chat, "still there?").await;
    assert_eq!(bob_sees.seqs(1).await, [1]);
    bob.client.data(LOGOUT, json!({})).await;
    assert_eq!(
        bob_sees.socket().next().await,
        Received::Closed(4403, "The session was revoked".into())
    );
}

/// Nobody is to wonder why they are nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_under_an_unknown_key_closes_with_a_reason_that_names_the_known_ones() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let token = ada.client.token();
    for (protocol, payload) in [
        (PROTOCOL, json!({ "authToken": token })),
        (PROTOCOL, json!({ "headers": { "X-Auth-Token": token } })),
        (PROTOCOL, json!({ "authorization": { "token": token } })),
        ("graphql-ws", json!({ "authToken": token })),
    ] {
        let mut socket = Socket::connect(app.address, protocol).await;
        let init = json!({ "type": "connection_init", "payload": payload });
        socket.send(init).await;
        if protocol == "graphql-ws" {
            let error = socket.message().await;
            assert_eq!(error["type"], "connection_error");
            let message = error["payload"]["message"].as_str().unwrap_or_default();
            assert!(message.contains("'authToken'"), "{error}");
        }
        match socket.next().await {
            Received::Closed(4400, reason) => {
                for known in ["'authorization'", "'accessToken'", "'token'"] {
                    assert!(reason.contains(known), "{payload}: {reason}");
                }
            }
            other => panic!("{payload}: {other:?}"),
        }
    }
    for payload in [
        json!({ "authToken": "" }),
        json!({ "locale": "de", "x-csrf-token": "abc" }),
    ] {
        let mut socket = Socket::connect(app.address, PROTOCOL).await;
        let init = json!({ "type": "connection_init", "payload": payload });
        socket.send(init).await;
        assert_eq!(socket.message().await, json!({ "type": "connection_ack" }));
    }
}
