//! Sessions.

use std::time::Duration;

use talksy_domain::auth::{Rotation, Session, TokenHash};
use talksy_domain::clock::Timestamp;
use talksy_domain::cursor::SessionCursor;
use talksy_domain::id::{SessionId, UserId};

use super::fixture::{Stores, forward};
use super::refreshing::{assert_current, exchange, present, replace};
use super::{at_once, ids, now, random};

const DAY: Duration = Duration::from_hours(24);

pub(super) fn token() -> TokenHash {
    TokenHash(random())
}

pub(super) fn new_session(user: UserId, now: Timestamp) -> Session {
    Session {
        id: ids().next(),
        user_id: user,
        created_at: now,
        last_used_at: now,
        expires_at: now + DAY,
        user_agent: Some("Mozilla/5.0 (X11; Linux) “Ω”".to_owned()),
        ip_address: Some("2001:db8::17".parse().unwrap()),
    }
}

/// Makes a session, and a user for it.
pub(super) async fn signed_in(stores: &Stores, now: Timestamp) -> (Session, TokenHash) {
    let [user] = stores.users().await;
    let (session, token) = (new_session(user.id, now), token());
    stores
        .sessions
        .create_session(&session, token)
        .await
        .unwrap();
    (session, token)
}

pub(super) async fn kept(stores: &Stores, id: SessionId) -> Option<Session> {
    stores.sessions.session(id).await.unwrap()
}

/// The user's sessions, in a page that holds all.
pub(super) async fn listed(stores: &Stores, user: UserId, now: Timestamp) -> Vec<Session> {
    let window = forward(None, 100);
    let page = stores.sessions.sessions_of(user, now, &window);
    page.await.unwrap().items
}

fn place(session: &Session) -> SessionCursor {
    SessionCursor {
        last_used_at: session.last_used_at,
        session_id: session.id,
    }
}

/// A session is read back with every part as it was made.
pub async fn a_session_is_kept_as_it_was_made(stores: &Stores) {
    let now = now();
    let (session, _) = signed_in(stores, now).await;
    assert_eq!(kept(stores, session.id).await, Some(session.clone()));
    let plain = Session {
        user_agent: None,
        ip_address: None,
        ..new_session(session.user_id, now)
    };
    let local = Session {
        user_agent: Some(String::new()),
        ip_address: Some("192.0.2.7".parse().unwrap()),
        ..new_session(session.user_id, now)
    };
    for session in [plain, local] {
        stores
            .sessions
            .create_session(&session, token())
            .await
            .unwrap();
        assert_eq!(kept(stores, session.id).await, Some(session));
    }
    assert_eq!(kept(stores, ids().next()).await, None);
}

/// The list has the user's own sessions, last used first, and leaves out what has expired; the
/// session itself can still be read.
pub async fn sessions_are_listed_until_they_expire(stores: &Stores) {
    let now = now();
    let [ada, bob] = stores.users().await;
    let second = Duration::from_secs(1);
    let session = |user, used: u64, expires_at| Session {
        last_used_at: now + Duration::from_secs(used),
        expires_at,
        ..new_session(user, now)
    };
    let end = now + DAY;
    let newest = session(ada.id, 30, end + second);
    let oldest = session(ada.id, 10, end + second);
    let middle = session(ada.id, 20, end + second);
    let expired = session(ada.id, 40, end);
    let foreign = session(bob.id, 50, end + second);
    for session in [&middle, &expired, &newest, &foreign, &oldest] {
        stores
            .sessions
            .create_session(session, token())
            .await
            .unwrap();
    }
    assert_eq!(
        listed(stores, ada.id, end).await,
        [newest, middle, oldest],
        "one that ends at this instant is over"
    );
    assert_eq!(listed(stores, ada.id, now).await.len(), 4);
    assert_eq!(kept(stores, expired.id).await, Some(expired));
    assert_eq!(listed(stores, ids().next(), now).await, [], "nobody's");
}

/// Pages follow each other without a gap, also among sessions that were last used at the same
/// instant, and know whether the list goes on. A session that is used between two pages moves to
/// the list's start and comes a second time on no page.
pub async fn sessions_are_listed_in_pages(stores: &Stores) {
    let now = now();
    let [ada, bob] = stores.users().await;
    let mut all = Vec::new();
    for used in [10, 20, 20, 20, 30, 40] {
        let session = Session {
            last_used_at: now + Duration::from_secs(used),
            ..new_session(ada.id, now)
        };
        let foreign = new_session(bob.id, now);
        for session in [&session, &foreign] {
            let created = stores.sessions.create_session(session, token());
            created.await.unwrap();
        }
        all.push(session);
    }
    all.sort_by_key(|session| std::cmp::Reverse((session.last_used_at, session.id)));
    let page = async |after: Option<&Session>, limit| {
        let window = forward(after.map(place), limit);
        let page = stores.sessions.sessions_of(ada.id, now, &window);
        page.await.unwrap()
    };
    for limit in [1, 2, 3, 6, 7] {
        let mut read = Vec::<Session>::new();
        loop {
            let next = page(read.last(), limit).await;
            assert_eq!(next.has_previous, !read.is_empty());
            let more = next.has_next;
            read.extend(next.items);
            assert_eq!(more, read.len() < all.len(), "{limit}");
            if !more {
                break;
            }
        }
        assert_eq!(read, all, "{limit} a page");
    }
    let none = page(None, 0).await;
    assert_eq!((none.items, none.has_next), (vec![], true));
    assert_eq!(page(all.last(), 5).await.items, []);

    let first = page(None, 2).await.items;
    let moved = Session {
        last_used_at: now + Duration::from_secs(50),
        expires_at: now + DAY,
        ..all.remove(4)
    };
    stores
        .sessions
        .delete_session(moved.id, ada.id)
        .await
        .unwrap();
    stores
        .sessions
        .create_session(&moved, token())
        .await
        .unwrap();
    assert_eq!(page(first.last(), 5).await.items, all[2..]);
    assert_eq!(page(None, 1).await.items, [moved]);
}

