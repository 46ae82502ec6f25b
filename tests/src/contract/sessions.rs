//! Sessions, and refresh tokens that are good once, or again for a moment where an answer was lost.

use std::time::Duration;

use talksy_domain::auth::{Exchange, Rotation, Session, SessionLife, TokenHash, TokenSalt};
use talksy_domain::clock::Timestamp;
use talksy_domain::cursor::SessionCursor;
use talksy_domain::id::{SessionId, UserId};

use super::fixture::{Stores, forward};
use super::{at_once, ids, now, random};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// As long as sessions live here.
const LIFE: SessionLife = SessionLife {
    idle: DAY,
    longest: Duration::from_hours(72),
    retry: Duration::from_mins(1),
};

fn token() -> TokenHash {
    TokenHash(random())
}

fn new_session(user: UserId, now: Timestamp) -> Session {
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
async fn signed_in(stores: &Stores, now: Timestamp) -> (Session, TokenHash) {
    let [user] = stores.users().await;
    let (session, token) = (new_session(user.id, now), token());
    stores
        .sessions
        .create_session(&session, token)
        .await
        .unwrap();
    (session, token)
}

async fn kept(stores: &Stores, id: SessionId) -> Option<Session> {
    stores.sessions.session(id).await.unwrap()
}

/// The user's sessions, in a page that holds all.
async fn listed(stores: &Stores, user: UserId, now: Timestamp) -> Vec<Session> {
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

/// A token that is presented, with the generation that it names, an hour after the session was made.
fn exchange(session: &Session, presented: TokenHash, generation: u32) -> Exchange {
    Exchange {
        session_id: session.id,
        presented,
        generation,
        is_sealed: true,
        replacement: token(),
        salt: TokenSalt(random()),
        now: session.created_at + HOUR,
        life: LIFE,
    }
}

async fn present(stores: &Stores, exchange: &Exchange) -> Rotation {
    stores.sessions.rotate_session(exchange).await.unwrap()
}

/// Presents the session's current token, which is replaced by the one that is returned.
async fn replace(
    stores: &Stores,
    session: &Session,
    current: TokenHash,
    generation: u32,
) -> Exchange {
    let exchange = exchange(session, current, generation);
    let answer = present(stores, &exchange).await;
    assert_eq!(answer, Rotation::Rotated(rotated(session)));
    exchange
}

fn rotated(session: &Session) -> Session {
    let now = session.created_at + HOUR;
    Session {
        last_used_at: now,
        expires_at: now + DAY,
        ..session.clone()
    }
}

/// The current token is good: it rotates.
async fn assert_current(stores: &Stores, session: &Session, token: TokenHash, generation: u32) {
    let answer = present(stores, &exchange(session, token, generation)).await;
    assert!(matches!(answer, Rotation::Rotated(_)), "{answer:?}");
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

/// The current token rotates: its replacement is current now, and the session lives on.
pub async fn the_current_token_rotates(stores: &Stores) {
    let (session, mut current) = signed_in(stores, now()).await;
    for generation in 0..3 {
        current = replace(stores, &session, current, generation)
            .await
            .replacement;
        assert_eq!(kept(stores, session.id).await, Some(rotated(&session)));
    }
    let listed = listed(stores, session.user_id, session.created_at).await;
    assert_eq!(listed, [rotated(&session)]);
}

/// A token that was replaced is answered with the salt of its successor again, for a while and as long
/// as the successor is not used. It changes nothing, and the while does not begin anew.
pub async fn a_lost_answer_is_given_again(stores: &Stores) {
    let (session, first) = signed_in(stores, now()).await;
    let replaced = replace(stores, &session, first, 0).await;
    let renewed = rotated(&session);
    let again = |later: Duration| Exchange {
        now: replaced.now + later,
        ..exchange(&session, first, 0)
    };
    let last = LIFE.retry - Duration::from_millis(1);
    for later in [Duration::ZERO, SECOND, last, last] {
        let answer = present(stores, &again(later)).await;
        let expected = Rotation::Repeated(renewed.clone(), replaced.salt);
        assert_eq!(answer, expected, "{later:?} later");
        assert_eq!(kept(stores, session.id).await, Some(renewed.clone()));
    }
    // An instance whose clock is behind the one that replaced it.
    let earlier = Exchange {
        now: replaced.now - SECOND,
        ..exchange(&session, first, 0)
    };
    let answer = present(stores, &earlier).await;
    assert_eq!(answer, Rotation::Repeated(renewed.clone(), replaced.salt));
    let reused = Rotation::Reused(renewed.clone());
    assert_eq!(present(stores, &again(LIFE.retry)).await, reused);
    let strict = Exchange {
        life: SessionLife {
            retry: Duration::ZERO,
            ..LIFE
        },
        ..again(Duration::ZERO)
    };
    assert_eq!(present(stores, &strict).await, reused);

    // Once the successor is used, the token is an old one, and the successor may be asked for again.
    let second = replace(stores, &session, replaced.replacement, 1).await;
    assert_eq!(present(stores, &again(Duration::ZERO)).await, reused);
    let answer = present(stores, &exchange(&session, replaced.replacement, 1)).await;
    assert_eq!(answer, Rotation::Repeated(renewed, second.salt));
    assert_current(stores, &session, second.replacement, 2).await;
}

/// Any token that was current once is known for ever as reused, and changes nothing; where it is
/// not the last one, by its generation and the seal that says that there was one.
pub async fn an_old_token_is_found_reused(stores: &Stores) {
    let (session, first) = signed_in(stores, now()).await;
    let mut tokens = vec![first];
    for generation in 0..4 {
        let replaced = replace(stores, &session, tokens[generation as usize], generation);
        tokens.push(replaced.await.replacement);
    }
    let before = rotated(&session);
    for generation in [0, 1, 2, 3, 0] {
        let later = Exchange {
            now: session.created_at + 2 * HOUR,
            ..exchange(&session, tokens[generation as usize], generation)
        };
        let answer = present(stores, &later).await;
        assert_eq!(answer, Rotation::Reused(before.clone()), "{generation}");
    }
    assert_eq!(kept(stores, session.id).await, Some(before));
    assert_current(stores, &session, tokens[4], 4).await;
}

/// A token that the session never had is unknown, also where it is another session's or names a
/// generation that no seal speaks for, or that is yet to come.
pub async fn a_foreign_token_is_unknown(stores: &Stores) {
    let (session, first) = signed_in(stores, now()).await;
    let current = replace(stores, &session, first, 0).await.replacement;
    let renewed = rotated(&session);
    let (other, others) = signed_in(stores, now()).await;
    for (presented, generation, is_sealed) in [
        (token(), 0, false),
        (token(), 1, true),
        (token(), 2, true),
        (token(), u32::MAX, true),
        (others, 1, false),
        (others, 0, false),
    ] {
        let foreign = Exchange {
            is_sealed,
            ..exchange(&session, presented, generation)
        };
        let answer = present(stores, &foreign).await;
        assert_eq!(answer, Rotation::Unknown, "{generation}");
    }
    let missing = new_session(session.user_id, now());
    let answer = present(stores, &exchange(&missing, current, 1)).await;
    assert_eq!(answer, Rotation::Unknown, "there is no such session");
    assert_eq!(kept(stores, missing.id).await, None);
    assert_eq!(kept(stores, session.id).await, Some(renewed));
    assert_eq!(kept(stores, other.id).await, Some(other));
    assert_current(stores, &session, current, 1).await;
}

/// A session cannot be renewed from the instant on at which it ends.
pub async fn an_expired_session_does_not_rotate(stores: &Stores) {
    let (session, current) = signed_in(stores, now()).await;
    let at = async |now: Timestamp| {
        let exchange = Exchange {
            now,
            ..exchange(&session, current, 0)
        };
        present(stores, &exchange).await
    };
    let end = session.expires_at;
    assert_eq!(at(end).await, Rotation::Expired);
    assert_eq!(at(end + DAY).await, Rotation::Expired);
    assert_eq!(kept(stores, session.id).await, Some(session.clone()));
    let answer = at(end - Duration::from_millis(1)).await;
    assert!(matches!(answer, Rotation::Rotated(_)), "{answer:?}");
}

/// However often it is refreshed, a session is renewed to its longest life and no further, and then
/// ends: for its current token, and for one whose answer was lost.
pub async fn a_session_ends_at_its_longest_life(stores: &Stores) {
    let (session, first) = signed_in(stores, now()).await;
    let end = session.created_at + LIFE.longest;
    let at = |presented, generation, now| Exchange {
        now,
        ..exchange(&session, presented, generation)
    };
    let mut current = first;
    let instants = [DAY - SECOND, 2 * DAY - 3 * SECOND, 3 * DAY - 5 * SECOND];
    let instants = instants.map(|later| session.created_at + later);
    for (now, generation) in instants.into_iter().zip(0..) {
        let exchange = at(current, generation, now);
        let renewed = Session {
            last_used_at: now,
            expires_at: (now + DAY).min(end),
            ..session.clone()
        };
        let answer = present(stores, &exchange).await;
        assert_eq!(answer, Rotation::Rotated(renewed.clone()));
        assert_eq!(kept(stores, session.id).await, Some(renewed));
        current = exchange.replacement;
    }
    for now in [end, end + DAY] {
        let answer = present(stores, &at(current, 3, now)).await;
        assert_eq!(answer, Rotation::Outlived);
    }
    // A setting that is shorter now holds for sessions of before.
    let shorter = Exchange {
        life: SessionLife {
            longest: 2 * DAY,
            ..LIFE
        },
        ..at(current, 3, session.created_at + 2 * DAY)
    };
    assert_eq!(present(stores, &shorter).await, Rotation::Outlived);
    assert_eq!(listed(stores, session.user_id, end).await, []);
}

/// Of many who present one token at the same time one rotates it, and the others are told what its
/// successor is made of: there is one successor, and it is good.
pub async fn of_concurrent_rotations_one_succeeds(stores: &Stores) {
    let (session, current) = signed_in(stores, now()).await;
    let answers = at_once((0..16).map(|_| {
        let (stores, exchange) = (stores.clone(), exchange(&session, current, 0));
        async move { (present(&stores, &exchange).await, exchange) }
    }))
    .await;
    let renewed = rotated(&session);
    let is_first = |(answer, _): &&(Rotation, Exchange)| matches!(answer, Rotation::Rotated(_));
    let winners: Vec<_> = answers.iter().filter(is_first).collect();
    assert_eq!(winners.len(), 1);
    let (answer, winner) = winners[0];
    assert_eq!(*answer, Rotation::Rotated(renewed.clone()));
    for (answer, exchange) in &answers {
        if exchange != winner {
            let expected = Rotation::Repeated(renewed.clone(), winner.salt);
            assert_eq!(*answer, expected);
        }
    }
    assert_eq!(kept(stores, session.id).await, Some(renewed));
    assert_current(stores, &session, winner.replacement, 1).await;
}

/// Of many who present the current token and the one before at the same time, none is told what is not
/// so: the current one rotates once, and the one before is repeated ahead of that and reused behind it.
pub async fn a_token_is_not_repeated_behind_the_use_of_its_successor(stores: &Stores) {
    let (session, first) = signed_in(stores, now()).await;
    let replaced = replace(stores, &session, first, 0).await;
    let answers = at_once((0..16_u32).map(|at| {
        let presented = [first, replaced.replacement][at as usize % 2];
        let (stores, exchange) = (stores.clone(), exchange(&session, presented, at % 2));
        async move { (at % 2, present(&stores, &exchange).await) }
    }))
    .await;
    let renewed = rotated(&session);
    let mut used = 0;
    for (generation, answer) in answers {
        match (generation, answer) {
            (0, Rotation::Repeated(session, salt)) => {
                assert_eq!((session, salt), (renewed.clone(), replaced.salt));
            }
            (0, Rotation::Reused(session)) => assert_eq!(session, renewed),
            (1, Rotation::Rotated(_)) => used += 1,
            (1, Rotation::Repeated(_, salt)) => assert_ne!(salt, replaced.salt),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(used, 1);
    let answer = present(stores, &exchange(&session, first, 0)).await;
    assert_eq!(answer, Rotation::Reused(renewed));
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
    the_current_token_rotates,
    a_lost_answer_is_given_again,
    an_old_token_is_found_reused,
    a_foreign_token_is_unknown,
    an_expired_session_does_not_rotate,
    a_session_ends_at_its_longest_life,
    a_token_is_not_repeated_behind_the_use_of_its_successor,
    of_concurrent_rotations_one_succeeds,
    a_session_is_deleted_by_its_user,
    of_concurrent_deletions_one_is_told,
}
