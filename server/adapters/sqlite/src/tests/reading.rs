//! Reads that nobody waits for, the log behind reads that overlap, and what counts cost.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;

use crate::checkpoint::LogLength;
use crate::readers;
use talksy_domain::id::ChatId;
use talksy_domain::users::MAX_KNOWN;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_read_without_a_caller_is_interrupted() {
    // The only reader, which the next read has to wait for.
    let options = SqliteOptions::new(NonZeroUsize::MIN, 4_096);
    let fixture = Fixture::with(&options).await;
    let (started, has_started) = channel();
    let store = fixture.store.clone();
    let endless = tokio::spawn(async move {
        let count = move |conn: &Connection| -> Result<i64, Fault> {
            let _ = started.send(());
            let sql = "WITH RECURSIVE n(i) AS
                (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000000)
                SELECT count(*) FROM n";
            Ok(conn.query_row(sql, [], |row| row.get(0))?)
        };
        readers::read(&store.inner.readers, count).await
    });
    has_started.recv().unwrap();
    endless.abort();
    let heads = fixture.store.heads(&[fixture.chat.id]).await.unwrap();
    assert_eq!(heads.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_fails_leaves_no_transaction_behind() {
    let options = SqliteOptions::new(NonZeroUsize::MIN, 4_096);
    let fixture = Fixture::with(&options).await;
    let failing = |conn: &Connection| -> Result<(), Fault> {
        crate::rows::snapshot(conn, || Err(Fault::Panicked))
    };
    let outcome = readers::read(&fixture.store.inner.readers, failing).await;
    assert!(matches!(outcome, Err(Fault::Panicked)));
    // In the transaction of before, the message would not be seen.
    done(fixture.store.append(&fixture.draft("hi")).await.unwrap());
    let heads = fixture.store.heads(&[fixture.chat.id]).await.unwrap();
    assert_eq!(heads[0].last_seq, 1);
}

/// At every commit somebody reads what was there before it, so that SQLite by itself never comes
/// to the log's end.
#[test]
fn the_log_stays_short_where_somebody_always_reads() {
    const ROWS: u32 = 600;
    const ROW: usize = 4_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("talksy.db");
    drop(crate::open::create_private(&path).unwrap());
    let busy = Duration::from_secs(2);
    let conn = crate::open::connect_writer(&path, busy).unwrap();
    crate::open::set_up_writer(&conn, 8).unwrap();
    conn.execute_batch("CREATE TABLE rows (text TEXT)").unwrap();
    let usual = 128 << 10;
    let mut log = LogLength::new(&path, usual, busy, Arc::default());

    let readers = [(); 2].map(|()| crate::open::connect_reader(&path, busy).unwrap());
    let (committed, commits) = channel();
    let (has_read, reads) = channel();
    let reading = thread::spawn(move || {
        let [mut older, mut newer] = readers;
        let begin = "BEGIN; SELECT count(*) FROM rows";
        older.execute_batch(begin).unwrap();
        loop {
            // Goes on after a while also without a commit: the writer may be waiting.
            let commit = commits.recv_timeout(Duration::from_millis(2));
            if commit == Err(RecvTimeoutError::Disconnected) {
                break;
            }
            newer.execute_batch(begin).unwrap();
            older.execute_batch("COMMIT").unwrap();
            std::mem::swap(&mut older, &mut newer);
            if commit.is_ok() {
                has_read.send(()).unwrap();
            }
        }
    });
    let file = folder.path().join("talksy.db-wal");
    let mut longest = 0;
    for _ in 0..ROWS {
        let text = "x".repeat(ROW);
        conn.execute("INSERT INTO rows VALUES (?1)", [text])
            .unwrap();
        longest = longest.max(std::fs::metadata(&file).unwrap().len());
        log.check(&conn);
        committed.send(()).unwrap();
        reads.recv().unwrap();
    }
    drop(committed);
    reading.join().unwrap();
    let written = u64::from(ROWS) * ROW as u64;
    assert!(longest < written / 2, "{longest} of {written} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_of_readiness_writes() {
    let fixture = Fixture::new().await;
    let writes = || -> u32 {
        let outside = fixture.outside();
        let sql = "SELECT writes FROM probe";
        outside.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let before = writes();
    fixture.store.ping().await.unwrap();
    assert_eq!(writes(), before + 1);
}

/// How many instructions of SQLite's machine Bob's unread count takes.
fn instructions(fixture: &Fixture) -> (u32, u64) {
    let counter = Arc::new(AtomicU64::new(0));
    let mut watched = fixture.outside();
    let ticks = Arc::clone(&counter);
    let tick = move || {
        ticks.fetch_add(1, Ordering::Relaxed);
        false
    };
    watched.progress_handler(1, Some(tick)).unwrap();
    let (chat, bob) = (id::bytes(fixture.chat.id), id::bytes(fixture.users[1].id));
    let counts = unread::counts(&watched, bob, &[chat]).unwrap();
    (counts[0].1, counter.load(Ordering::Relaxed))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_costs_the_same_however_much_is_unread_or_was_sent() {
    let fixture = Fixture::new().await;
    let [ada, bob] = &fixture.users;
    let mut costs = Vec::new();
    let mut expected = 0;
    for (sender, count) in [(ada, 70), (ada, 3_000), (bob, 3_000)] {
        let mut sending = Vec::new();
        for _ in 0..count {
            let draft = Message {
                sender_id: Some(sender.id),
                ..fixture.draft("hi")
            };
            let store = fixture.store.clone();
            sending.push(tokio::spawn(async move { store.append(&draft).await }));
        }
        for sent in sending {
            done(sent.await.unwrap().unwrap());
        }
        expected += if sender.id == bob.id { 0 } else { count };
        let (unread, cost) = instructions(&fixture);
        assert_eq!(unread, expected);
        costs.push(cost);
    }
    // The ends of the range differ in length.
    let (least, most) = (costs.iter().min().unwrap(), costs.iter().max().unwrap());
    assert!(most - least < 64 * 12, "{costs:?}");
}

/// Whoever is in a chat with more than are looked at finds some of them, and costs no more.
#[tokio::test(flavor = "multi_thread")]
async fn no_more_memberships_are_looked_at_than_the_port_says() {
    let fixture = Fixture::new().await;
    let ada = fixture.users[0].id;
    // Behind all others, as chats are looked at in their order.
    let crowd: ChatId = id::from_bytes([0xff; 16]);
    let (chat, viewer) = (crowd.uuid().simple(), ada.uuid().simple());
    let members = MAX_KNOWN + 1_000;
    let numbers = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {members})"
    );
    // Ids are 16 bytes; digits will do.
    let user = "CAST(printf('%016d', i) AS BLOB)";
    fixture
        .outside()
        .execute_batch(&format!(
            "BEGIN;
            INSERT INTO chats (id, kind, created_at, active_at, last_seq, member_count, title, title_key)
                VALUES (x'{chat}', 1, 0, 0, 1, {members}, 'Crowd', 'crowd');
            {numbers} INSERT INTO users (id, email, name, name_key, created_at)
                SELECT {user}, 'k' || i || '@example.org', 'known ' || i, 'known ' || i, 0 FROM n;
            {numbers} INSERT INTO members (chat_id, user_id, role, joined_at, last_read_seq)
                SELECT x'{chat}', {user}, 2, 0, 0 FROM n;
            INSERT INTO members (chat_id, user_id, role, joined_at, last_read_seq)
                VALUES (x'{chat}', x'{viewer}', 0, 0, 0);
            COMMIT;"
        ))
        .unwrap();
    let window = Window {
        after: None,
        before: None,
        limit: 20_000,
        from_end: false,
    };
    let page = fixture.store.known_users_by_name("", ada, &window);
    let page = page.await.unwrap();
    assert_eq!(page.items.len(), MAX_KNOWN as usize);
    let bob = &fixture.users[1];
    assert_eq!(page.items.first(), Some(bob), "of the chat before");
    assert!(!page.has_next);
}
