//! The users of a run: each signs in from an address of its own, within the limits that the server
//! has by itself.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::{Value, json};

use super::peer;
use crate::account::{codes, login, text};
use crate::http::Connection;
use crate::outcome::{Context as _, Outcome};
use crate::process::{Home, Process};

const VERIFY: &str = "mutation($challenge: String!, $code: String!) { \
    verifyOtp(input: { challenge: $challenge, code: $code }) { \
    accessToken refreshToken deviceToken user { id } } }";
const START_CHAT: &str =
    "mutation($user: ID!) { startChat(input: { userId: $user }) { chat { id } } }";
const SEND: &str = "mutation($chat: ID!, $text: String!) { \
    sendMessage(input: { chatId: $chat, text: $text }) { message { id } } }";

/// A user who is signed in.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) id: String,
    pub(super) email: String,
    pub(super) token: String,
    pub(super) refresh_token: String,
    pub(super) device_token: String,
    /// Where they come from.
    pub(super) place: Ipv4Addr,
}

/// Signs new users in. The first comes from the place of this number.
pub(super) async fn sign_in(
    home: &Home,
    server: &Process,
    name: &str,
    count: usize,
    first: usize,
) -> Outcome<Vec<Person>> {
    let mut asked = Vec::new();
    for number in 0..count {
        let place = peer::place(first + number);
        let email = format!("{name}-{number}@hostile.example");
        let mut connection = Connection::open_from(place, server.address).await?;
        let challenge = login(&mut connection, &email).await?;
        asked.push((place, email, challenge));
    }
    let addresses: Vec<String> = asked.iter().map(|(_, email, _)| email.clone()).collect();
    let codes = codes(&home.data().join("outbox"), &addresses).await?;
    let mut people = Vec::new();
    for (place, email, challenge) in asked {
        let code = codes.get(&email).context("a mail is missing")?;
        people.push(verify(server.address, place, email, &challenge, code).await?);
    }
    Ok(people)
}

/// Exchanges a code.
pub(super) async fn verify(
    server: SocketAddr,
    place: Ipv4Addr,
    email: String,
    challenge: &str,
    code: &str,
) -> Outcome<Person> {
    let mut connection = Connection::open_from(place, server).await?;
    let values = json!({ "challenge": challenge, "code": code });
    let data = connection.graphql(None, VERIFY, values).await?;
    let session = &data["verifyOtp"];
    Ok(Person {
        id: text(&session["user"]["id"])?,
        token: text(&session["accessToken"])?,
        refresh_token: text(&session["refreshToken"])?,
        device_token: text(&session["deviceToken"])?,
        email,
        place,
    })
}

impl Person {
    /// Runs an operation that is not hostile.
    pub(super) async fn run(
        &self,
        server: SocketAddr,
        query: &str,
        values: Value,
    ) -> Outcome<Value> {
        let mut connection = Connection::open_from(self.place, server).await?;
        connection.graphql(Some(&self.token), query, values).await
    }

    /// Starts the direct chat with somebody. Tells its id.
    pub(super) async fn start_chat(&self, server: SocketAddr, other: &Self) -> Outcome<String> {
        let values = json!({ "user": other.id });
        let data = self.run(server, START_CHAT, values).await?;
        text(&data["startChat"]["chat"]["id"])
    }

    /// Sends a message. Tells its id.
    pub(super) async fn send(&self, server: SocketAddr, chat: &str, what: &str) -> Outcome<String> {
        let values = json!({ "chat": chat, "text": what });
        let data = self.run(server, SEND, values).await?;
        text(&data["sendMessage"]["message"]["id"])
    }
}
