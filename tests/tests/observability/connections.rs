//! The bounds of connections can be watched: what they refuse and end, and how much waits for
//! clients that read nothing.

use serde_json::{Value, json};
use talksy_tests::client::User;
use talksy_tests::eventually;
use talksy_tests::websocket::{Received, Socket};
use talksy_tests::wire::{RawSocket, Wire};

use crate::scrape::{Page, Scraped};

const REFUSED: &str = "talksy_connections_refused_total";
const CUT: &str = "talksy_connections_cut_total";
const PEAK: &str = "talksy_socket_queue_peak_bytes";

/// A message's longest text: 4,000 characters of four bytes.
const LONGEST: u32 = 16_000;
/// How often a result repeats a message's text.
const REPEATED: u32 = 20;
/// What a result of these has besides, at most.
const REST: u32 = 2_000;
/// How many operations a socket has at once.
const OPERATIONS: u32 = 100;

const QUEUE: u32 = 64 * 1024;
const EXECUTIONS: u32 = 4;

fn texts() -> String {
    (0..REPEATED).fold(String::new(), |texts, n| format!("{texts} t{n}: text"))
}

/// A page on which the condition holds.
async fn page(scraped: &Scraped, what: &str, holds: impl Fn(&Page) -> bool) -> Page {
    eventually(what, async || {
        let page = scraped.scrape().await;
        holds(&page).then_some(page)
    })
    .await
}

