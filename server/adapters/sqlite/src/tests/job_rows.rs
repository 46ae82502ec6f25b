//! Jobs beside their causes, and beside a running server.

use talksy_domain::jobs::{JobState, JobStore as _, NewJob};

use super::*;

fn job(kind: &str) -> NewJob {
    NewJob {
        id: ids().next(),
        kind: kind.to_owned(),
        payload: "{}".to_owned(),
        created_at: NOW,
        due_at: NOW,
    }
}

/// A job that is written with its cause is there exactly where the cause is.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_kept_with_its_cause_or_not_at_all() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    for fails in [true, false] {
        let (caused, chat) = (job("test.1"), id::bytes(fixture.chat.id));
        let written = caused.clone();
        let outcome = store.write(move |conn: &Connection| {
            assert!(jobs::insert(conn, &written)?);
            assert!(!jobs::insert(conn, &written)?, "the same id is one job");
            let cause = "UPDATE chats SET title = 'caused' WHERE id = ?1";
            conn.execute(cause, [chat])?;
            if fails {
                conn.execute("INSERT INTO users SELECT * FROM users", [])?;
            }
            Ok(())
        });
        assert_eq!(outcome.await.is_err(), fails);
        assert_eq!(store.job(caused.id).await.unwrap().is_none(), fails);
        let chats = store.chats(&[fixture.chat.id]).await.unwrap();
        assert_eq!(chats[0].title.is_none(), fails);
    }
}

/// A command works on the jobs of a database that a server has open. Neither disturbs the other.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_looked_after_beside_a_server() {
    let fixture = Fixture::new().await;
    let (store, written) = (&fixture.store, job("test.1"));
    assert!(store.enqueue(&written).await.unwrap());
    let beside = SqliteStore::open_beside(fixture.path(), &options()).unwrap();
    let found = beside.in_state(JobState::Waiting, 10).await.unwrap();
    assert_eq!(found.len(), 1);
    assert!(beside.delete(written.id, found[0].version).await.unwrap());
    beside.close().await;
    assert_eq!(store.job(written.id).await.unwrap(), None);
    done(store.append(&fixture.draft("hi")).await.unwrap());

    // Also where none runs. It makes no database.
    store.close().await;
    let beside = SqliteStore::open_beside(fixture.path(), &options()).unwrap();
    assert_eq!(beside.in_state(JobState::Waiting, 10).await.unwrap(), []);
    beside.close().await;
    let nowhere = fixture.folder.path().join("nowhere.db");
    assert!(SqliteStore::open_beside(&nowhere, &options()).is_err());
    assert!(!nowhere.exists());
}

/// What only a newer or older release understands is left to it.
#[tokio::test]
async fn a_database_of_another_release_is_not_touched_beside_its_server() {
    let fixture = Fixture::new().await;
    fixture.store.close().await;
    for version in [2, 99] {
        let outside = fixture.outside();
        outside
            .pragma_update(None, "user_version", version)
            .unwrap();
        let refused = SqliteStore::open_beside(fixture.path(), &options()).unwrap_err();
        assert!(
            matches!(refused, OpenError::Older { .. } | OpenError::Newer { .. }),
            "{refused}"
        );
    }
}

/// A row that does not parse is left out, and holds up no other.
#[tokio::test]
async fn a_damaged_job_holds_up_no_other() {
    let fixture = Fixture::new().await;
    let (store, damaged, sound) = (&fixture.store, job("test.1"), job("test.1"));
    for job in [&damaged, &sound] {
        assert!(store.enqueue(job).await.unwrap());
    }
    let key = id::bytes(damaged.id);
    let damage = "UPDATE jobs SET version = -1 WHERE id = ?1";
    fixture.outside().execute(damage, [key]).unwrap();
    let due = store.due(&["test.1"], NOW, 10).await.unwrap();
    assert_eq!(due.iter().map(|job| job.id).collect::<Vec<_>>(), [sound.id]);
    let error = store.job(damaged.id).await.unwrap_err();
    assert!(matches!(error, PortError::Corrupt { .. }), "{error:?}");
}
