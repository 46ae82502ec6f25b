//! How many connections each may have, so that nobody takes those of all: of one address, of one
//! user, of who has not signed in, and plain TCP connections that say nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use talksy_server::config::Config;
use talksy_tests::app::TestApp;
use talksy_tests::client::{Client, User};
use talksy_tests::eventually;
use talksy_tests::faulty_store::{Fault, FaultyStore};
use talksy_tests::process::ServerProcess;
use talksy_tests::websocket::{Received, Socket};
use talksy_tests::wire::{Answer, Event, Events, Wire};

const PROTOCOL: &str = "graphql-transport-ws";
const LEGACY: &str = "graphql-ws";
const LIVE: &str = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
const FOLLOW: &str = "subscription { chatUpdated { id } }";

/// Whoever connects is a proxy's, and is where the proxy says.
fn behind_a_proxy(config: &mut Config) {
    if let Ok(network) = "127.0.0.0/8".parse() {
        config.http.trusted_proxies.push(network);
    }
}

async fn is_served(wire: &mut Wire) -> bool {
    wire.write(LIVE).await;
    wire.answer().await.status == 200
}

/// A connection with a request that is being read, so that it is not silent.
async fn busy(mut wire: Wire) -> Wire {
    wire.write(
        "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: 26\r\nExpect: 100-continue\r\n\r\n",
    )
    .await;
    assert_eq!(wire.head().await.status, 100);
    wire
}

/// Sends the rest of the request, and reads the answer.
async fn finish(wire: &mut Wire) -> Answer {
    wire.write("{\"query\":\"{ __typename }\"}").await;
    wire.answer().await
}

async fn from(address: SocketAddr, forwarded: &str) -> Socket {
    let forwarded = [("x-forwarded-for", forwarded)];
    match Socket::try_connect_with(address, PROTOCOL, &forwarded).await {
        Ok(socket) => socket,
        Err(error) => panic!("no socket: {error}"),
    }
}

fn stream(client: &Client) -> reqwest::RequestBuilder {
    client
        .request(Method::POST, "/graphql")
        .header("accept", "text/event-stream")
        .json(&json!({ "query": FOLLOW }))
}

async fn open_stream(client: &Client) -> Events {
    let mut events = Events::of(stream(client)).await;
    assert_eq!(events.next().await, Some(Event::Comment));
    events
}

fn refused(reason: &str) -> Received {
    Received::Closed(1013, reason.into())
}

/// Whether the socket is as open as it was.
async fn answers(socket: &mut Socket) -> bool {
    socket.send(json!({ "type": "ping" })).await;
    socket.next().await == Received::Message(json!({ "type": "pong" }))
}

