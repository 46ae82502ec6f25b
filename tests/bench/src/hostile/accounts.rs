//! Attacks on sign-in, sessions and accounts: floods of letters, guesses, forged tokens, refreshes at
//! one time, floods of writes, and pages of other origins.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::neighbour::Neighbours;
use super::peer::{Answer, Codes, ask, network, place, post, request};
use super::people::{self, Person};
use super::random::Random;
use super::report::{Check, Row};
use super::swarm::Swarm;
use super::watch::{Spent, Watch};
use crate::account::{codes, login, text};
use crate::http::Connection;
use crate::outcome::{Context as _, Outcome};
use crate::process::{Home, Process};
use crate::run::say;
use crate::stats::float;

const LOGIN: &str = "mutation($email:String! $device:String){\
    login(input:{email:$email deviceToken:$device}){challenge}}";
const VERIFY: &str = "mutation($challenge:String! $code:String!){\
    verifyOtp(input:{challenge:$challenge code:$code}){accessToken}}";
const REFRESH: &str = "mutation($token:String!){\
    refreshSession(input:{refreshToken:$token}){accessToken refreshToken}}";
const RENAME: &str = "mutation($name:String!){updateProfile(input:{name:$name}){user{id}}}";

/// The most letters that a mailbox gets in the time of a flood: `limits.login_address`, and what
/// is refilled meanwhile.
const LETTERS: f64 = 63.0;

/// The most changes of a profile in three seconds: `limits.update_profile`, and what is refilled.
const RENAMES: f64 = 12.0;

/// The most processor time of a request with a forged token, in milliseconds.
const FORGED_MILLIS: f64 = 1.0;

/// How often refusals are asked for.
const GUESSES: usize = 1_000;

/// A server with the settings that it has by itself.
struct Target {
    home: Home,
    server: SocketAddr,
    watch: Watch,
    random: Random,
}

/// All of them.
pub(super) async fn attack(binary: &Path, quiet: Duration) -> Outcome<Vec<Row>> {
    let home = Home::with_limits(binary, Vec::new())?;
    let (server, _) = home.start().await?;
    let victims = people::sign_in(&home, &server, "victim", 4, 5_000_000).await?;
    let [one, two, three, ..] = &*victims else {
        return Err("nobody is attacked".into());
    };
    let mut target = Target {
        server: server.address,
        watch: Watch::of(&server),
        home,
        random: Random::new(2),
    };
    say("sign-in, tokens and sessions");
    let mut rows = vec![
        target.letters(one).await?,
        target.guesses().await?,
        target.own_challenges().await?,
        target.forgeries().await?,
        target.origins().await?,
        target.refreshes(two).await?,
    ];
    say("a flood of writes");
    rows.push(target.renames(&server, three, quiet).await?);
    server.stop().await?;
    Ok(rows)
}

impl Target {
    /// Letters to one mailbox from very many networks; its owner's device gets one all the same.
    async fn letters(&self, victim: &Person) -> Outcome<Row> {
        let mark = self.watch.mark()?;
        let (mut codes, mut took) = (Codes::default(), Duration::ZERO);
        for number in 0..600 {
            let variables = json!({ "email": victim.email });
            let answer = self.anonymous(10_000 + number, LOGIN, &variables).await?;
            codes.add(&answer.code);
            took = took.max(answer.took);
        }
        let spent = self.watch.since(mark)?;
        let device = json!({ "email": victim.email, "device": victim.device_token });
        let own = self.anonymous(30_000, LOGIN, &device).await?;
        let mut row = refused(
            "600 letters for one mailbox, 600 networks",
            spent,
            &codes,
            took,
        );
        row.checks = vec![
            Check::at_most("letters", count(codes.of("-")), LETTERS, ""),
            Check::at_least(
                "letters of the owner's device",
                yes(own.code == "-"),
                1.0,
                "",
            ),
        ];
        Ok(row)
    }

    /// Codes for challenges that nobody was given; the right one is good all the same.
    async fn guesses(&mut self) -> Outcome<Row> {
        let email = "guessed@hostile.example".to_owned();
        let mut connection = Connection::open_from(place(5_100_000), self.server).await?;
        let challenge = login(&mut connection, &email).await?;
        let outbox = self.home.data().join("outbox");
        let mailed = codes(&outbox, std::slice::from_ref(&email)).await?;
        let code = mailed.get(&email).context("a mail is missing")?.clone();

        let mark = self.watch.mark()?;
        let (mut codes, mut took) = (Codes::default(), Duration::ZERO);
        for number in 0..GUESSES {
            let forged = match number % 3 {
                0 => self.random.word(64),
                1 => cut(&challenge, 1 + self.random.below(challenge.len())),
                _ => format!("{}{}", cut(&challenge, 8), self.random.word(56)),
            };
            let variables = json!({ "challenge": forged, "code": code });
            let answer = self.anonymous(number, VERIFY, &variables).await?;
            codes.add(&answer.code);
            took = took.max(answer.took);
        }
        let spent = self.watch.since(mark)?;
        let place = place(5_200_000);
        let owner = people::verify(self.server, place, email, &challenge, &code).await;
        let mut row = refused("1,000 challenges that were not given", spent, &codes, took);
        row.checks = vec![
            Check::at_most("accepted", count(codes.of("-")), 0.0, ""),
            Check::at_least("the owner signs in", yes(owner.is_ok()), 1.0, ""),
        ];
        Ok(row)
    }