/// Sessions are read by their ids, whosesoever and also where they have expired.
pub async fn sessions_are_read_by_id(stores: &Stores) {
    let now = now();
    let (one, _) = signed_in(stores, now).await;
    let (two, _) = signed_in(stores, now).await;
    let (_other, _) = signed_in(stores, now).await;
    let read = async |wanted: &[SessionId]| {
        let mut found = stores.sessions.sessions(wanted).await.unwrap();
        found.sort_by_key(|session| session.id);
        found
    };
    let mut both = vec![one.clone(), two.clone()];
    both.sort_by_key(|session| session.id);
    assert_eq!(read(&[two.id, ids().next(), one.id, two.id]).await, both);
    assert_eq!(read(&[]).await, []);
    assert_eq!(read(&[ids().next()]).await, []);
}

/// A session is deleted by its own user, once, with its tokens.
pub async fn a_session_is_deleted_by_its_user(stores: &Stores) {
    let (session, first) = signed_in(stores, now()).await;
    let (other, others) = signed_in(stores, now()).await;
    let second = replace(stores, &session, first, 0).await.replacement;
    let delete = async |id, user| stores.sessions.delete_session(id, user).await.unwrap();
    assert!(!delete(session.id, other.user_id).await);
    assert!(!delete(ids().next(), session.user_id).await);
    assert!(kept(stores, session.id).await.is_some(), "still there");

    assert!(delete(session.id, session.user_id).await);
    assert!(!delete(session.id, session.user_id).await);
    assert_eq!(kept(stores, session.id).await, None);
    assert_eq!(listed(stores, session.user_id, now()).await, []);
    for (gone, generation) in [(first, 0), (second, 1)] {
        let answer = present(stores, &exchange(&session, gone, generation)).await;
        assert_eq!(answer, Rotation::Unknown);
    }
    assert_current(stores, &other, others, 0).await;
}

/// Of many who delete a session at the same time one is told that it was there.
pub async fn of_concurrent_deletions_one_is_told(stores: &Stores) {
    let (session, _) = signed_in(stores, now()).await;
    let answers = at_once((0..8).map(|_| {
        let (sessions, session) = (stores.sessions.clone(), session.clone());
        async move {
            let deleted = sessions.delete_session(session.id, session.user_id);
            deleted.await.unwrap()
        }
    }))
    .await;
    assert_eq!(answers.into_iter().filter(|deleted| *deleted).count(), 1);
}

/// Of sessions by their ids it is told which there are, expired ones too, and no other.
pub async fn it_is_told_which_sessions_there_are(stores: &Stores) {
    let (live, _) = signed_in(stores, now()).await;
    let (expired, _) = signed_in(stores, now() - 2 * DAY).await;
    let (ended, _) = signed_in(stores, now()).await;
    let existing = async |ids: &[SessionId]| {
        let mut found = stores.sessions.existing_sessions(ids).await.unwrap();
        found.sort_unstable();
        found
    };
    let mut expected = vec![live.id, expired.id];
    expected.sort_unstable();
    let deleted = stores.sessions.delete_session(ended.id, ended.user_id);
    assert!(deleted.await.unwrap());
    // More than a page of an answer holds are asked for at once.
    let mut wanted: Vec<SessionId> = (0..998).map(|_| ids().next()).collect();
    wanted.extend([live.id, expired.id, ended.id]);
    assert_eq!(existing(&wanted).await, expected);
    assert_eq!(existing(&[ended.id]).await, []);
    assert_eq!(existing(&[]).await, []);
}

/// Expired sessions are deleted, with their tokens, a part at a time.
pub async fn expired_sessions_are_purged(stores: &Stores) {
    // Long ago, where no other rule has sessions.
    let then = Timestamp::from_millis(946_684_800_000);
    let mut expired = Vec::new();
    for _ in 0..3 {
        expired.push(signed_in(stores, then).await);
    }
    let (later, _) = signed_in(stores, then + DAY).await;
    let purge = async |now| stores.sessions.purge_expired(now, 2).await.unwrap();
    let by = then + DAY;
    assert_eq!(purge(then).await, 0);
    assert_eq!(
        [purge(by).await, purge(by).await, purge(by).await],
        [2, 1, 0]
    );
    for (session, token) in expired {
        assert_eq!(kept(stores, session.id).await, None);
        let answer = present(stores, &exchange(&session, token, 0)).await;
        assert_eq!(answer, Rotation::Unknown);
    }
    assert!(kept(stores, later.id).await.is_some(), "it expires later");
}

super::suite::rules! {
    sessions_rules:
    expired_sessions_are_purged,
    a_session_is_kept_as_it_was_made,
    sessions_are_listed_until_they_expire,
    sessions_are_listed_in_pages,
    sessions_are_read_by_id,
    it_is_told_which_sessions_there_are,
    a_session_is_deleted_by_its_user,
    of_concurrent_deletions_one_is_told,
}