fn is(value: f64, wanted: u32) -> bool {
    (value - f64::from(wanted)).abs() < 1e-9
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_and_ended_is_counted() {
    let data = tempfile::tempdir().unwrap();
    let settings = [
        "--set",
        "http.shares.sockets_per_user=1",
        "--set",
        "http.shares.anonymous_per_address=1",
        "--set",
        "http.shares.operations_per_user=1",
        "--set",
        "http.head_timeout=3s",
    ];
    let scraped = Scraped::start(data.path(), &settings).await;
    let ada = scraped.server.sign_in(data.path(), "ada").await;
    let mut socket = ada.client.socket().await;
    for id in ["1", "2"] {
        let follow = "subscription { chatUpdated { id } }";
        socket.subscribe(id, follow, json!({})).await;
    }
    assert_eq!(socket.message().await["type"], "error");
    let mut second = Socket::connect(scraped.server.address, "graphql-transport-ws").await;
    second.send_init(ada.client.token()).await;
    assert!(matches!(second.next().await, Received::Closed(1013, _)));
    // Its place is free when it has answered the close, which it does when it reads on.
    assert_eq!(second.next().await, Received::Gone);
    page(&scraped, "the socket's end", |page| {
        is(page.get("talksy_sockets_anonymous_open", &[]), 0)
    })
    .await;
    let mut first = scraped.server.client().socket().await;
    let _next = scraped.server.client().socket().await;
    assert!(matches!(first.next().await, Received::Closed(1013, _)));
    let mut silent = Wire::connect(scraped.server.address).await;
    assert!(silent.ended().await);

    let page = page(&scraped, "the socket's end", |page| {
        is(page.get("talksy_sockets_anonymous_open", &[]), 1)
    })
    .await;
    assert!(is(page.get(REFUSED, &[("bound", "sockets_of_user")]), 1));
    assert!(is(
        page.get(REFUSED, &[("bound", "anonymous_of_address")]),
        1
    ));
    assert!(is(page.get(REFUSED, &[("bound", "operations_of_user")]), 1));
    assert!(is(page.get(REFUSED, &[]), 3));
    assert!(page.get(CUT, &[("why", "no_request")]) >= 1.0);
    let open = page.get("talksy_connections_open", &[]);
    assert!(open >= 2.0, "{open}");
    assert!(page.get("talksy_connections_limit", &[]) > open);
}

/// A chat with a message of the longest text.
async fn long_message(scraped: &Scraped, data: &std::path::Path) -> (User, User, String) {
    let ada = scraped.server.sign_in(data, "ada").await;
    let bob = scraped.server.sign_in(data, "bob").await;
    let chat = ada.start_chat(&bob).await;
    (ada, bob, chat)
}

/// A socket of which nothing is read from now on, with so many operations.
async fn unread(user: &User, query: &str, variables: &Value) -> RawSocket {
    let mut socket = RawSocket::transport(user.client.address()).await;
    let payload = json!({ "token": user.client.token() });
    socket
        .message(json!({ "type": "connection_init", "payload": payload }))
        .await;
    assert_eq!(socket.next().await, Ok(json!({ "type": "connection_ack" })));
    for id in 0..OPERATIONS {
        let payload = json!({ "query": query, "variables": variables });
        let id = id.to_string();
        socket
            .message(json!({ "type": "subscribe", "id": id, "payload": payload }))
            .await;
    }
    socket
}

async fn started(data: &std::path::Path) -> Scraped {
    let queue = format!("http.websocket.max_queued_bytes={QUEUE}");
    let executions = format!("http.websocket.max_executions={EXECUTIONS}");
    let settings = [
        "--set",
        &queue,
        "--set",
        &executions,
        "--set",
        "http.websocket.write_timeout=1s",
        "--set",
        "http.websocket.close_timeout=1m",
    ];
    Scraped::start(data, &settings).await
}

/// The most that waited for the one socket that there was.
async fn peak(scraped: &Scraped) -> f64 {
    let count = format!("{PEAK}_count");
    let page = page(scraped, "the socket's end", |page| {
        is(page.get(&count, &[]), 1)
    })
    .await;
    page.get(&format!("{PEAK}_sum"), &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_nobody_reads_are_not_made() {
    let data = tempfile::tempdir().unwrap();
    let scraped = started(data.path()).await;
    let (ada, bob, chat) = long_message(&scraped, data.path()).await;
    ada.send(&chat, &"😀".repeat(4_000)).await;
    let query = format!(
        "query($chat: ID!) {{ node(id: $chat) {{ ... on Chat {{
            messages(last: 1) {{ nodes {{ {} }} }} }} }} }}",
        texts()
    );
    let variables = json!({ "chat": chat });
    let mut socket = unread(&bob, &query, &variables).await;
    let peak = peak(&scraped).await;
    let result = REPEATED * LONGEST;
    assert!(peak >= f64::from(result), "{peak}: it was not counted");
    // One that is larger than the queue passes alone.
    let most = QUEUE + (EXECUTIONS + 1) * (result + REST);
    assert!(peak <= f64::from(most), "{peak}, not {most}");
    assert_eq!(socket.closed().await.0, 1013);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_nobody_reads_are_not_made_for_each_subscription() {
    let data = tempfile::tempdir().unwrap();
    let scraped = started(data.path()).await;
    let (ada, bob, chat) = long_message(&scraped, data.path()).await;
    let query = format!(
        "subscription($chat: ID!) {{ messageAdded(chatId: $chat) {{ node {{ {} }} }} }}",
        texts()
    );
    let variables = json!({ "chat": chat });
    let mut socket = unread(&bob, &query, &variables).await;
    socket.message(json!({ "type": "ping" })).await;
    assert_eq!(socket.next().await, Ok(json!({ "type": "pong" })));
    let open = "talksy_subscriptions_open";
    page(&scraped, "the subscriptions", |page| {
        is(page.get(open, &[]), OPERATIONS)
    })
    .await;
    // Each goes to a hundred subscriptions: a few are more than a connection holds unread.
    for _ in 0..4 {
        ada.send(&chat, &"😀".repeat(4_000)).await;
    }
    let peak = peak(&scraped).await;
    let event = REPEATED * LONGEST;
    assert!(peak >= f64::from(event), "{peak}: it was not counted");
    // Each thread of the server may be at work on one when the queue fills up.
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = u32::try_from(threads).unwrap_or(u32::MAX);
    let most = QUEUE + (threads + 1) * (event + REST);
    assert!(peak <= f64::from(most), "{peak}, not {most}");
    assert_eq!(socket.closed().await.0, 1013);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_all_who_do_not_read_is_bounded_and_the_longest_unread_go() {
    const MOST: u32 = 1024 * 1024;
    const SOCKETS: u32 = 6;
    let data = tempfile::tempdir().unwrap();
    // One user has all operations of all sockets, or the later ones have nothing unread.
    let operations = format!("http.shares.operations_per_user={}", SOCKETS * OPERATIONS);
    let settings = [
        "http.websocket.max_stalled_bytes=1048576",
        "http.websocket.max_queued_bytes=65536",
        "http.websocket.max_executions=1",
        "http.websocket.write_timeout=10m",
        "http.websocket.ping_interval=10m",
        "http.websocket.close_timeout=1m",
        &operations,
    ];
    let settings: Vec<_> = settings.iter().flat_map(|set| ["--set", set]).collect();
    let scraped = Scraped::start(data.path(), &settings).await;
    let (ada, bob, chat) = long_message(&scraped, data.path()).await;
    ada.send(&chat, &"😀".repeat(4_000)).await;
    let query = format!(
        "query($chat: ID!) {{ node(id: $chat) {{ ... on Chat {{
            messages(last: 1) {{ nodes {{ {} }} }} }} }} }}",
        texts()
    );
    let variables = json!({ "chat": chat });
    let mut sockets = Vec::new();
    for _ in 0..SOCKETS {
        sockets.push(unread(&bob, &query, &variables).await);
    }
    // Each holds more than a quarter of it, and less than a third. No other rule closes them.
    let page = page(&scraped, "the end of slow clients", |page| {
        page.get("talksy_slow_consumers_closed_total", &[]) >= 3.0
            && page.get("talksy_sockets_stalled_bytes", &[]) <= f64::from(MOST)
    })
    .await;
    assert!(page.get("talksy_sockets_open", &[]) >= 1.0);
    drop(sockets);
}
