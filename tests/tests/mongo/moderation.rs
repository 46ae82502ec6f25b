//! What an instance leaves that dies over an operator's act.

use mongodb::bson::{Document, doc};
use talksy_domain::auth::{Session, SessionStore as _, TokenHash};
use talksy_domain::jobs::{JobStore as _, Task};
use talksy_domain::moderation::{
    AuditEntry, ModerationStore as _, OperatorAct, Reason, Suspension,
};

use super::*;

const MINUTE: Duration = Duration::from_mins(1);

async fn session(fixture: &Fixture) -> Session {
    let session = Session {
        id: ids().next(),
        user_id: fixture.users[0],
        created_at: NOW,
        last_used_at: NOW,
        expires_at: NOW + Duration::from_hours(24),
        user_agent: None,
        ip_address: None,
    };
    let created = fixture.store.create_session(&session, TokenHash([1; 32]));
    created.await.unwrap();
    session
}

fn suspension(fixture: &Fixture) -> (Suspension, AuditEntry) {
    let (user_id, reason) = (fixture.users[0], Reason::parse("Spam", "reason").unwrap());
    let act = OperatorAct::SuspendUser {
        user_id,
        reason: reason.clone(),
        until: None,
    };
    let entry = AuditEntry {
        id: ids().next(),
        at: NOW,
        operator_id: fixture.users[1],
        act,
    };
    let suspension = Suspension {
        user_id,
        since: NOW,
        until: None,
        reason,
    };
    (suspension, entry)
}

/// A suspension that is done with leaves no job, and one whose instance has died a job that ends the
/// sessions; where the suspension never came, the job ends nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_ends_the_sessions_that_a_crash_has_left() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let store = &fixture.store;
    let jobs = fixture.outside(mongo).await.collection::<Document>("jobs");
    let waiting = doc! { "kind": "endSessions.1" };
    let task = Task::EndSessions {
        user_id: fixture.users[0],
    };

    // The instance died ahead of the suspension.
    let job = task.job(ids().next(), NOW, NOW).unwrap();
    assert!(store.enqueue(&job).await.unwrap());
    let live = session(&fixture).await;
    assert_eq!(repaired(store, NOW + MINUTE).await, 0);
    let found = store.existing_sessions(&[live.id]).await.unwrap();
    assert_eq!(found, [live.id]);

    let (suspension, entry) = suspension(&fixture);
    store.suspend(&suspension, &entry).await.unwrap();
    assert_eq!(store.existing_sessions(&[live.id]).await.unwrap(), []);
    let left = jobs.count_documents(waiting.clone()).await.unwrap();
    assert_eq!(left, 1, "its own job is gone");

    // It died behind the suspension: as if it had not come to this session.
    let live = session(&fixture).await;
    assert_eq!(repaired(store, NOW + 2 * MINUTE).await, 1);
    assert_eq!(store.existing_sessions(&[live.id]).await.unwrap(), []);
    assert_eq!(jobs.count_documents(waiting).await.unwrap(), 0);
}

/// Whoever writes the entry ahead and dies is tried again by its client: the log has one entry too many
/// then, and never one too few.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_was_written_ahead_does_no_harm() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let (suspension, entry) = suspension(&fixture);
    fixture.store.suspend(&suspension, &entry).await.unwrap();
    fixture.store.suspend(&suspension, &entry).await.unwrap();
    let log = fixture.store.audit(None, 10).await.unwrap();
    assert_eq!(log, [entry]);
    let found = fixture.store.suspensions(&[suspension.user_id]).await;
    assert_eq!(found.unwrap(), [suspension]);
}
