//! What the port's contract suites cannot see: commits, batches, files and query plans.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::Connection;
use talksy_domain::auth::SessionStore as _;
use talksy_domain::auth::{Exchange, Rotation, Session, SessionLife, TokenHash, TokenSalt};
use talksy_domain::chats::{Chat, ChatKind, ChatStore as _, LargeGroups};
use talksy_domain::clock::{SystemClock, SystemEntropy, Timestamp};
use talksy_domain::error::PortError;
use talksy_domain::events::{Announcement, EventSink};
use talksy_domain::id::{self, IdGenerator};
use talksy_domain::mail::EmailAddress;
use talksy_domain::messages::{
    Append, Appended, ClientMessageId, Message, MessageStore as _, MessageText,
};
use talksy_domain::page::Window;
use talksy_domain::users::UserStore as _;
use talksy_domain::users::{DisplayName, User};
use tempfile::TempDir;

use super::fault::Fault;
use super::{OpenError, SqliteOptions, SqliteStore, jobs, messages, search, unread};

mod announcing;
mod bench;
mod damage;
mod erasing;
mod job_rows;
mod migrating;
mod plans;
mod reading;
mod searching;

const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

fn ids() -> IdGenerator {
    IdGenerator::new(Arc::new(SystemClock), Arc::new(SystemEntropy))
}

/// Keeps what the store hands over.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<Announcement>>>);

impl EventSink for Recorder {
    fn put(&self, announcements: Vec<Announcement>) {
        self.0.lock().extend(announcements);
    }
}

fn open(path: &Path, options: &SqliteOptions) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(path, options, Arc::new(Recorder::default()))
}

/// A store in a folder of its own, with two users and their chat.
struct Fixture {
    folder: TempDir,
    store: SqliteStore,
    events: Recorder,
    users: [User; 2],
    chat: Chat,
}

fn options() -> SqliteOptions {
    SqliteOptions::new(NonZeroUsize::MIN.saturating_add(3), 4_096)
}

impl Fixture {
    async fn new() -> Self {
        Self::with(&options()).await
    }

