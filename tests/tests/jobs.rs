//! Durable jobs, through the whole server: the purge of sessions, a job that fails and its operator,
//! an instance that is killed over a job, a store that goes away.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use talksy_domain::clock::{Clock as _, SystemClock, SystemEntropy};
use talksy_domain::id::{self, IdGenerator, JobId};
use talksy_domain::jobs::Task;
use talksy_tests::app::TestApp;
use talksy_tests::eventually;
use talksy_tests::faulty_store::{Fault, FaultyStore};
use talksy_tests::process::{ServerProcess, run_talksy};

/// Looks often, and takes over soon.
const QUICK: [&str; 4] = ["--set", "jobs.poll=100ms", "--set", "jobs.lease=2s"];

fn database(data: &Path) -> Connection {
    let conn = Connection::open(data.join("talksy.db")).unwrap();
    conn.busy_timeout(Duration::from_secs(30)).unwrap();
    conn
}

fn count(conn: &Connection, from: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {from}");
    conn.query_row(&sql, [], |row| row.get(0)).unwrap()
}

/// What a command said that has succeeded.
#[track_caller]
fn said(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn jobs(data: &Path, arguments: &[&str]) -> String {
    said(&run_talksy(data, &[&["jobs"], arguments].concat()).await)
}

/// An app that looks for jobs often.
fn quick() -> talksy_tests::app::Builder {
    TestApp::builder().config(|config| config.jobs.poll = Duration::from_millis(100))
}

/// Waits until the purge has run and waits for its next time.
async fn purged(app: &TestApp) {
    let conn = database(app.data_dir());
    let waiting = format!(
        "jobs WHERE kind = 'purgeSessions.1' AND state = 0 AND due_at > {}",
        app.clock.now().as_millis()
    );
    eventually("a purge", async || {
        (count(&conn, &waiting) == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn expired_sessions_are_removed_once_an_hour() {
    let app = quick().start().await;
    app.sign_in("ada").await;
    let conn = database(app.data_dir());
    purged(&app).await;
    assert_eq!(count(&conn, "sessions"), 1);

    // It has expired after 30 days.
    app.clock.advance(Duration::from_hours(24 * 31));
    app.sign_in("ada").await;
    eventually("a purge", async || {
        (count(&conn, "sessions") == 1).then_some(())
    })
    .await;
    purged(&app).await;
    let purges = count(&conn, "jobs WHERE kind = 'purgeSessions.1'");
    assert_eq!(purges, 1, "it is one job, again and again");
}

#[tokio::test]
async fn an_outage_of_the_store_ends_neither_the_runner_nor_a_job() {
    let faults = FaultyStore::new();
    let app = quick().ports(faults.install()).start().await;
    purged(&app).await;
    app.sign_in("ada").await;
    for (what, times) in [("jobs", 2), ("sessions.purge_expired", 1)] {
        faults.set(what, Fault::Unavailable("down for the test"));
        app.clock.advance(Duration::from_hours(24 * 31));
        faults.refused(times).await;
        faults.set(what, Fault::None);
        // The wait before the next try passes with the clock that is moved.
        app.clock.advance(Duration::from_mins(1));
        eventually("the next try", async || {
            app.clock.advance(Duration::from_secs(1));
            (count(&database(app.data_dir()), "sessions") == 0).then_some(())
        })
        .await;
        app.sign_in("ada").await;
    }
}

/// A job that fails for good is listed with its reason, stays, and is done once its operator has
/// removed the reason and says so.
#[tokio::test]
async fn a_failed_job_is_listed_and_tried_again_when_its_operator_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut server = ServerProcess::start(data, &QUICK).await;
    let conn = database(data);
    let ids = IdGenerator::new(Arc::new(SystemClock), Arc::new(SystemEntropy));
    // Announced so long ago that nobody waits for its message any more.
    let then = SystemClock.now() - Duration::from_hours(5);
    let task = Task::CompleteGroupChange {
        chat_id: ids.next(),
        message_id: ids.next(),
    };
    let good = task.job(ids.next(), then, then).unwrap();
    let mut keys = Vec::new();
    for payload in ["{}", "7"] {
        let id: JobId = ids.next();
        let values = (id::bytes(id), &good.kind, payload, then.as_millis());
        let insert = "INSERT INTO jobs VALUES (?1, ?2, ?3, ?4, 0, ?4, 0, 0, NULL)";
        conn.execute(insert, values).unwrap();
        keys.push(id);
    }
    let line = server.log_line("failed for good").await;
    assert!(line.contains("completeGroupChange.1"), "{line}");
    eventually("both failures", async || {
        (count(&conn, "jobs WHERE state = 2") == 2).then_some(())
    })
    .await;

    // The command goes along with the server that runs.
    let list = jobs(data, &["list"]).await;
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 4, "{list}");
    for (line, id) in lines.iter().zip(&keys) {
        assert!(line.contains("completeGroupChange.1  failed "), "{line}");
        assert!(line.contains("tries: 1  error: "), "{line}");
        assert!(list.contains(&id.to_string()), "{list}");
    }
    assert!(lines[2].contains("purgeSessions.1  waits until "), "{list}");

    // Retried as it is, it fails again.
    let [one, other] = [&keys[0], &keys[1]].map(ToString::to_string);
    assert_eq!(jobs(data, &["retry", &one]).await, "retried: 1\n");
    server.log_line("failed for good").await;
    let repair = "UPDATE jobs SET payload = ?1 WHERE id = ?2";
    let key = id::bytes(keys[0]);
    eventually("its failure", async || {
        (count(&conn, "jobs WHERE state = 2") == 2).then_some(())
    })
    .await;
    conn.execute(repair, (&good.payload, key)).unwrap();
    assert_eq!(jobs(data, &["retry", &one]).await, "retried: 1\n");
    eventually("its end", async || {
        (count(&conn, "jobs WHERE kind = 'completeGroupChange.1'") == 1).then_some(())
    })
    .await;
    assert_eq!(jobs(data, &["drop", &other]).await, "dropped: 1\n");
    // The periodic ones.
    assert_eq!(count(&conn, "jobs"), 2);
    assert_eq!(jobs(data, &["retry"]).await, "retried: 0\n");

    // What is not there, or waits, is not dropped. What is no id is wrong usage.
    let waiting = Task::periodic()[0].id.to_string();
    for id in [&other, &waiting] {
        let output = run_talksy(data, &["jobs", "drop", id]).await;
        assert_eq!(output.status.code(), Some(1));
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains(id.as_str()), "{error}");
    }
    for wrong in [
        &["jobs", "drop"][..],
        &["jobs", "retry", "msg_7"],
        &["jobs"],
    ] {
        let output = run_talksy(data, wrong).await;
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
    }
    server.signal("TERM").await;
    assert_eq!(server.ended().await.code(), Some(0));
    // Also without a server.
    let list = jobs(data, &["list"]).await;
    assert_eq!(list.lines().count(), 2, "{list}");
}

/// Where there is no database the command says so, and makes none.
#[tokio::test]
async fn jobs_of_a_server_that_was_never_started_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let output = run_talksy(folder.path(), &["jobs", "list"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// More expired sessions than are purged in a moment, each of which takes its time.
fn expire_many(conn: &Connection, sessions: u32) {
    let insert = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
        INSERT INTO sessions (id, user_id, token_hash, created_at, last_used_at, expires_at)
            SELECT CAST(printf('%016d', i) AS BLOB),
            (SELECT id FROM users LIMIT 1), x'00', 0, 0, 1 FROM n";
    conn.execute(insert, [sessions]).unwrap();
    let slow = "CREATE TRIGGER slow BEFORE DELETE ON sessions BEGIN
        SELECT count(*) FROM (WITH RECURSIVE n(i) AS
            (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) SELECT i FROM n);
        END";
    conn.execute(slow, []).unwrap();
    let due = "UPDATE jobs SET due_at = 0 WHERE kind = 'purgeSessions.1'";
    conn.execute(due, []).unwrap();
}

/// A server that is killed over a job has left a part of it undone. The next one takes the job over
/// when its lease has run out, and does the rest.
#[tokio::test]
async fn a_job_whose_server_is_killed_is_taken_over() {
    const SESSIONS: u32 = 100_000;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut server = ServerProcess::start(data, &QUICK).await;
    server.sign_in(data, "ada").await;
    let conn = database(data);
    eventually("the first purge", async || {
        (count(&conn, "jobs WHERE state = 0 AND due_at > created_at") == 2).then_some(())
    })
    .await;
    server.signal("TERM").await;
    server.ended().await;
    expire_many(&conn, SESSIONS);

    let server = ServerProcess::start(data, &QUICK).await;
    let left = eventually("a purge that has begun", async || {
        let left = count(&conn, "sessions WHERE expires_at = 1");
        (left < i64::from(SESSIONS)).then_some(left)
    })
    .await;
    server.kill().await;
    assert!(left > 0, "it was killed too late");
    assert_eq!(count(&conn, "jobs WHERE state = 1"), 1);
    conn.execute("DROP TRIGGER slow", []).unwrap();

    let _server = ServerProcess::start(data, &QUICK).await;
    eventually("the rest of the purge", async || {
        (count(&conn, "sessions WHERE expires_at = 1") == 0).then_some(())
    })
    .await;
    eventually("its end", async || {
        (count(&conn, "jobs WHERE state = 0 AND attempts = 0") == 2).then_some(())
    })
    .await;
    assert_eq!(count(&conn, "sessions"), 1, "Ada's lives");
}
