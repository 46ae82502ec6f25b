//! The dashboard and the alert rules ask for metrics that there are.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Stdio;

use serde_json::{Value, json};
use talksy_tests::client::MESSAGE_ADDED;
use talksy_tests::process::binary;
use talksy_tests::servers::free_port;
use talksy_tests::websocket::{Received, Socket};
use tokio::process::Command;

use crate::scrape::{Page, Scraped};

const DASHBOARD: &str = include_str!("../../../server/observability/grafana-dashboard.json");
const ALERTS: &str = include_str!("../../../server/observability/alerts.yaml");
const RUNBOOK: &str = include_str!("../../../docs/ALERTS.md");

/// All texts under this key, however deep.
fn texts<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                match value {
                    Value::String(text) if name == key => found.push(text),
                    _ => texts(value, key, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, key, found)),
        _ => {}
    }
}

/// The names of metrics in an expression.
fn metrics(expression: &str) -> impl Iterator<Item = &str> {
    expression
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("talksy_") || word.starts_with("process_"))
}

/// Does a little of everything.
async fn exercise(scraped: &Scraped, data: &std::path::Path) {
    let ada = scraped.server.sign_in(data, "ada").await;
    let bob = scraped.server.sign_in(data, "bob").await;
    let chat = ada.start_chat(&bob).await;
    let mut socket = bob.client.socket().await;
    let variables = json!({ "chatId": chat, "after": null });
    socket.subscribe("1", MESSAGE_ADDED, variables).await;
    socket.run("2", "{ me { id } }", json!({})).await;
    ada.send(&chat, "hello").await;
    assert!(matches!(socket.next().await, Received::Message(_)));
    let client = scraped.server.client();
    client.login("bob@example.org").await;
    assert_eq!(client.login("eve@example.org").await.code(), "RATE_LIMITED");
    let mut stranger = Socket::connect(scraped.server.address, "graphql-transport-ws").await;
    stranger.subscribe("1", "{ me { id } }", json!({})).await;
    assert!(matches!(stranger.next().await, Received::Closed(4401, _)));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_the_dashboard_and_the_alerts_is_scraped() {
    let data = tempfile::tempdir().unwrap();
    let limit = ["--set", "limits.login_ip.burst=2"];
    let scraped = Scraped::start(data.path(), &limit).await;
    exercise(&scraped, data.path()).await;
    let server = scraped.scrape().await;

    // A worker shows itself also while it waits for its broker.
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let nobody = format!("amqp://127.0.0.1:{}/%2f", free_port());
    let _worker = Command::new(binary("talksy-mail-worker"))
        .env("TALKSY_AMQP_URL", nobody)
        .args(["--outbox", &data.path().join("worker").to_string_lossy()])
        .args(["--listen", &address.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let worker = talksy_tests::eventually("the worker's metrics", async || {
        let page = Page::of(address).await;
        page.names()
            .contains("talksy_mail_consuming")
            .then_some(page)
    })
    .await;
    let known: BTreeSet<&str> = server.names().union(&worker.names()).copied().collect();

    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let alerts: Value = serde_yaml_ng::from_str(ALERTS).unwrap();
    let mut expressions = Vec::new();
    texts(&dashboard, "expr", &mut expressions);
    let panels = expressions.len();
    texts(&alerts, "expr", &mut expressions);
    assert!(panels > 40 && expressions.len() > panels + 10);
    let asked: BTreeSet<&str> = expressions.iter().copied().flat_map(metrics).collect();
    let missing: Vec<_> = asked.difference(&known).collect();
    assert!(missing.is_empty(), "there is no {missing:?}");

    // And the other way: whatever is counted of Talksy can be seen.
    let base = |name: &str| {
        let name = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))
            .unwrap_or(name);
        name.to_owned()
    };
    let shown: BTreeSet<String> = asked.iter().map(|name| base(name)).collect();
    let counted = known.iter().filter(|name| name.starts_with("talksy_"));
    let counted: BTreeSet<String> = counted.map(|name| base(name)).collect();
    let unseen: Vec<_> = counted.difference(&shown).collect();
    assert!(unseen.is_empty(), "neither shown nor watched: {unseen:?}");
}

#[test]
fn every_alert_says_what_is_wrong() {
    let alerts: Value = serde_yaml_ng::from_str(ALERTS).unwrap();
    let rules = alerts["groups"][0]["rules"].as_array().unwrap();
    for rule in rules {
        let name = rule["alert"].as_str().unwrap();
        assert!(name.starts_with("Talksy"), "{name}");
        assert!(rule["annotations"]["summary"].is_string(), "{name}");
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["warning", "critical"].contains(&severity), "{name}");
    }
}

#[test]
fn every_alert_has_a_section_that_says_what_to_do() {
    let alerts: Value = serde_yaml_ng::from_str(ALERTS).unwrap();
    let rules = alerts["groups"][0]["rules"].as_array().unwrap();
    let names: Vec<_> = rules
        .iter()
        .map(|rule| rule["alert"].as_str().unwrap())
        .collect();
    let sections: Vec<_> = RUNBOOK
        .split("\n## ")
        .skip(1)
        .map(|section| section.split_once('\n').unwrap())
        .collect();
    let titles: Vec<_> = sections.iter().map(|(title, _)| *title).collect();
    assert_eq!(
        titles, names,
        "docs/ALERTS.md has them in the order of the rules"
    );
    for (title, text) in sections {
        assert!(text.split_whitespace().count() > 20, "{title} says little");
    }
}
