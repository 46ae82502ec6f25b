//! An attack by what is computed unasked: very many subscriptions of one account, each of a text of
//! its own, so that each event is executed for each of them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::peer::{Codes, place};
use super::people;
use super::report::{Check, Row};
use super::swarm::Swarm;
use super::watch::Watch;
use crate::http::dial;
use crate::outcome::Outcome;
use crate::process::Home;
use crate::run::say;
use crate::socket::Socket;
use crate::stats::float;

/// As many subscriptions as one account may have, on so many sockets.
const SOCKETS: usize = 5;
const OF_SOCKET: usize = 100;

/// Senders that each of them asks for, by names of its own: four values each.
const SENDERS: usize = 98;

/// How many messages each of two users may send at once.
const MESSAGES: usize = 30;

/// How long it goes on: longer than a subscription waits for a budget.
const WINDOW: Duration = Duration::from_secs(15);

/// The most processor time in that, in milliseconds. A user's budget is about three seconds a minute,
/// as far as the machine that points were measured on goes; all of the events would be twelve.
const MILLIS: f64 = 8_000.0;

/// The subscription of this number.
fn follow(number: usize, chat: &str) -> Value {
    let senders: Vec<String> = (0..SENDERS)
        .map(|n| format!("s{number}x{n}:sender{{id name createdAt}}"))
        .collect();
    let senders = senders.concat();
    let query =
        format!("subscription($c:ID!){{messageAdded(chatId:$c){{cursor node{{id {senders}}}}}}}");
    json!({
        "type": "subscribe",
        "id": number.to_string(),
        "payload": { "query": query, "variables": { "c": chat } },
    })
}

/// Reads what comes, until the socket ends, and counts what it is.
async fn read(mut socket: Socket, seen: Arc<Mutex<Codes>>) {
    while let Ok(text) = socket.text().await {
        let ended = text.starts_with("closed with");
        let code = if text.contains("RATE_LIMITED") {
            "RATE_LIMITED"
        } else if ended {
            "closed"
        } else {
            "told"
        };
        seen.lock().add(code);
        if ended {
            return;
        }
    }
}

/// On a server with the budget of a user that it has by itself.
pub(super) async fn attack(binary: &Path) -> Outcome<Row> {
    const NAME: &str = "500 subscriptions of their own texts, 60 messages";
    say(NAME);
    let settings = vec!["limits.cost_user.burst=3000000".to_owned()];
    let home = Home::with_limits(binary, settings)?;
    let (server, _) = home.start().await?;
    let watch = Watch::of(&server);
    let people = people::sign_in(&home, &server, "listener", 2, 6_000_000).await?;
    let [listener, writer] = &*people else {
        return Err("nobody attacks".into());
    };
    let chat = listener.start_chat(server.address, writer).await?;
    let (swarm, seen) = (Swarm::new()?, Arc::new(Mutex::new(Codes::default())));
    for number in 0..SOCKETS {
        let stream = dial(place(6_100_000 + number), server.address).await?;
        let mut socket = Socket::over(stream);
        socket.upgrade("/graphql").await?;
        socket.sign_in(&listener.token).await?;
        for id in 0..OF_SOCKET {
            socket.say(&follow(number * OF_SOCKET + id, &chat)).await?;
        }
        swarm.spawn(read(socket, Arc::clone(&seen)))?;
    }
    // To open them is not what is measured.
    sleep(Duration::from_secs(3)).await;
    let mark = watch.mark()?;
    for number in 0..MESSAGES {
        for sender in [listener, writer] {
            // One that is refused is one less: the listener has no budget left.
            let _ = sender
                .send(server.address, &chat, &number.to_string())
                .await;
        }
    }
    sleep(WINDOW).await;
    let spent = watch.since(mark)?;
    drop(swarm);
    let codes = seen.lock().clone();
    let ended = u64::try_from(codes.of("RATE_LIMITED"))?;
    let mut row = Row::new(NAME, spent, &codes);
    row.checks = vec![
        Check::cpu(spent.cpu, MILLIS),
        Check::at_least("subscriptions that were ended", float(ended), 1.0, ""),
    ];
    server.stop().await?;
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_subscriptions_have_the_same_text() {
        let text = |number| follow(number, "chat")["payload"]["query"].to_string();
        assert_ne!(text(0), text(1));
        assert_eq!(text(3), text(3));
        assert!(text(499).len() < 32 * 1024);
    }
}