    /// Codes for challenges that the attacker was given for another's address.
    async fn own_challenges(&self) -> Outcome<Row> {
        let mark = self.watch.mark()?;
        let (mut codes, mut took) = (Codes::default(), Duration::ZERO);
        for number in 0..20 {
            let variables = json!({ "email": "another@hostile.example" });
            let answer = self.anonymous(20_000 + number, LOGIN, &variables).await?;
            let body = answer.text.split_once("\r\n\r\n").unwrap_or_default().1;
            let body: Value = serde_json::from_str(body).unwrap_or_default();
            let Some(challenge) = body["data"]["login"]["challenge"].as_str() else {
                continue;
            };
            for code in 0..30 {
                let variables = json!({ "challenge": challenge, "code": format!("{code:06}") });
                let answer = self.anonymous(20_000 + number, VERIFY, &variables).await?;
                codes.add(&answer.code);
                took = took.max(answer.took);
            }
        }
        let spent = self.watch.since(mark)?;
        let name = "30 guesses for each of 20 challenges";
        let mut row = refused(name, spent, &codes, took);
        row.checks = vec![Check::at_most("accepted", count(codes.of("-")), 0.0, "")];
        Ok(row)
    }

    /// Tokens with ids of keys that there are not, and of algorithms that are not ours.
    async fn forgeries(&mut self) -> Outcome<Row> {
        let requests = (0..GUESSES).map(|number| {
            let token = self.forged(number);
            let body = json!({ "query": "{me{id}}" }).to_string();
            post(self.server, Some(&token), &body)
        });
        let requests: Vec<_> = requests.collect();
        let mark = self.watch.mark()?;
        let (mut codes, mut took, mut accepted) = (Codes::default(), Duration::ZERO, 0);
        for (number, request) in requests.iter().enumerate() {
            let answer = ask(place(300_000 + number), self.server, request).await?;
            accepted += usize::from(answer.text.contains("\"me\":{"));
            codes.add(&answer.code);
            took = took.max(answer.took);
        }
        let spent = self.watch.since(mark)?;
        let each = spent.cpu / u32::try_from(GUESSES)?;
        let mut row = refused("1,000 forged tokens, random keys", spent, &codes, took);
        row.checks = vec![
            Check::at_most("accepted", count(accepted), 0.0, ""),
            Check::at_most("CPU of each", each.as_secs_f64() * 1e3, FORGED_MILLIS, "ms"),
        ];
        Ok(row)
    }

    fn forged(&mut self, number: usize) -> String {
        let key = match number % 4 {
            0 | 1 => self.random.word(16),
            2 => format!("../../../../etc/{}", self.random.word(8)),
            _ => self.random.word(2_000),
        };
        let algorithm = ["EdDSA", "none", "HS256", "EdDSA", "RS256"][number % 5];
        let header = json!({ "alg": algorithm, "typ": "JWT", "kid": key });
        let claims = json!({
            "sub": "usr_01h455vb4pex5vsknk084sn02q", "sid": "ses_01h455vb4pex5vsknk084sn02q",
            "iss": "talksy", "aud": "talksy", "iat": 0, "exp": 4_102_444_800_u64,
        });
        let signature = self.random.word(64);
        let [header, claims] = [header, claims].map(|part| {
            let part = part.to_string();
            BASE64_URL_SAFE_NO_PAD.encode(part)
        });
        let signature = BASE64_URL_SAFE_NO_PAD.encode(signature);
        format!("{header}.{claims}.{signature}")
    }

    /// Upgrades that a page of another origin asks for.
    async fn origins(&self) -> Outcome<Row> {
        let mark = self.watch.mark()?;
        let (mut codes, mut took, mut opened) = (Codes::default(), Duration::ZERO, 0);
        let origins = [
            "https://evil.example",
            "null",
            "http://127.0.0.1.evil.example",
        ];
        for number in 0..99 {
            let origin = origins[number % origins.len()];
            let upgrade = format!(
                "GET /graphql HTTP/1.1\r\nHost: {}\r\nOrigin: {origin}\r\n\
                 Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n",
                self.server
            );
            let place = place(400_000 + number);
            let answer = ask(place, self.server, upgrade.as_bytes()).await?;
            opened += usize::from(answer.text.starts_with("HTTP/1.1 101"));
            codes.add(&answer.code);
            took = took.max(answer.took);
        }
        let spent = self.watch.since(mark)?;
        let mut row = refused("99 upgrades of other origins", spent, &codes, took);
        row.checks = vec![Check::at_most("opened", count(opened), 0.0, "")];
        Ok(row)
    }

