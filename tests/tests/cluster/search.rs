//! A search on one server finds what was sent to the other.

use serde_json::{Value, json};
use talksy_tests::client::{User, string};
use talksy_tests::cluster::client_at;

use super::Two;

const SEARCH: &str = "query($query: String!, $first: Int, $after: String) {
    searchMessages(query: $query, first: $first, after: $after) {
        nodes { id text seq } pageInfo { hasNextPage endCursor } } }";

async fn find(client: &talksy_tests::client::Client, variables: Value) -> Value {
    client.data(SEARCH, variables).await["searchMessages"].clone()
}

async fn change(user: &User, mutation: &str, input: Value) {
    let (name, rest) = mutation.split_at(1);
    let kind = format!("{}{rest}Input", name.to_uppercase());
    let query = format!(
        "mutation($input: {kind}!) {{ {mutation}(input: $input) {{ message {{ seq }} }} }}"
    );
    user.client.data(&query, json!({ "input": input })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_edited_and_deleted_on_one_server_is_searched_on_the_other() {
    let two = Two::start(&[]).await;
    let elsewhere = client_at(&two.ada, two.b.address());
    let mut sent = Vec::new();
    for n in 0..5 {
        let said = two.ada.send(&two.chat, &format!("Crème {n}")).await;
        sent.push(string(&said["message"]["id"]));
    }
    let found = find(&elsewhere, json!({ "query": "creme", "first": 2 })).await;
    assert_eq!(found["nodes"][0]["text"], "Crème 4");
    // The page goes on at the other server.
    let after = &found["pageInfo"]["endCursor"];
    let rest = find(&two.ada.client, json!({ "query": "creme", "after": after })).await;
    assert_eq!(rest["nodes"].as_array().unwrap().len(), 3);
    assert_eq!(rest["pageInfo"]["hasNextPage"], json!(false));
    let input = json!({ "messageId": sent[0], "text": "Brûlée" });
    change(&two.ada, "editMessage", input).await;
    change(&two.ada, "deleteMessage", json!({ "messageId": sent[1] })).await;
    let found = find(&elsewhere, json!({ "query": "creme" })).await;
    assert_eq!(found["nodes"].as_array().unwrap().len(), 3);
    let found = find(&elsewhere, json!({ "query": "brulee" })).await;
    assert_eq!(found["nodes"][0]["id"], json!(sent[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_on_both_servers_count_together() {
    let settings = ["limits.search.burst=4", "limits.search.period=1h"];
    let two = Two::start(&settings).await;
    let elsewhere = client_at(&two.ada, two.b.address());
    for client in [&two.ada.client, &elsewhere, &two.ada.client, &elsewhere] {
        find(client, json!({ "query": "x" })).await;
    }
    for client in [&two.ada.client, &elsewhere] {
        let refused = client.run(SEARCH, json!({ "query": "x" })).await;
        assert_eq!(refused.code(), "RATE_LIMITED");
    }
}
