//! How a store judges a refresh token that is presented, from one state of its session.

use super::model::{ReplacedToken, Session, SessionTokens};
use super::store::{Exchange, Rotation};

/// What comes of a token that is presented, where the session and its tokens are these.
/// [`Rotation::Rotated`] has the session as it is to be; its tokens are then those of [`rotated`].
pub fn judge(session: &Session, tokens: &SessionTokens, exchange: &Exchange) -> Rotation {
    let (now, life) = (exchange.now, exchange.life);
    if exchange.presented == tokens.current {
        return end(session, exchange).unwrap_or_else(|| {
            Rotation::Rotated(Session {
                last_used_at: now,
                expires_at: life.expiry(session.created_at, now),
                ..session.clone()
            })
        });
    }
    match tokens.replaced {
        Some(replaced) if exchange.presented == replaced.hash => {
            // An instance whose clock is ahead may have replaced it.
            if now.since(replaced.at) < life.retry {
                let repeated = || Rotation::Repeated(session.clone(), replaced.salt);
                end(session, exchange).unwrap_or_else(repeated)
            } else {
                Rotation::Reused(session.clone())
            }
        }
        _ if exchange.is_sealed && exchange.generation < tokens.generation => {
            Rotation::Reused(session.clone())
        }
        _ => Rotation::Unknown,
    }
}

/// The session's tokens behind an exchange that was judged [`Rotation::Rotated`].
pub fn rotated(tokens: &SessionTokens, exchange: &Exchange) -> SessionTokens {
    SessionTokens {
        current: exchange.replacement,
        generation: tokens.generation.saturating_add(1),
        replaced: Some(ReplacedToken {
            hash: tokens.current,
            salt: exchange.salt,
            at: exchange.now,
        }),
    }
}

/// Why the session can no longer be refreshed, where it cannot.
fn end(session: &Session, exchange: &Exchange) -> Option<Rotation> {
    if session.created_at + exchange.life.longest <= exchange.now {
        Some(Rotation::Outlived)
    } else {
        (session.expires_at <= exchange.now).then_some(Rotation::Expired)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::auth::model::{SessionLife, TokenHash, TokenSalt};
    use crate::clock::Timestamp;
    use crate::id;

    const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);
    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_hours(1);
    const LIFE: SessionLife = SessionLife {
        idle: HOUR,
        longest: Duration::from_mins(150),
        retry: Duration::from_mins(1),
    };

    fn session() -> Session {
        Session {
            id: id::from_bytes([1; 16]),
            user_id: id::from_bytes([2; 16]),
            created_at: START,
            last_used_at: START,
            expires_at: START + HOUR,
            user_agent: None,
            ip_address: None,
        }
    }

    /// Presents the token of a generation, whose successor is the next one.
    fn exchange(generation: u8, now: Timestamp) -> Exchange {
        Exchange {
            session_id: session().id,
            presented: TokenHash([generation; 32]),
            generation: generation.into(),
            is_sealed: true,
            replacement: TokenHash([generation + 1; 32]),
            salt: TokenSalt([generation + 100; 32]),
            now,
            life: LIFE,
        }
    }

    /// The session and its tokens after each of these instants has replaced one.
    fn after(instants: &[Timestamp]) -> (Session, SessionTokens) {
        let mut state = (session(), SessionTokens::first(TokenHash([0; 32])));
        for (&now, generation) in instants.iter().zip(0..) {
            let exchange = exchange(generation, now);
            match judge(&state.0, &state.1, &exchange) {
                Rotation::Rotated(session) => state = (session, rotated(&state.1, &exchange)),
                other => panic!("{other:?}"),
            }
        }
        state
    }

    #[test]
    fn a_token_is_answered_again_for_a_while_and_only_while_its_successor_is_unused() {
        let then = START + SECOND;
        let (session, tokens) = after(&[then]);
        assert_eq!(session.last_used_at, then);
        let again = |now| judge(&session, &tokens, &exchange(0, now));
        let repeated = Rotation::Repeated(session.clone(), TokenSalt([100; 32]));
        let reused = Rotation::Reused(session.clone());
        assert_eq!(again(then), repeated);
        assert_eq!(again(then - SECOND), repeated, "a clock that is behind");
        let last = then + LIFE.retry - Duration::from_millis(1);
        assert_eq!(again(last), repeated);
        assert_eq!(again(then + LIFE.retry), reused);
        let never = Exchange {
            life: SessionLife {
                retry: Duration::ZERO,
                ..LIFE
            },
            ..exchange(0, then)
        };
        assert_eq!(judge(&session, &tokens, &never), reused);

        let (session, tokens) = after(&[then, then]);
        let reused = Rotation::Reused(session.clone());
        assert_eq!(judge(&session, &tokens, &exchange(0, then)), reused);
        let repeated = Rotation::Repeated(session.clone(), TokenSalt([101; 32]));
        assert_eq!(judge(&session, &tokens, &exchange(1, then)), repeated);
    }

    #[test]
    fn an_older_generation_is_known_by_its_number_where_the_seal_says_that_there_was_one() {
        let (session, tokens) = after(&[START, START, START]);
        let other = |generation, is_sealed| Exchange {
            presented: TokenHash([200; 32]),
            generation,
            is_sealed,
            ..exchange(0, START)
        };
        let judged = |exchange| judge(&session, &tokens, &exchange);
        for generation in 0..3 {
            let reused = Rotation::Reused(session.clone());
            assert_eq!(judged(other(generation, true)), reused);
            assert_eq!(judged(other(generation, false)), Rotation::Unknown);
        }
        for generation in [3, 4, u32::MAX] {
            assert_eq!(judged(other(generation, true)), Rotation::Unknown);
        }
    }

    #[test]
    fn a_session_ends_when_it_is_idle_or_too_old() {
        let (session, tokens) = after(&[]);
        let judged = |now| judge(&session, &tokens, &exchange(0, now));
        assert_eq!(judged(START + HOUR), Rotation::Expired);
        assert_eq!(judged(START + LIFE.longest), Rotation::Outlived);
        let twice = START + 2 * HOUR - 2 * SECOND;
        let (session, tokens) = after(&[START + HOUR - SECOND, twice]);
        assert_eq!(
            session.expires_at,
            START + LIFE.longest,
            "not an hour later"
        );
        let judged = |generation, now| judge(&session, &tokens, &exchange(generation, now));
        let end = START + LIFE.longest;
        assert!(matches!(judged(2, end - SECOND), Rotation::Rotated(_)));
        assert_eq!(judged(2, end), Rotation::Outlived);
        // An answer that is asked for again gives no life either.
        let (session, tokens) = after(&[START + HOUR - SECOND, twice, end - SECOND]);
        let judged = |generation, now| judge(&session, &tokens, &exchange(generation, now));
        assert!(matches!(judged(2, end - SECOND), Rotation::Repeated(..)));
        assert_eq!(judged(2, end), Rotation::Outlived);
    }
}
