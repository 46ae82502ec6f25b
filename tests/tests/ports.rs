//! What stands in front of the ports leaves none of their methods out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use talksy_domain::attachments::{Attachment, ContentType, FileName, ObjectKey, ObjectPart};
use talksy_domain::auth::{
    AddressKey, ChallengeKey, CodeDigest, Exchange, IssuedCode, Session, SessionLife, TokenHash,
    TokenSalt,
};
use talksy_domain::chats::{Chat, ChatKind, ChatTitle, LargeGroups, MemberFilter, MemberPage};
use talksy_domain::clock::{Clock as _, SystemClock, SystemEntropy};
use talksy_domain::error::PortError;
use talksy_domain::events::{Event, Hub, Interest, Topic};
use talksy_domain::groups::{GroupAction, GroupChange, NewGroup};
use talksy_domain::id::IdGenerator;
use talksy_domain::jobs::Task;
use talksy_domain::limits::{Quota, Rule};
use talksy_domain::mail::{EmailAddress, MAIL_JOB_VERSION, MailContent, MailJob};
use talksy_domain::messages::{ChangeAction, Message, MessageChange, MessageText};
use talksy_domain::page::Window;
use talksy_domain::port::{Call, Layer, Layered};
use talksy_domain::presence::{
    ConnectionId, Departure, Presence, PresenceStatus, PresenceStore, PresenceStoreLayer,
};
use talksy_domain::services::Ports;
use talksy_domain::users::{DisplayName, ProfileChange, User};
use talksy_server::adapters::{Adapters, observed};
use talksy_server::app::Environment;
use talksy_server::config::Config;
use talksy_tests::faulty_store::{Fault, FaultyStore};
use talksy_tests::{eventually, soon};
use tempfile::TempDir;

const DETAIL: &str = "down for the test";

async fn ports() -> (Ports, TempDir) {
    let data = tempfile::tempdir().unwrap();
    let config = Config {
        data_dir: data.path().to_owned(),
        ..Config::default()
    };
    let environment = Environment::default();
    let adapters = Adapters::open(&config, &environment).await.unwrap();
    (adapters.ports, data)
}

#[track_caller]
fn assert_down<T>(answer: Result<T, PortError>) {
    match answer {
        Err(PortError::Unavailable { source, .. }) => assert_eq!(source.to_string(), DETAIL),
        Err(other) => panic!("another error: {other:?}"),
        Ok(_) => panic!("an answer of a port that is down"),
    }
}

/// Each port by its name in metrics and by the name of its trait.
const PORTS: [(&str, &str); 16] = [
    ("users", "UserStore"),
    ("sessions", "SessionStore"),
    ("chats", "ChatStore"),
    ("messages", "MessageStore"),
    ("groups", "GroupStore"),
    ("attachments", "AttachmentStore"),
    ("blocks", "BlockStore"),
    ("objects", "ObjectStore"),
    ("images", "ImageCodec"),
    ("jobs", "JobStore"),
    ("moderation", "ModerationStore"),
    ("codes", "CodeStore"),
    ("limits", "RateLimiter"),
    ("presence", "PresenceStore"),
    ("bus", "Bus"),
    ("mail", "MailQueue"),
];

/// Whether no layer in these sources writes a method of the port out: then all of its methods
/// are what `port!` makes of the declaration, and what holds for one holds for the others.
fn is_derived(sources: &[String], name: &str) -> bool {
    let (_, port) = PORTS.iter().find(|(known, _)| *known == name).unwrap();
    let layer = format!("impl {port}Layer for ");
    sources.iter().all(|source| {
        let mut layers = source
            .lines()
            .filter(|line| line.starts_with(&layer))
            .peekable();
        layers.peek().is_some() && layers.all(|line| line.ends_with(" {}"))
    })
}