    async fn with(options: &SqliteOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/talksy.db");
        let events = Recorder::default();
        let store = SqliteStore::open(path, options, Arc::new(events.clone())).unwrap();
        let users = [user("ada@example.org"), user("bob@example.org")];
        for user in &users {
            assert!(store.find_or_create_user(user).await.unwrap().1);
        }
        let candidate = Chat {
            id: ids().next(),
            kind: ChatKind::Direct,
            created_at: NOW,
            active_at: NOW,
            last_seq: 0,
            member_count: 2,
            title: None,
            last_change_seq: 0,
            applied_seq: 0,
            metadata_seq: 0,
            is_closed: false,
            avatar_id: None,
        };
        let pair = [users[0].id, users[1].id];
        let (chat, made) = store.open_direct(&candidate, pair).await.unwrap();
        assert!(made);
        Self {
            folder,
            store,
            events,
            users,
            chat,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("data/talksy.db")
    }

    fn draft(&self, text: &str) -> Message {
        let (chat, sender) = (self.chat.id, self.users[0].id);
        let text = MessageText::parse(text).unwrap();
        Message::draft(ids().next(), chat, sender, text, NOW)
    }

    /// The database as another process sees it.
    fn outside(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }
}

fn user(address: &str) -> User {
    let email = EmailAddress::parse(address).unwrap();
    User {
        id: ids().next(),
        name: DisplayName::of_address(&email),
        email,
        about: None,
        metadata: None,
        avatar_id: None,
        created_at: NOW,
        last_seen_at: None,
        block_version: 0,
        deleted_at: None,
    }
}

fn done(append: Append) -> Appended {
    match append {
        Append::Done(appended) => *appended,
        other => panic!("not appended: {other:?}"),
    }
}

fn count(conn: &Connection, table: &str) -> u32 {
    let sql = format!("SELECT count(*) FROM {table}");
    conn.query_row(&sql, [], |row| row.get(0)).unwrap()
}

fn copy_as_after_a_crash(from: &Path, to: &Path) {
    for suffix in ["", "-wal"] {
        let name = |path: &Path| format!("{}{suffix}", path.display());
        std::fs::copy(name(from), name(to)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_is_answered_only_after_its_commit() {
    let fixture = Fixture::new().await;
    let outside = fixture.outside();
    // While another program holds the write lock, nothing can be committed.
    outside.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (store, draft) = (fixture.store.clone(), fixture.draft("hi"));
    let sending = tokio::spawn(async move { store.append(&draft).await });
    // A read behind it is answered, the write is not.
    fixture.store.heads(&[fixture.chat.id]).await.unwrap();
    assert!(!sending.is_finished());
    outside.execute_batch("COMMIT").unwrap();
    assert_eq!(done(sending.await.unwrap().unwrap()).message.seq, 1);
    assert_eq!(count(&outside, "messages"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_messages_are_in_the_files_without_a_close() {
    let fixture = Fixture::new().await;
    for text in ["one", "two"] {
        done(fixture.store.append(&fixture.draft(text)).await.unwrap());
    }
    let copy = fixture.folder.path().join("copy.db");
    copy_as_after_a_crash(&fixture.path(), &copy);
    let reopened = open(&copy, &options()).unwrap();
    let heads = reopened.heads(&[fixture.chat.id]).await.unwrap();
    let last = reopened.last_messages(&[fixture.chat.id]).await.unwrap();
    assert_eq!((heads[0].last_seq, last[0].seq), (2, 2));
    assert_eq!(last[0].text.as_ref().unwrap().as_str(), "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_write_harms_no_other_of_its_batch() {
    let fixture = Fixture::new().await;
    // While this write runs, the others gather behind it.
    let (started, has_started) = std::sync::mpsc::channel();
    let (gate, gated) = std::sync::mpsc::channel::<()>();
    let store = fixture.store.clone();
    let first = tokio::spawn(async move {
        let hold = move |_: &Connection| {
            let _ = started.send(());
            let _ = gated.recv();
            Ok(())
        };
        store.write(hold).await
    });
    has_started.recv().unwrap();
    let mut waiting = Vec::new();
    for n in 0..6 {
        let store = fixture.store.clone();
        let draft = fixture.draft("hi");
        waiting.push(tokio::spawn(async move {
            match n {
                // Fails after its first write.
                2 => {
                    let work = |conn: &Connection| {
                        conn.execute("UPDATE chats SET last_seq = last_seq + 1", [])?;
                        conn.execute("INSERT INTO users SELECT * FROM users", [])?;
                        Ok(0)
                    };
                    store.write(work).await
                }
                4 => {
                    let work = |conn: &Connection| -> Result<u32, Fault> {
                        conn.execute("UPDATE chats SET last_seq = last_seq + 1", [])?;
                        panic!("a defect, for this test");
                    };
                    store.write(work).await
                }
                _ => Ok(done(store.append(&draft).await?).message.seq),
            }
        }));
    }
    while fixture.store.inner.writer.waiting() < 6 {
        tokio::task::yield_now().await;
    }
    gate.send(()).unwrap();
    first.await.unwrap().unwrap();
    let mut numbers = BTreeSet::new();
    for (n, task) in waiting.into_iter().enumerate() {
        match (n, task.await.unwrap()) {
            (2, Err(PortError::Corrupt { .. })) | (4, Err(PortError::Unavailable { .. })) => {}
            (_, Ok(seq)) => assert!(numbers.insert(seq)),
            (n, outcome) => panic!("write {n}: {outcome:?}"),
        }
    }
    assert_eq!(numbers, (1..=4).collect());
    assert_eq!(
        fixture.store.heads(&[fixture.chat.id]).await.unwrap()[0].last_seq,
        4
    );
    fixture.store.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_cannot_begin_is_unavailable_and_leaves_nothing() {
    let options = SqliteOptions {
        busy_timeout: Duration::from_millis(1),
        ..options()
    };
    let fixture = Fixture::with(&options).await;
    let outside = fixture.outside();
    outside.execute_batch("BEGIN IMMEDIATE").unwrap();
    let outcome = fixture.store.append(&fixture.draft("hi")).await;
    assert!(matches!(
        outcome,
        Err(PortError::Unavailable {
            backend: "store",
            ..
        })
    ));
    outside.execute_batch("COMMIT").unwrap();
    assert_eq!(
        done(fixture.store.append(&fixture.draft("hi")).await.unwrap())
            .message
            .seq,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_sends_are_numbered_without_a_hole() {
    let fixture = Arc::new(Fixture::new().await);
    let mut tasks = Vec::new();
    for _ in 0..32 {
        let fixture = Arc::clone(&fixture);
        tasks.push(tokio::spawn(async move {
            let mut numbers = Vec::new();
            for _ in 0..100 {
                let append = fixture.store.append(&fixture.draft("hi")).await.unwrap();
                numbers.push(done(append).message.seq);
            }
            assert!(numbers.is_sorted());
            numbers
        }));
    }
    let mut numbers = Vec::new();
    for task in tasks {
        numbers.extend(task.await.unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=3200).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_returns_the_first_message() {
    let fixture = Fixture::new().await;
    let own_id = Some(ClientMessageId::parse("a-1").unwrap());
    let first = Message {
        client_message_id: own_id.clone(),
        ..fixture.draft("first")
    };
    let retry = Message {
        client_message_id: own_id,
        ..fixture.draft("second")
    };
    let first = done(fixture.store.append(&first).await.unwrap());
    let again = done(fixture.store.append(&retry).await.unwrap());
    assert_eq!((first.is_duplicate, again.is_duplicate), (false, true));
    assert_eq!((again.message, again.chat.last_seq), (first.message, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_counts_leave_out_own_deleted_and_system_messages() {
    let fixture = Fixture::new().await;
    for _ in 0..3 {
        done(fixture.store.append(&fixture.draft("hi")).await.unwrap());
    }
    let joined = fixture.draft("joined");
    done(fixture.store.append(&joined).await.unwrap());
    let outside = fixture.outside();
    let system = "UPDATE messages SET kind = 3, sender_id = NULL WHERE seq = 4";
    outside.execute(system, []).unwrap();
    outside
        .execute("UPDATE messages SET deleted_at = 1 WHERE seq = 2", [])
        .unwrap();
    let (chat, [ada, bob]) = (fixture.chat.id, &fixture.users);
    for (user, unread) in [(ada, 0), (bob, 2)] {
        let counts = fixture.store.unread_counts(user.id, &[chat]).await.unwrap();
        assert_eq!(counts, [(chat, unread)]);
    }
    let mark = fixture
        .store
        .mark_read(chat, bob.id, 99, NOW, LargeGroups::NONE)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((mark.moved, mark.member.last_read_seq), (true, 4));
    let mark = fixture
        .store
        .mark_read(chat, bob.id, 1, NOW, LargeGroups::NONE)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((mark.moved, mark.member.last_read_seq), (false, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_found_by_any_prefix_text() {
    let fixture = Fixture::new().await;
    for (address, name) in [
        ("c@x.org", "Ås_%"),
        ("d@x.org", "ÅSa"),
        ("e@x.org", "\u{10FFFD}z"),
    ] {
        let mut user = user(address);
        user.name = DisplayName::parse(name).unwrap();
        fixture.store.find_or_create_user(&user).await.unwrap();
    }
    let window = Window {
        after: None,
        before: None,
        limit: 10,
        from_end: false,
    };
    for (prefix, names) in [
        ("ås", vec!["Ås_%", "ÅSa"]),
        ("ÅS_", vec!["Ås_%"]),
        ("%", vec![]),
        ("\u{10FFFD}", vec!["\u{10FFFD}z"]),
        ("", vec!["Ås_%", "ÅSa", "bob", "\u{10FFFD}z"]),
    ] {
        let except = fixture.users[0].id;
        let page = fixture
            .store
            .users_by_name(prefix, except, &window)
            .await
            .unwrap();
        let found: Vec<_> = page.items.iter().map(|user| user.name.as_str()).collect();
        assert_eq!(found, names, "{prefix:?}");
    }
}

/// A session is one row, as long after many refreshes as after the first one.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_many_refreshes_takes_no_more_room() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let session = Session {
        id: ids().next(),
        user_id: fixture.users[0].id,
        created_at: NOW,
        last_used_at: NOW,
        expires_at: NOW + Duration::from_mins(1),
        user_agent: None,
        ip_address: Some("::1".parse().unwrap()),
    };
    store
        .create_session(&session, TokenHash([0; 32]))
        .await
        .unwrap();
    let rotate = |from: u8, generation: u32| {
        let exchange = Exchange {
            session_id: session.id,
            presented: TokenHash([from; 32]),
            generation,
            is_sealed: true,
            replacement: TokenHash([from + 1; 32]),
            salt: TokenSalt([from; 32]),
            now: NOW,
            life: SessionLife {
                idle: Duration::from_secs(90),
                longest: Duration::from_hours(1),
                retry: Duration::from_mins(1),
            },
        };
        async move { store.rotate_session(&exchange).await }
    };
    let outside = fixture.outside();
    let size = || -> i64 {
        let sum = "SELECT sum(length(token_hash) + length(replaced_hash) + length(successor_salt))
            FROM sessions";
        outside.query_row(sum, [], |row| row.get(0)).unwrap()
    };
    for from in 0..200 {
        let rotated = rotate(from, from.into()).await;
        assert!(matches!(rotated, Ok(Rotation::Rotated(_))), "{rotated:?}");
        assert_eq!(size(), 96);
    }
    assert_eq!(count(&outside, "sessions"), 1);
    let again = rotate(199, 199).await.unwrap();
    let salt = TokenSalt([199; 32]);
    assert!(matches!(again, Rotation::Repeated(_, kept) if kept == salt));
    for old in [0, 1, 198] {
        let reused = rotate(old, old.into()).await;
        assert!(matches!(reused, Ok(Rotation::Reused(_))), "{reused:?}");
    }
    for (later, purged) in [(60, 0), (90, 1)] {
        let now = NOW + Duration::from_secs(later);
        assert_eq!(store.purge_expired(now, 10).await.unwrap(), purged);
    }
    assert!(matches!(rotate(200, 200).await, Ok(Rotation::Unknown)));
}

#[tokio::test]
async fn a_second_server_is_refused_until_the_first_has_closed() {
    let fixture = Fixture::new().await;
    let options = SqliteOptions {
        lock_timeout: Duration::ZERO,
        ..options()
    };
    let refused = open(&fixture.path(), &options).unwrap_err();
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
    fixture.store.close().await;
    assert!(fixture.store.ping().await.is_err());
    let reopened = open(&fixture.path(), &options).unwrap();
    assert_eq!(reopened.chats(&[fixture.chat.id]).await.unwrap().len(), 1);
    assert_eq!(reopened.calls(), 1);
}

#[tokio::test]
async fn a_newer_or_foreign_file_is_refused_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("talksy.db");
    let store = open(&path, &options()).unwrap();
    store.close().await;
    let newer = Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    newer.close().unwrap();
    let before = std::fs::read(&path).unwrap();
    let refused = open(&path, &options()).unwrap_err();
    assert!(
        matches!(refused, OpenError::Newer { found: 99, .. }),
        "{refused}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), before);

    let other = folder.path().join("other.db");
    Connection::open(&other)
        .unwrap()
        .execute_batch("CREATE TABLE notes (text)")
        .unwrap();
    let refused = open(&other, &options()).unwrap_err();
    assert!(matches!(refused, OpenError::Foreign), "{refused}");
}

#[cfg(unix)]
#[tokio::test]
async fn the_files_are_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let fixture = Fixture::new().await;
    let data = fixture.folder.path().join("data");
    for entry in std::fs::read_dir(&data).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", entry.path());
    }
    assert_eq!(
        std::fs::metadata(&data).unwrap().permissions().mode() & 0o777,
        0o700
    );
}
