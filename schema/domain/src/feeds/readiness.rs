//! Whether a chat can be told to a user as it is at the place that is known: the store or the bus may
//! be behind the other, and what is shown may not be the user's to see any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::chat_state::ChatState;
use super::context::FeedContext;
use super::error::FeedError;
use super::retry::retry_unavailable;
use super::told_chat::Told;
use crate::id::UserId;
use crate::incarnation::Incarnation;

/// How soon a store is asked again that is behind what it has told.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// Whether a chat can be told.
#[derive(Debug)]
pub(super) enum Readiness {
    /// It can, as this.
    Ready(Arc<ChatState>),
    /// There is no such chat, or the store is behind what it has told for longer than a moment: what
    /// it tells later is found by comparing.
    Gone,
    /// The store is behind what it has told, and is given a moment.
    StoreIsBehind,
    /// The store is ahead of the bus, whose events say what is the user's own. They are waited for, this
    /// long at most.
    BusIsBehind(Duration),
    /// It shows a system message behind which the user is not known to be a member.
    Unconfirmed,
}

/// Looks at a chat for a user who was told of it. `peer` is the other side of a direct chat, where that is
/// known, and `waits_since` when the store or the bus was first found to be behind.
pub(super) async fn readiness(
    context: &FeedContext,
    incarnation: Incarnation,
    told: &Told,
    peer: Option<UserId>,
    waits_since: &mut Option<Instant>,
) -> Result<Readiness, FeedError> {
    let line = (incarnation, told.member.chat_id);
    let states = &context.states;
    let state = if let Some(known) = states.known_at(line, told.ends) {
        Some(known)
    } else {
        let sides = peer.map(|peer| [told.member.user_id, peer]);
        let made = async { retry_unavailable!(states.at(line, told.ends, &told.run, sides)) };
        Box::pin(made).await?
    };
    let Some(state) = state else {
        return Ok(Readiness::Gone);
    };
    if state.is_settled() && state.ends() == told.ends && state.mseq() <= told.confirmed {
        return Ok(Readiness::Ready(state));
    }
    let since = *waits_since.get_or_insert_with(Instant::now);
    if !state.is_settled() || !state.ends().reach(told.ends) {
        return Ok(if since.elapsed() > context.policy.ahead_grace {
            Readiness::Gone
        } else {
            Readiness::StoreIsBehind
        });
    }
    let left = context.policy.reorder_grace.saturating_sub(since.elapsed());
    if state.ends() != told.ends && !left.is_zero() {
        return Ok(Readiness::BusIsBehind(left));
    }
    Ok(if state.mseq() > told.confirmed {
        Readiness::Unconfirmed
    } else {
        Readiness::Ready(state)
    })
}
