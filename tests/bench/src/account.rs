//! Users and chats, made as anybody makes them: with codes from mails.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use super::http::Connection;
use super::outcome::{Context as _, Outcome};
use super::process::{Home, Process};

/// How long mails may take.
const PATIENCE: Duration = Duration::from_secs(20);

const LOGIN: &str = "mutation($email: String!) { login(input: { email: $email }) { challenge } }";
const VERIFY: &str = "mutation($challenge: String!, $code: String!) { \
    verifyOtp(input: { challenge: $challenge, code: $code }) { accessToken user { id } } }";
const START_CHAT: &str =
    "mutation($user: ID!) { startChat(input: { userId: $user }) { chat { id } } }";

/// A user who is signed in.
#[derive(Clone, Debug)]
pub(super) struct User {
    pub(super) id: String,
    pub(super) token: String,
}

impl User {
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

/// A chat that is written to.
#[derive(Clone, Debug)]
pub(super) struct Chat {
    pub(super) id: String,
    /// The members that write, as indices of users.
    pub(super) members: Vec<usize>,
}

/// Signs new users in.
pub(super) async fn sign_in(
    home: &Home,
    server: &Process,
    name: &str,
    count: usize,
) -> Outcome<Vec<User>> {
    let mut connection = Connection::open(server.address).await?;
    let addresses: Vec<String> = (0..count)
        .map(|number| format!("{name}-{number}@bench.example"))
        .collect();
    let mut challenges = Vec::new();
    for email in &addresses {
        challenges.push(login(&mut connection, email).await?);
    }
    let codes = codes(&home.data().join("outbox"), &addresses).await?;
    let mut users = Vec::new();
    for (email, challenge) in addresses.iter().zip(challenges) {
        let code = codes.get(email).context("a mail is missing")?;
        let values = json!({ "challenge": challenge, "code": code });
        let data = connection.graphql(None, VERIFY, values).await?;
        let session = &data["verifyOtp"];
        users.push(User {
            id: text(&session["user"]["id"])?,
            token: text(&session["accessToken"])?,
        });
    }
    Ok(users)
}

/// Has a code sent to an address. Tells the challenge.
pub(super) async fn login(connection: &mut Connection, email: &str) -> Outcome<String> {
    let values = json!({ "email": email });
    let data = connection.graphql(None, LOGIN, values).await?;
    text(&data["login"]["challenge"])
}

/// Starts the chats of a ring: each user with so many next ones.
pub(super) async fn ring(server: &Process, users: &[User], next: usize) -> Outcome<Vec<Chat>> {
    let mut connection = Connection::open(server.address).await?;
    let mut chats = Vec::new();
    for distance in 1..=next {
        for (one, user) in users.iter().enumerate() {
            let other = (one + distance) % users.len();
            chats.push(Chat {
                id: start_chat(&mut connection, user, &users[other]).await?,
                members: vec![one, other],
            });
        }
    }
    Ok(chats)
}

/// Starts the direct chat of two users. Tells its id.
pub(super) async fn start_chat(
    connection: &mut Connection,
    user: &User,
    other: &User,
) -> Outcome<String> {
    let values = json!({ "user": other.id });
    let data = connection
        .graphql(Some(&user.token), START_CHAT, values)
        .await?;
    text(&data["startChat"]["chat"]["id"])
}

/// A string of an answer.
pub(super) fn text(value: &Value) -> Outcome<String> {
    Ok(value.as_str().context("a field is missing")?.to_owned())
}

/// Waits for the codes of all these addresses.
pub(super) async fn codes(outbox: &Path, addresses: &[String]) -> Outcome<HashMap<String, String>> {
    let started = Instant::now();
    let (mut codes, mut read) = (HashMap::new(), HashSet::new());
    while started.elapsed() < PATIENCE {
        if outbox.exists() {
            for file in std::fs::read_dir(outbox).context("cannot read the outbox")? {
                let path = file?.path();
                let is_mail = path.extension().is_some_and(|extension| extension == "eml");
                if !is_mail || read.contains(&path) {
                    continue;
                }
                if let Some((address, code)) = code(&std::fs::read_to_string(&path)?) {
                    codes.insert(address, code);
                    read.insert(path);
                }
            }
        }
        if addresses.iter().all(|address| codes.contains_key(address)) {
            return Ok(codes);
        }
        sleep(Duration::from_millis(10)).await;
    }
    Err("mails with codes do not come".into())
}

/// The recipient and the code of a mail.
fn code(mail: &str) -> Option<(String, String)> {
    let header = |name: &str| mail.lines().find_map(|line| line.strip_prefix(name));
    let to = header("To: ")?.trim().trim_matches(['<', '>']);
    let code = header("Subject: ")?.split_whitespace().next()?;
    Some((to.to_owned(), code.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_tells_its_recipient_and_code() {
        let mail = "From: x\r\nTo: <a@b.example>\r\nSubject: 012345 is your code\r\n\r\nTo: no";
        let expected = ("a@b.example".to_owned(), "012345".to_owned());
        assert_eq!(code(mail), Some(expected));
        assert_eq!(code("To: a\r\n\r\n"), None);
    }
}
