//! The server is killed over the erasing of an account, again and again, in the middle of each of its
//! steps. When it is done at last nothing is left, and others have been told.

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use talksy_domain::id::{self, UserId};
use talksy_tests::DEADLINE;
use talksy_tests::answer::{Messages, try_messages};
use talksy_tests::client::{User, string};
use talksy_tests::cluster::{Addresses, client_at};
use talksy_tests::eventually;
use talksy_tests::process::ServerProcess;
use talksy_tests::replica::{AccountReplica, ChatReplica};
use talksy_tests::uploads::files_below;

use super::instances::mailed;
use super::place::{Job, Left, Place, TEXTS, count};
use super::{group, mutate, png, present, request};

/// Over which step of the erasing the server is killed: by its place in [`Left`].
const KILLS: [usize; 10] = [0, 1, 1, 2, 2, 2, 2, 3, 4, 5];

const REACTIONS: usize = 1;
const MESSAGES: usize = 2;

/// Sends a message with something of everything; its id.
async fn say(user: &User, chat: &str, text: String, more: Value) -> String {
    let mut input = json!({ "chatId": chat, "text": text });
    for (name, value) in more.as_object().into_iter().flatten() {
        input[name] = value.clone();
    }
    let data = user
        .client
        .data(
            "mutation($input: SendMessageInput!) { sendMessage(input: $input) { message { id } } }",
            json!({ "input": input }),
        )
        .await;
    string(&data["sendMessage"]["message"]["id"])
}

async fn done(user: &User, name: &str, kind: &str, input: Value) {
    mutate(user, name, kind, input).await.data();
}

/// Leaves traces of all kinds in a chat: so many times what Ada says, edits, reacts to and mentions.
async fn talk(ada: &User, other: &User, chat: &str, times: usize) {
    let mut theirs = Vec::new();
    for n in 0..times {
        let mention = json!({ "mentionIds": [ada.id] });
        theirs.push(say(other, chat, format!("kept {n}"), mention).await);
        // They come as they come, so that the store commits several at once.
        let mut own = Vec::new();
        for text in ["zanzibarword", "zanzibar-secret"] {
            let more = json!({ "mentionIds": [other.id], "replyToId": theirs[n],
                "metadata": { "zanzibar-key": n } });
            let text = format!("{text} {n} {}", "long ".repeat(n));
            own.push(say(ada, chat, text, more));
        }
        let own = join_all(own).await;
        let edit = json!({ "messageId": own[0], "text": format!("zanzibar-edited {n}") });
        let react = |message: &str, emoji: &str| json!({ "messageId": message, "emoji": emoji });
        tokio::join!(
            done(ada, "editMessage", "EditMessageInput", edit),
            done(
                ada,
                "addReaction",
                "AddReactionInput",
                react(&theirs[n], "👍")
            ),
            done(
                ada,
                "addReaction",
                "AddReactionInput",
                react(&theirs[n], "🎉")
            ),
            done(
                other,
                "addReaction",
                "AddReactionInput",
                react(&own[1], "👎")
            ),
        );
    }
    let file = b"zanzibar-bytes ".repeat(100);
    let file = ada.upload("zanzibar-file.txt", "text/plain", file).await;
    let picture = ada.upload("zanzibar-file.png", "image/png", png()).await;
    ada.send_attached(chat, Some("zanzibar-secret"), &[file, picture])
        .await
        .data();
    let last = say(ada, chat, "zanzibarword".to_owned(), json!({})).await;
    let report = |message: &str, reason: &str| json!({ "messageId": message, "reason": reason });
    let of_ada = report(&last, "zanzibar-reported");
    done(other, "reportMessage", "ReportMessageInput", of_ada).await;
    let by_ada = report(&theirs[0], "zanzibar-reason");
    done(ada, "reportMessage", "ReportMessageInput", by_ada).await;
    let mute = json!({ "chatId": chat, "muted": true });
    done(ada, "muteChat", "MuteChatInput", mute).await;
    let mark = json!({ "chatId": chat, "fromSeq": 3 });
    done(ada, "markUnread", "MarkUnreadInput", mark).await;
}

/// The people, and their chats with Ada.
struct Scene {
    ada: User,
    bob: User,
    cleo: User,
    /// Two direct ones, a group of hers, one of Bob's, and one that she has left.
    chats: Vec<String>,
}