    /// One refresh token, used twenty times at once, as by as many tabs.
    async fn refreshes(&self, victim: &Person) -> Outcome<Row> {
        let variables = json!({ "token": victim.refresh_token });
        let body = json!({ "query": REFRESH, "variables": variables }).to_string();
        let request = post(self.server, None, &body);
        let mark = self.watch.mark()?;
        let mut tasks = JoinSet::new();
        for number in 0..20 {
            let (server, request) = (self.server, request.clone());
            tasks.spawn(async move { ask(place(500_000 + number), server, &request).await });
        }
        let (mut codes, mut last) = (Codes::default(), None);
        for answer in tasks.join_all().await {
            let answer = answer?;
            codes.add(&answer.code);
            let body = answer.text.split_once("\r\n\r\n").unwrap_or_default().1;
            let body: Value = serde_json::from_str(body).unwrap_or_default();
            let tokens = &body["data"]["refreshSession"];
            if let Ok(token) = text(&tokens["refreshToken"]) {
                last = Some(token);
            }
        }
        let spent = self.watch.since(mark)?;
        // The session lives on with what was answered.
        let again = match last {
            Some(token) => {
                let variables = json!({ "token": token });
                self.anonymous(60_000, REFRESH, &variables).await?.code
            }
            None => "-none-".to_owned(),
        };
        let name = "one refresh token, 20 times at once";
        let mut row = Row::new(name, spent, &codes);
        row.checks = vec![Check::at_least(
            "the session lives",
            yes(again == "-"),
            1.0,
            "",
        )];
        Ok(row)
    }

    /// Changes of a profile, as fast as the server answers.
    async fn renames(&self, server: &Process, attacker: &Person, quiet: Duration) -> Outcome<Row> {
        let neighbours = Neighbours::sign_in(&self.home, server).await?;
        let quiet = neighbours.watch(quiet).await?;
        let mark = self.watch.mark()?;
        let (swarm, accepted) = (Swarm::new()?, Arc::new(AtomicUsize::new(0)));
        for number in 0..8 {
            let (server, attacker) = (self.server, attacker.clone());
            let accepted = Arc::clone(&accepted);
            swarm.spawn(async move {
                for turn in 0_usize.. {
                    let name = json!({ "name": format!("Name {number} {turn}") });
                    let body = json!({ "query": RENAME, "variables": name }).to_string();
                    let request = request(server, Some(&attacker.token), &body, "");
                    let Ok(mut connection) = Connection::open_from(attacker.place, server).await
                    else {
                        continue;
                    };
                    if let Ok(answer) = connection.send(&request).await
                        && crate::frames::position(answer.body, b"\"errors\"").is_none()
                        && answer.status == 200
                    {
                        accepted.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })?;
        }
        let under = neighbours.watch(Duration::from_secs(3)).await?;
        let spent = self.watch.since(mark)?;
        drop(swarm);
        let mut row = Row::new(
            "updateProfile as fast as can be, 3 s",
            spent,
            &Codes::default(),
        );
        row.neighbour = Some([quiet.latency.p99, under.latency.p99]);
        let changes = float(u64::try_from(accepted.load(Ordering::Relaxed))?);
        row.checks = vec![
            Check::at_most("changes", changes, RENAMES, ""),
            Check::at_most("neighbours' failures", float(under.failed), 0.0, ""),
        ];
        Ok(row)
    }

    /// Runs an operation without a token, from the network of this number.
    async fn anonymous(&self, number: usize, query: &str, variables: &Value) -> Outcome<Answer> {
        let body = json!({ "query": query, "variables": variables }).to_string();
        ask(
            network(number),
            self.server,
            &post(self.server, None, &body),
        )
        .await
    }
}

fn refused(name: &str, spent: Spent, codes: &Codes, took: Duration) -> Row {
    Row {
        refused_after: Some(took),
        ..Row::new(name, spent, codes)
    }
}

/// The first so many bytes of a text in ASCII.
fn cut(text: &str, length: usize) -> String {
    text.chars()
        .take(length.min(text.len().saturating_sub(1)))
        .collect()
}

fn yes(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

fn count(number: usize) -> f64 {
    float(u64::try_from(number).unwrap_or(u64::MAX))
}
