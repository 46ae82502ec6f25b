//! Deleting accounts, through the whole server: who may, what others see, and that nothing is left.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod codes;
mod erased;
mod instances;
mod killed;
mod others;
mod place;

use std::io::Cursor;
use std::time::Duration;

use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};
use talksy_tests::app::{Builder, TestApp};
use talksy_tests::client::{Client, Reply, User, string};
use talksy_tests::eventually;

const REQUEST: &str = "mutation { requestAccountDeletion { challenge expiresIn resendAfter } }";
const DELETE: &str = "mutation($input: DeleteAccountInput!) {
    deleteAccount(input: $input) { userId } }";

/// An app that looks for jobs often.
fn quick() -> Builder {
    TestApp::builder().config(|config| config.jobs.poll = Duration::from_millis(100))
}

/// Asks for a code; the challenge.
async fn request(user: &User) -> String {
    let data = user.client.data(REQUEST, json!({})).await;
    string(&data["requestAccountDeletion"]["challenge"])
}

/// Presents a challenge and a code.
async fn present(client: &Client, challenge: &str, code: &str) -> Reply {
    let input = json!({ "challenge": challenge, "code": code });
    client.run(DELETE, json!({ "input": input })).await
}

/// Deletes the account of a user.
async fn delete(app: &TestApp, user: &User) {
    let challenge = request(user).await;
    let code = app.mailbox.deletion_code(&user.email).unwrap();
    let data = present(&user.client, &challenge, &code).await.data();
    assert_eq!(data["deleteAccount"]["userId"], json!(user.id));
}

/// Waits until the job has erased an account for the first time.
async fn erased(app: &TestApp) {
    let conn = rusqlite::Connection::open(app.data_dir().join("talksy.db")).unwrap();
    conn.busy_timeout(Duration::from_secs(30)).unwrap();
    let sql = "SELECT count(*) FROM jobs WHERE kind = 'eraseAccount.1'
        AND (state <> 0 OR due_at = created_at)";
    eventually("the erasing", async || {
        let open: i64 = conn.query_row(sql, [], |row| row.get(0)).ok()?;
        (open == 0).then_some(())
    })
    .await;
}

/// Makes a group of the user with these others; its id.
async fn group(owner: &User, others: &[&User]) -> String {
    const CREATE: &str = "mutation($input: CreateGroupInput!) {
        createGroup(input: $input) { chat { id } } }";
    let members: Vec<&str> = others.iter().map(|other| &*other.id).collect();
    let input = json!({ "title": "Engines", "memberIds": members });
    let data = owner.client.data(CREATE, json!({ "input": input })).await;
    string(&data["createGroup"]["chat"]["id"])
}

/// Runs a mutation with this input.
async fn mutate(user: &User, name: &str, kind: &str, input: Value) -> Reply {
    let query = format!("mutation($input: {kind}!) {{ {name}(input: $input) {{ __typename }} }}");
    user.client.run(&query, json!({ "input": input })).await
}

fn png() -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let image = RgbImage::from_pixel(20, 20, Rgb([1, 2, 3]));
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}