fn sources_of_layers() -> Vec<String> {
    ["../server/src/adapters/observed.rs", "src/faulty_store.rs"]
        .map(|path| Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .into()
}

/// Calls methods of each port once: all where a layer writes some out, and where none does some
/// of each kind, of those that can fail and those that cannot. All that can fail must.
#[expect(clippy::too_many_lines, reason = "a list of all there is")]
async fn call_all(ports: &Ports) {
    let ids = IdGenerator::new(Arc::new(SystemClock), Arc::new(SystemEntropy));
    let now = SystemClock.now();
    let email = EmailAddress::parse("ada@example.org").unwrap();
    let (second, user, chat_id, session_id) =
        (Duration::from_secs(1), ids.next(), ids.next(), ids.next());

    let ada = User {
        id: user,
        email: email.clone(),
        name: DisplayName::parse("Ada").unwrap(),
        about: None,
        metadata: None,
        avatar_id: None,
        created_at: now,
        last_seen_at: None,
        block_version: 0,
        deleted_at: None,
    };
    let users = &ports.users;
    assert_down(users.users(&[user]).await);
    assert_down(users.find_or_create_user(&ada).await);
    assert_down(users.update_profile(user, &ProfileChange::default()).await);
    let window = Window::forward(None, None).unwrap();
    assert_down(users.users_by_name("a", user, &window).await);
    assert_down(users.known_users_by_name("a", user, &window).await);
    assert_down(users.user_of_email(&email).await);
    assert_down(users.set_last_seen(&[user], now).await);

    let session = Session {
        id: session_id,
        user_id: user,
        created_at: now,
        last_used_at: now,
        expires_at: now,
        user_agent: None,
        ip_address: None,
    };
    let token = TokenHash([1; 32]);
    let sessions = &ports.sessions;
    assert_down(sessions.create_session(&session, token).await);
    assert_down(sessions.session(session_id).await);
    assert_down(sessions.sessions(&[session_id]).await);
    assert_down(sessions.existing_sessions(&[session_id]).await);
    assert_down(
        sessions
            .sessions_of(user, now, &Window::forward(None, None).unwrap())
            .await,
    );
    let exchange = Exchange {
        session_id,
        presented: token,
        generation: 0,
        is_sealed: true,
        replacement: token,
        salt: TokenSalt([1; 32]),
        now,
        life: SessionLife {
            idle: Duration::from_mins(1),
            longest: Duration::from_mins(1),
            retry: Duration::ZERO,
        },
    };
    assert_down(sessions.rotate_session(&exchange).await);
    assert_down(sessions.delete_session(session_id, user).await);

    let chat = Chat {
        id: chat_id,
        kind: ChatKind::Direct,
        created_at: now,
        active_at: now,
        last_seq: 0,
        member_count: 2,
        title: None,
        last_change_seq: 0,
        applied_seq: 0,
        metadata_seq: 0,
        is_closed: false,
        avatar_id: None,
    };
    let chats = &ports.chats;
    assert_down(chats.chats(&[chat_id]).await);
    assert_down(chats.open_direct(&chat, [user, ids.next()]).await);
    let window = Window::forward(None, None).unwrap();
    assert_down(chats.chats_of(user, None, &window).await);
    assert_down(chats.chat_ids_of(user).await);
    assert_down(chats.left_chats_of(user).await);
    assert_down(chats.chats_ever_of(user, None, 1).await);
    assert_down(chats.participations(user, &[chat_id]).await);
    assert_down(chats.membership_versions(&[user]).await);
    assert_down(chats.memberships(user, &[chat_id]).await);
    let window = Window::forward(None, None).unwrap();
    let members = MemberPage {
        chat: chat_id,
        filter: MemberFilter::default(),
        window,
    };
    assert_down(chats.member_pages(&[members]).await);
    assert_down(chats.first_members(&[chat_id], 1).await);
    assert_down(chats.lowest_read_marks(&[chat_id]).await);
    assert_down(chats.sharing(user, &[user]).await);
    assert_down(
        chats
            .mark_read(chat_id, user, 1, now, LargeGroups::NONE)
            .await,
    );
    assert_down(chats.set_muted(chat_id, user, true).await);
    assert_down(chats.unread_counts(user, &[chat_id]).await);
    assert_down(chats.unread_mentions_among(chat_id, &[user]).await);

    let text = MessageText::parse("hello").unwrap();
    let draft = Message::draft(ids.next(), chat_id, user, text, now);
    let messages = &ports.messages;
    assert_down(messages.append(&draft).await);
    assert_down(messages.repeated(&draft).await);
    assert_down(messages.messages(&[draft.id]).await);
    let window = Window::forward(None, None).unwrap();
    assert_down(messages.page(chat_id, &window).await);
    assert_down(messages.pages(&[(chat_id, window.clone())]).await);
    let change = MessageChange {
        message_id: draft.id,
        chat_id,
        actor_id: user,
        at: now,
        action: ChangeAction::Delete,
    };
    assert_down(messages.change(&change).await);
    assert_down(messages.changes(chat_id, 1, &window).await);
    assert_down(messages.change_pages(&[(chat_id, 1, window)]).await);
    assert_down(messages.last_messages(&[chat_id]).await);
    assert_down(messages.heads(&[chat_id]).await);

    let group = NewGroup {
        chat_id,
        message_id: ids.next(),
        creator_id: user,
        member_ids: Vec::new(),
        title: ChatTitle::parse("A group").unwrap(),
        metadata: None,
        client_chat_id: None,
        avatar_id: None,
        at: now,
    };
    assert_down(ports.groups.create_group(&group).await);
    assert_down(ports.groups.repeated_group(&group).await);
    let change = GroupChange {
        message_id: ids.next(),
        chat_id,
        actor_id: user,
        at: now,
        max_members: 10,
        action: GroupAction::Leave,
    };
    assert_down(ports.groups.change_group(&change).await);

    assert_down(ports.groups.complete_change(chat_id, ids.next()).await);
    assert_down(ports.sessions.purge_expired(now, 1).await);

    let (name, png) = (FileName::cleaned("a.png"), ContentType::PNG);
    let attachment = Attachment::announced(ids.next(), user, name, png, 1, now);
    assert_down(ports.blocks.set_blocked(user, ids.next(), true).await);
    assert_down(ports.blocks.blocks_among(&[(user, ids.next())]).await);
    assert_down(ports.attachments.announce(&attachment, 1).await);
    assert_down(ports.attachments.attachments(&[attachment.id]).await);
    assert_down(ports.attachments.of_owner(user, None, 1).await);
    let key = ObjectKey {
        attachment: attachment.id,
        attempt: [1; 8],
        part: ObjectPart::Image,
    };
    assert_down(ports.objects.delete(key).await);
    assert_down(ports.objects.read(key, 0..1).await);
    let source = Box::pin(std::future::ready(Ok(Vec::new())));
    assert_down(ports.images.rewrite(png, source).await);

    let task = Task::PurgeSessions {};
    let job = task.job(ids.next(), now, now).unwrap();
    assert_down(ports.jobs.enqueue(&job).await);
    assert_down(ports.moderation.suspensions(&[user]).await);
    assert_down(ports.moderation.audit(None, 1).await);
    assert_down(ports.jobs.due(Task::KINDS, now, 1).await);

    let (key, digest) = (ChallengeKey([1; 32]), CodeDigest([1; 32]));
    let code = IssuedCode {
        digest,
        issued_at: now,
        expires_at: now,
        tries: 1,
    };
    let address = AddressKey([1; 32]);
    assert_down(ports.codes.issue(key, &code).await);
    assert_down(ports.codes.withdraw(key).await);
    assert_down(ports.codes.attempt(key, digest, now).await);
    assert_down(ports.codes.count_tries(address, 1, now).await);
    assert_down(ports.codes.note_wrong(now).await);
    assert_down(ports.codes.note_right(address).await);

    let rule = Rule {
        name: "test",
        quota: Quota {
            burst: 1,
            period: second,
        },
    };
    assert_down(ports.limiter.check(rule, "key").await);
    assert_down(ports.limiter.spend(rule, "key", 1).await);
    assert_down(ports.limiter.give_back(rule, "key").await);

    let connection = ConnectionId(1);
    let presence = &ports.presence;
    assert_down(presence.renew(&[(user, connection)], now, second).await);
    assert_down(presence.release(user, connection, now, second).await);
    assert_down(presence.ended(now, second).await);
    let departure = Departure {
        user_id: user,
        ended_at: now,
    };
    assert_down(presence.expire(&[departure]).await);
    assert_down(presence.online(&[user], now).await);
    soon("word of lost leases", presence.lost()).await;

    let topic = Topic::User(user);
    let event = Event::PresenceChanged(Presence {
        user_id: user,
        status: PresenceStatus::Online,
        last_seen_at: None,
    });
    let mut receiver = Hub::new(1).receiver(Interest::MESSAGES);
    assert_down(ports.bus.publish(topic, event).await);
    assert_down(ports.bus.subscribe(Interest::MESSAGES, &[topic]).await);
    assert_down(ports.bus.follow(&mut receiver, topic).await);
    assert_down(ports.bus.interrupt(topic).await);

    let job = MailJob {
        version: MAIL_JOB_VERSION,
        id: ids.next(),
        to: email,
        content: MailContent::SignInCode {
            code: "123456".to_owned(),
            expires_in: 60,
        },
        created_at: now,
    };
    assert_down(ports.mail.enqueue(&job).await);
}

/// A presence store whose backend has just been away.
struct Forgetful(Arc<dyn PresenceStore>);

impl Layer<dyn PresenceStore> for Forgetful {
    fn inner(&self) -> &Arc<dyn PresenceStore> {
        &self.0
    }
}

impl PresenceStoreLayer for Forgetful {
    async fn lost(&self) {}
}

#[test]
fn each_method_of_each_port_is_forwarded_and_observed() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let store = FaultyStore::new();
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let (mut ports, _data) = ports().await;
            ports.presence = Arc::new(Layered(Forgetful(ports.presence)));
            for call in FaultyStore::all_calls() {
                store.set(call.port, Fault::Unavailable(DETAIL));
            }
            call_all(&observed(store.in_front_of(ports))).await;
        });
    });
    let calls = FaultyStore::all_calls();
    let name = |call: &Call| format!("{}.{}", call.port, call.method);
    let seen: BTreeMap<_, _> = calls
        .iter()
        .map(|call| (name(call), store.calls(&name(call))))
        .collect();
    let sources = sources_of_layers();
    for (port, _) in PORTS {
        let called = calls.iter().filter(|call| call.port == port);
        assert!(called.clone().any(|call| seen[&name(call)] == 1), "{port}");
    }
    for call in &calls {
        let least = usize::from(!is_derived(&sources, call.port));
        let times = seen[&name(call)];
        assert!((least..=1).contains(&times), "{}: {times}", name(call));
    }

    let page = recorder.handle().render();
    let mut expected = BTreeMap::<&str, u32>::new();
    for call in calls {
        // The bus and the mail queue have metrics of their own.
        if ["bus", "mail"].contains(&call.port) || call.method == "lost" {
            continue;
        }
        if seen[&name(&call)] == 0 {
            continue;
        }
        *expected.entry(call.port).or_default() += 1;
        let line = format!(
            "talksy_store_call_duration_seconds_count{{port=\"{}\",method=\"{}\"}} 1\n",
            call.port, call.method
        );
        assert!(page.contains(&line), "no {line} in\n{page}");
    }
    for (port, failures) in expected {
        let line = format!(
            "talksy_store_errors_total{{port=\"{port}\",kind=\"unavailable\"}} {failures}\n"
        );
        assert!(page.contains(&line), "no {line} in\n{page}");
    }
}