impl Scene {
    async fn start(server: &ServerProcess, data: &Path, times: usize) -> Self {
        let sign_in = |name| server.sign_in(data, name);
        let ada = sign_in("zanzibar-ada").await;
        let (bob, cleo, dan) = (
            sign_in("bob").await,
            sign_in("cleo").await,
            sign_in("dan").await,
        );
        let avatar = ada.upload("zanzibar-file.png", "image/png", png()).await;
        let profile = json!({ "name": "Zanzibar Name", "about": "zanzibar-about",
            "avatarId": avatar, "metadata": { "zanzibar-key": 1 } });
        done(&ada, "updateProfile", "UpdateProfileInput", profile).await;
        let chats = vec![
            ada.start_chat(&bob).await,
            ada.start_chat(&cleo).await,
            group(&ada, &[&bob, &cleo]).await,
            group(&bob, &[&ada, &cleo]).await,
            group(&bob, &[&ada, &cleo]).await,
        ];
        for (chat, other) in chats.iter().zip([&bob, &cleo, &bob, &bob, &bob]) {
            talk(&ada, other, chat, times).await;
        }
        for (user, chat) in [(&ada, &chats[2]), (&bob, &chats[3])] {
            let own = say(user, chat, "to be pinned".to_owned(), json!({})).await;
            let pin = json!({ "messageId": own, "pinned": true });
            done(user, "pinMessage", "PinMessageInput", pin).await;
        }
        let leave = json!({ "chatId": chats[4] });
        done(&ada, "leaveChat", "LeaveChatInput", leave).await;
        for (user, other) in [(&ada, &dan), (&dan, &ada)] {
            let block = json!({ "userId": other.id });
            done(user, "blockUser", "BlockUserInput", block).await;
        }
        // Nobody uses it.
        let unused = b"zanzibar-bytes".to_vec();
        ada.upload("zanzibar-file.txt", "text/plain", unused).await;
        bob.upload("kept.txt", "text/plain", b"kept".to_vec()).await;
        Self {
            ada,
            bob,
            cleo,
            chats,
        }
    }

    fn ada_id(&self) -> UserId {
        self.ada.id.parse().unwrap()
    }

    /// Bob's view of each chat that he is in.
    async fn histories(&self, server: &ServerProcess) -> Vec<Messages> {
        let bob = client_at(&self.bob, server.address);
        let mut histories = Vec::new();
        for chat in [0, 2, 3, 4] {
            let messages = try_messages(&bob, &self.chats[chat]).await;
            histories.push(messages.flatten().unwrap());
        }
        histories
    }
}

/// Lets the erasing go on until a step of it has moved, or there is nothing to do there any more.
async fn until_it_moves(place: &Place, user: UserId, step: usize, before: u64) {
    let started = Instant::now();
    loop {
        let left = place.left(user).await[step];
        let job = place.job(user).await;
        if left < before || left == 0 || job.is_none_or(|(_, has_ended)| has_ended) {
            return;
        }
        assert!(started.elapsed() < DEADLINE, "step {step} stands at {left}");
    }
}

/// Kills the server over each step. How often it was killed over the job, and in the middle of which
/// steps; the server that is there in the end.
async fn kill_again_and_again(
    place: &Place,
    mut server: ServerProcess,
    at: &Addresses,
    user: UserId,
    whole: Left,
) -> (usize, Vec<usize>, ServerProcess) {
    let (mut over_it, mut halves) = (0, Vec::new());
    for step in KILLS {
        let before = place.left(user).await[step];
        if before == 0 {
            // The kill before was late.
            continue;
        }
        until_it_moves(place, user, step, before).await;
        let wait = rand::random_range(0..4);
        tokio::time::sleep(Duration::from_millis(wait)).await;
        server.kill().await;
        let left = place.left(user).await;
        let is_running = matches!(place.job(user).await, Some((Job::Running, _)));
        over_it += usize::from(is_running);
        let is_half = |step: &usize| (1..whole[*step]).contains(&left[*step]);
        halves.extend([REACTIONS, MESSAGES].into_iter().filter(is_half));
        server = place.start().await;
        at.set(&[server.address]);
        if !is_running {
            // It was through.
            break;
        }
    }
    (over_it, halves, server)
}

/// Others' messages are as they were and where they were, and of the user's none says anything.
fn assert_order(before: &[Messages], after: &[Messages], user: &str) {
    for (before, after) in before.iter().zip(after) {
        let last = i64::try_from(after.len()).unwrap();
        assert!(after.keys().copied().eq(1..=last), "a hole");
        assert!(before.len() <= after.len());
        for (seq, message) in before {
            let now = &after[seq];
            let is_own = message.sender.as_ref().is_some_and(|one| one.id == user);
            if is_own && message.system.is_none() {
                assert_eq!(now.text, None, "{now:?}");
                assert!(now.deleted_at.is_some(), "{now:?}");
                assert!(now.change_seq > 0, "{now:?}");
            } else {
                assert_eq!((&now.id, &now.text), (&message.id, &message.text));
                assert_eq!(now.deleted_at, None, "{now:?}");
            }
        }
    }
}