async fn signed_in_from(app: &TestApp, user: &User, forwarded: &str) -> Socket {
    let mut socket = from(app.address, forwarded).await;
    socket.init(user.client.token()).await;
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_that_was_silent_for_longest_gives_way_to_a_new_one() {
    let app = TestApp::builder()
        .config(behind_a_proxy)
        .config(|config| config.http.shares.connections = 4)
        .start()
        .await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(Wire::connect(app.address).await);
    }
    // It has asked something since, so that it is the one that fell silent last.
    assert!(is_served(&mut silent[0]).await);
    let mut fifth = Wire::connect(app.address).await;
    assert!(is_served(&mut fifth).await);
    assert!(silent[1].ended().await);
    for still_there in [0, 2, 3] {
        assert!(is_served(&mut silent[still_there]).await, "{still_there}");
    }
    assert!(is_served(&mut fifth).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_with_a_request_does_not_give_way_and_the_next_is_told_when_to_come() {
    let app = TestApp::builder()
        .config(behind_a_proxy)
        .config(|config| {
            config.http.shares.connections = 2;
            config.http.body_timeout = Duration::from_mins(10);
        })
        .start()
        .await;
    let mut first = busy(Wire::connect(app.address).await).await;
    let _second = busy(Wire::connect(app.address).await).await;
    let mut third = Wire::connect(app.address).await;
    let answer = third.answer().await;
    assert_eq!((answer.status, &*answer.code()), (503, "UNAVAILABLE"));
    assert_eq!(answer.header("retry-after"), "5");
    assert_eq!(answer.json()["errors"][0]["extensions"]["retryAfter"], 5);
    assert!(third.ended().await);
    let answer = finish(&mut first).await;
    assert_eq!(answer.json(), json!({ "data": { "__typename": "Query" } }));
    eventually("a place for a connection", async || {
        is_served(&mut Wire::connect(app.address).await)
            .await
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_has_its_connections_leaves_those_of_others() {
    let app = TestApp::builder()
        .config(|config| {
            config.http.shares.connections_per_address = 2;
            config.http.body_timeout = Duration::from_mins(10);
        })
        .start()
        .await;
    let elsewhere = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let mut stranger = Wire::connect_from(elsewhere, app.address).await;
    assert!(is_served(&mut stranger).await);
    let _first = busy(Wire::connect(app.address).await).await;
    let mut silent = Wire::connect(app.address).await;
    assert!(is_served(&mut silent).await);
    let _second = busy(Wire::connect(app.address).await).await;
    assert!(silent.ended().await);
    let answer = Wire::connect(app.address).await.answer().await;
    assert_eq!((answer.status, &*answer.code()), (429, "RATE_LIMITED"));
    assert_eq!(answer.header("retry-after"), "5");
    assert!(is_served(&mut stranger).await);
    assert!(is_served(&mut Wire::connect_from(elsewhere, app.address).await).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_sends_no_request_ends() {
    let app = TestApp::builder()
        .config(|config| {
            config.http.head_timeout = Duration::from_secs(1);
            config.http.idle_timeout = Duration::from_mins(10);
        })
        .start()
        .await;
    let mut used = eventually("an answer in time", async || {
        let mut wire = Wire::connect(app.address).await;
        wire.write(LIVE).await;
        // On a busy machine the connection may be over before the request is sent.
        wire.try_answer().await.map(|_| wire)
    })
    .await;
    let mut silent = Vec::new();
    for head in ["", "GET /livez HTTP/1.1\r\nHost: x\r\n"] {
        let mut wire = Wire::connect(app.address).await;
        wire.write(head).await;
        silent.push(wire);
    }
    for wire in &mut silent {
        assert!(wire.ended().await);
    }
    assert!(is_served(&mut used).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_keep_nobody_out_however_few_files_there_are() {
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start_with_open_files(300, data.path(), &[]).await;
    let mut silent = Vec::new();
    for _ in 0..320 {
        silent.push(Wire::connect(server.address).await);
    }
    let ada = server.sign_in(data.path(), "ada").await;
    let me = ada.client.data("{ me { name } }", json!({})).await;
    assert_eq!(me["me"]["name"], "ada");
    let mut socket = ada.client.socket().await;
    for _ in 0..150 {
        silent.push(Wire::connect(server.address).await);
    }
    assert!(is_served(&mut Wire::connect(server.address).await).await);
    // A socket is not silent, whatever it says.
    assert!(answers(&mut socket).await);
    assert!(silent[0].ended().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_its_share_of_sockets_and_streams() {
    let app = TestApp::builder()
        .config(behind_a_proxy)
        .config(|config| config.http.shares.sockets_per_address = 2)
        .start()
        .await;
    let (here, elsewhere) = ("203.0.113.9", "203.0.113.10");
    let ada = app.sign_in("ada").await;
    let mut socket = signed_in_from(&app, &ada, here).await;
    let events = open_stream(&ada.client.from_place(here)).await;
    let mut third = from(app.address, here).await;
    let reason = "Too many connections from this address";
    assert_eq!(third.next().await, refused(reason));
    let answer = Answer::to(stream(&ada.client.from_place(here))).await;
    assert_eq!((answer.status, &*answer.code()), (429, "RATE_LIMITED"));
    assert_eq!(answer.header("retry-after"), "5");
    // What is soon over needs no place.
    let client = ada.client.from_place(here);
    assert_eq!(client.run("{ me { name } }", json!({})).await.status, 200);

    // Other addresses have their own, and where the proxy says nothing, nobody is counted.
    let _other = signed_in_from(&app, &ada, elsewhere).await;
    let mut unknown = Vec::new();
    for _ in 0..3 {
        unknown.push(ada.client.socket().await);
    }
    assert!(answers(&mut socket).await);
    drop(events);
    eventually("a place for a socket", async || {
        let mut socket = from(app.address, here).await;
        socket.send_init(ada.client.token()).await;
        matches!(socket.next().await, Received::Message(_)).then_some(())
    })
    .await;

    // The addresses of a /64 are one client's.
    let _sockets = (
        signed_in_from(&app, &ada, "2001:db8:0:1::1").await,
        signed_in_from(&app, &ada, "2001:db8:0:1::2").await,
    );
    let mut third = from(app.address, "2001:db8:0:1:ffff::3").await;
    assert_eq!(third.next().await, refused(reason));
    signed_in_from(&app, &ada, "2001:db8:0:2::1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_a_share_on_all_devices() {
    let app = TestApp::builder()
        .config(|config| config.http.shares.sockets_per_user = 2)
        .start()
        .await;
    let (ada, bob) = (app.sign_in("ada").await, app.sign_in("bob").await);
    let mut first = ada.client.socket().await;
    let _events = open_stream(&ada.client).await;
    let reason = "Too many connections of this user";
    let mut third = Socket::connect(app.address, PROTOCOL).await;
    third.send_init(ada.client.token()).await;
    assert_eq!(third.next().await, refused(reason));
    let mut legacy = Socket::connect(app.address, LEGACY).await;
    legacy.send_init(ada.client.token()).await;
    let told = json!({ "type": "connection_error", "payload": { "message": reason } });
    assert_eq!(legacy.next().await, Received::Message(told));
    assert_eq!(legacy.next().await, refused(reason));
    let answer = Answer::to(stream(&ada.client)).await;
    assert_eq!((answer.status, &*answer.code()), (429, "RATE_LIMITED"));
    assert_eq!(answer.header("retry-after"), "5");

    assert!(answers(&mut first).await);
    assert!(answers(&mut bob.client.socket().await).await);
    first.cut();
    eventually("a place for the user", async || {
        ada.client.try_socket().await.map(drop)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_not_signed_in_gives_way_and_keeps_nobody_from_signing_in() {
    let app = TestApp::builder()
        .config(behind_a_proxy)
        .config(|config| {
            config.http.websocket.max_sockets = 40;
            config.http.shares.anonymous_percent = 10;
            config.http.shares.anonymous_per_address = 2;
        })
        .start()
        .await;
    let ada = app.sign_in("ada").await;
    let mut strangers = Vec::new();
    for n in 1..=4 {
        let mut socket = from(app.address, &format!("203.0.113.{n}")).await;
        socket.init(None).await;
        strangers.push(socket);
    }
    // Four are the tenth of all. Who comes now takes the place of the first.
    let mut signed_in = ada.client.socket().await;
    let reason = refused("Too many connections that have not signed in");
    assert_eq!(strangers[0].next().await, reason);
    for socket in &mut strangers[1..] {
        assert!(answers(socket).await);
    }
    // Having signed in, it has left the place to the next.
    let mut fifth = from(app.address, "203.0.113.2").await;
    fifth.init(None).await;
    for socket in &mut strangers[1..] {
        assert!(answers(socket).await);
    }
    // Of one address there are two already, of which the older one gives way.
    let mut sixth = from(app.address, "203.0.113.2").await;
    sixth.init(None).await;
    assert_eq!(strangers[1].next().await, reason);
    for socket in [&mut signed_in, &mut fifth, &mut sixth] {
        assert!(answers(socket).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_without_a_user_that_asks_nothing_ends_soon() {
    const LOGIN: &str = "mutation($input: LoginInput!) { login(input: $input) { expiresIn } }";
    let store = FaultyStore::new();
    let app = TestApp::builder()
        .config(|config| config.http.websocket.anonymous_timeout = Duration::from_secs(1))
        .ports(store.install())
        .start()
        .await;
    let ada = app.sign_in("ada").await;
    let mut signed_in = ada.client.socket().await;
    store.set("codes.issue", Fault::Held);
    let mut asking = app.client().socket().await;
    let input = json!({ "input": { "email": "stranger@example.org" } });
    asking.subscribe("1", LOGIN, input).await;
    store.arrived("codes.issue").await;
    let reason = "Nobody has signed in, and nothing was asked";
    for protocol in [PROTOCOL, LEGACY] {
        let mut idle = Socket::connect(app.address, protocol).await;
        idle.send_init(None).await;
        let end = loop {
            match idle.next().await {
                Received::Message(message) => {
                    let kind: &Value = &message["type"];
                    assert!(kind == "connection_ack" || kind == "ka", "{message}");
                }
                end => break end,
            }
        };
        assert_eq!(end, Received::Closed(1000, reason.into()), "{protocol}");
    }
    // Both have been open for longer.
    assert!(answers(&mut signed_in).await);
    store.release("codes.issue", 1);
    let answer = asking.message().await;
    assert_eq!(answer["type"], "next", "{answer}");
    // With nothing more to ask, it ends as well.
    assert_eq!(asking.message().await["type"], "complete");
    assert_eq!(asking.closed().await, 1000);
}