/// The stores' layers are derived; those that count or carry traces write their methods out.
#[test]
fn the_layers_of_the_stores_write_nothing_out() {
    let sources = sources_of_layers();
    let derived = PORTS.map(|(name, _)| name);
    let derived = derived
        .into_iter()
        .filter(|name| is_derived(&sources, name));
    let expected = [
        "users",
        "sessions",
        "chats",
        "messages",
        "groups",
        "attachments",
        "blocks",
        "objects",
        "images",
        "jobs",
        "moderation",
        "presence",
    ];
    assert_eq!(derived.collect::<Vec<_>>(), expected);
    let written = sources[0].replace(
        "impl ChatStoreLayer for Observed<dyn ChatStore> {}",
        "impl ChatStoreLayer for Observed<dyn ChatStore> {",
    );
    assert!(!is_derived(&[written], "chats"));
    assert!(!is_derived(&[String::new()], "chats"), "it has no layer");
}

#[tokio::test]
async fn word_of_lost_leases_passes_the_observed_store() {
    let (mut ports, _data) = ports().await;
    ports.presence = Arc::new(Layered(Forgetful(ports.presence)));
    soon("word of lost leases", observed(ports).presence.lost()).await;
}

#[tokio::test]
async fn a_faulty_store_delays_holds_and_refuses_one_method_and_no_other() {
    let (behind, _data) = ports().await;
    let store = FaultyStore::new();
    let ports = store.in_front_of(behind);
    store.delay("chats.chats", Duration::from_hours(1));
    let delayed = tokio::spawn({
        let chats = Arc::clone(&ports.chats);
        async move { chats.chats(&[]).await }
    });
    eventually("the call", async || {
        (store.calls("chats.chats") == 1).then_some(())
    })
    .await;
    assert_eq!(ports.chats.first_members(&[], 1).await.unwrap(), []);
    assert!(!delayed.is_finished());
    delayed.abort();
    store.delay("chats.chats", Duration::from_millis(1));
    assert_eq!(ports.chats.chats(&[]).await.unwrap(), []);

    store.set("messages.heads", Fault::Held);
    let held = tokio::spawn({
        let messages = Arc::clone(&ports.messages);
        async move { messages.heads(&[]).await }
    });
    store.arrived("messages.heads").await;
    assert_eq!(ports.messages.messages(&[]).await.unwrap(), []);
    assert!(!held.is_finished());
    store.release("messages.heads", 1);
    assert_eq!(held.await.unwrap().unwrap(), []);

    store.set("users", Fault::Unavailable(DETAIL));
    assert_down(ports.users.users(&[]).await);
    store.refused(1).await;
    store.set("users", Fault::None);
    assert_eq!(ports.users.users(&[]).await.unwrap(), []);
    assert_eq!(store.calls("users.users"), 2);
    assert_eq!(store.calls("users"), 2);
}