fn told(over_it: usize, halves: &[usize], whole: Left, took: Duration) {
    use std::io::Write as _;
    // Not by a macro, whose output the tests' runner keeps to itself.
    let _ = writeln!(
        std::io::stderr(),
        "killed {over_it} times over the erasing of {whole:?}, in the middle of {halves:?}, in {took:?}"
    );
}

/// Waits until no text is found in the store any more, nor among the bytes.
async fn until_no_text_is_held(place: &Place) {
    let started = Instant::now();
    loop {
        let held = place.holding().await;
        if held.is_empty() {
            return;
        }
        assert!(started.elapsed() < DEADLINE, "{held:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The whole of it, at a place.
async fn nothing_is_left(place: &Place, times: usize) {
    let server = place.start().await;
    let scene = Scene::start(&server, place.data.path(), times).await;
    let (user, at) = (scene.ada_id(), Addresses::new(&[server.address]));
    let replicas = [&scene.bob, &scene.cleo].map(|user| AccountReplica::start(user, &at));
    let followers = [
        ChatReplica::start(&scene.bob, &at, &scene.chats[0]),
        ChatReplica::start(&scene.cleo, &at, &scene.chats[2]),
    ];
    let people = [&scene.bob, &scene.cleo];
    for ((replica, follower), user) in replicas.iter().zip(&followers).zip(people) {
        replica.agrees_with(&user.client).await;
        follower.agrees_with(&user.client).await;
    }
    let before = scene.histories(&server).await;
    let whole = place.left(user).await;
    assert!(whole.iter().all(|left| *left > 0), "{whole:?}");
    let held = place.holding().await;
    let is_held = |text: &&str| held.iter().any(|line| line.starts_with(text));
    assert!(TEXTS.iter().all(is_held), "{held:#?}");

    let started = Instant::now();
    let challenge = request(&scene.ada).await;
    let code = mailed(&place.data.path().join("outbox")).await;
    present(&scene.ada.client, &challenge, &code).await.data();
    let (over_it, halves, server) = kill_again_and_again(place, server, &at, user, whole).await;
    eventually("the end of the erasing", async || {
        place.job(user).await?.1.then_some(())
    })
    .await;
    told(over_it, &halves, whole, started.elapsed());
    assert!(over_it >= 4, "{over_it} kills were over the job");
    assert!(halves.contains(&MESSAGES), "{halves:?}");

    until_no_text_is_held(place).await;
    eventually("the end of what is not text", async || {
        // Both direct chats.
        (place.left(user).await == [2, 0, 0, 0, 0, 0]).then_some(())
    })
    .await;
    let after = scene.histories(&server).await;
    assert_order(&before, &after, &scene.ada.id);
    for ((replica, follower), user) in replicas.iter().zip(&followers).zip(people) {
        let client = client_at(user, server.address);
        replica.agrees_with(&client).await;
        follower.agrees_with(&client).await;
    }
    let kept = files_below(&place.data.path().join("attachments"));
    assert_eq!(kept.len(), 1, "{kept:?}");

    // Also where the end was not in order, and once it was looked again.
    server.kill().await;
    assert_eq!(place.holding().await, Vec::<String>::new());
    place.an_hour_passes(user).await;
    let server = place.start().await;
    eventually("the job's end", async || {
        place.job(user).await.is_none().then_some(())
    })
    .await;
    assert_eq!(scene.histories(&server).await, after);
    server.kill().await;
    assert_eq!(place.holding().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_over_each_step_it_leaves_nothing_in_the_end() {
    let place = Place::sqlite();
    nothing_is_left(&place, 40).await;
    // What has no text of its own.
    let conn = place.database();
    let sql = "SELECT id FROM users WHERE deleted_at IS NOT NULL";
    let key: [u8; 16] = conn.query_row(sql, [], |row| row.get(0)).unwrap();
    let user: UserId = id::from_bytes(key);
    for nothing in [
        "sessions WHERE user_id = ?1",
        "groups_by_client_id WHERE creator_id = ?1",
        "messages WHERE sender_id = ?1 AND kind <> 3 AND coalesce(text, words, metadata, mentions,
            attachment_ids, reply_to, reactions) IS NOT NULL",
        "members WHERE user_id = ?1 AND (is_muted <> 0 OR unread_from_seq IS NOT NULL)",
    ] {
        assert_eq!(count(&conn, nothing, user), 0, "{nothing}");
    }
    let jobs = "SELECT count(*) FROM jobs WHERE payload LIKE '%' || ?1 || '%'";
    let found: i64 = conn
        .query_row(jobs, [user.to_string()], |row| row.get(0))
        .unwrap();
    assert_eq!(found, 0, "jobs that name the account");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_of_a_server_on_mongodb() {
    let place = Place::mongo().await;
    nothing_is_left(&place, 6).await;
}
