//! Refresh tokens that are good once, or again for a moment where an answer was lost.

use std::time::Duration;

use talksy_domain::auth::{Exchange, Rotation, Session, SessionLife, TokenHash, TokenSalt};
use talksy_domain::clock::Timestamp;

use super::fixture::Stores;
use super::sessions::{kept, listed, new_session, signed_in, token};
use super::{at_once, now, random};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// As long as sessions live here.
const LIFE: SessionLife = SessionLife {
    idle: DAY,
    longest: Duration::from_hours(72),
    retry: Duration::from_mins(1),
};

/// A token that is presented, with the generation that it names, an hour after the session was made.
pub(super) fn exchange(session: &Session, presented: TokenHash, generation: u32) -> Exchange {
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

pub(super) async fn present(stores: &Stores, exchange: &Exchange) -> Rotation {
    stores.sessions.rotate_session(exchange).await.unwrap()
}

/// Presents the session's current token, which is replaced by the one that is returned.
pub(super) async fn replace(
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
pub(super) async fn assert_current(
    stores: &Stores,
    session: &Session,
    token: TokenHash,
    generation: u32,
) {
    let answer = present(stores, &exchange(session, token, generation)).await;
    assert!(matches!(answer, Rotation::Rotated(_)), "{answer:?}");
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
    let last = LIFE.retry.saturating_sub(Duration::from_millis(1));
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
    let instants = [(1, 1), (2, 3), (3, 5)].map(|(days, seconds)| {
        let later = (days * DAY).saturating_sub(seconds * SECOND);
        session.created_at + later
    });
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

super::suite::rules! {
    refreshing_rules:
    the_current_token_rotates,
    a_lost_answer_is_given_again,
    an_old_token_is_found_reused,
    a_foreign_token_is_unknown,
    an_expired_session_does_not_rotate,
    a_session_ends_at_its_longest_life,
    a_token_is_not_repeated_behind_the_use_of_its_successor,
    of_concurrent_rotations_one_succeeds,
}
