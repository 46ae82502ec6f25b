//! Something that each member of a chat has and that only moves forward, such as the read mark, as
//! absolute state. What it is, is a declaration: a [`MemberState`]. In a large group a subscriber is
//! told of their own alone.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::chat_subscription::ChatSubscription;
use super::error::FeedError;
use super::feed::Feed;
use super::retry::retry_unavailable;
use crate::chats::model::Member;
use crate::events::event::{Event, Interest, Published};
use crate::id::UserId;
use crate::seq::Seq;

/// The state of one member of a chat. The store moves it forward alone, and it is published after
/// the commit: what the store says is never older than what was published.
pub trait MemberState: Sized + Send + Sync + 'static {
    /// The events that carry it.
    const INTEREST: Interest;

    /// The state that the event carries.
    fn of_event(event: &Event) -> Option<Self>;

    /// The state of the member, where there is one.
    fn of_member(member: &Member) -> Option<Self>;

    /// Whose it is, and how far it has moved.
    fn place(&self) -> (UserId, Seq);
}

/// The state of one member, and the event that said so, where one did.
#[derive(Clone, Debug)]
pub struct StateItem<S> {
    /// The state.
    pub state: S,
    /// The event.
    pub event: Option<Arc<Published>>,
}

impl<S> From<S> for StateItem<S> {
    fn from(state: S) -> Self {
        Self { state, event: None }
    }
}

/// The states of one chat's members for one subscriber. Of each member none is delivered after a
/// newer one, whatever the bus does to their order.
pub struct StateFeed<S> {
    subscription: ChatSubscription,
    pending: VecDeque<StateItem<S>>,
    delivered: Delivered,
}

impl<S: MemberState> Feed for StateFeed<S> {
    type Item = StateItem<S>;

    async fn next(&mut self) -> Result<StateItem<S>, FeedError> {
        loop {
            if let Some(item) = self.pending.pop_front() {
                let (user, seq) = item.state.place();
                self.delivered.note(user, seq);
                return Ok(item);
            }
            let Some(event) = self.subscription.event().await? else {
                self.pending = self.compare().await?;
                continue;
            };
            let Some(state) = S::of_event(&event.event) else {
                continue;
            };
            let (user, seq) = state.place();
            match self.delivered.age(user, seq) {
                Age::New => self.pending.push_back(StateItem {
                    state,
                    event: Some(event),
                }),
                Age::Old => {}
                Age::Forgotten => self.pending = retry_unavailable!(self.of(user))?,
            }
        }
    }
}

impl<S: MemberState> StateFeed<S> {
    /// What the members have now is taken to be known.
    pub(super) async fn open(mut subscription: ChatSubscription) -> Result<Self, FeedError> {
        subscription.membership().await?;
        subscription.member_count = subscription.head().await?.member_count;
        let mut feed = Self {
            subscription,
            pending: VecDeque::new(),
            delivered: Delivered::default(),
        };
        for state in feed.states().await? {
            let (user, seq) = state.place();
            feed.delivered.note(user, seq);
        }
        Ok(feed)
    }

    /// The states that were not delivered.
    async fn compare(&mut self) -> Result<VecDeque<StateItem<S>>, FeedError> {
        let mut states = retry_unavailable!(self.states())?;
        states.retain(|state| {
            let (user, seq) = state.place();
            self.delivered.is_ahead(user, seq)
        });
        if !states.is_empty() {
            // Behind the states: whoever was removed before a mark of them moved is known to be.
            retry_unavailable!(self.subscription.membership())?;
        }
        Ok(states.into_iter().map(Into::into).collect())
    }

    /// The states of the first page of members; in a large group of the viewer alone.
    async fn states(&self) -> Result<VecDeque<S>, FeedError> {
        let subscription = &self.subscription;
        let (context, chat) = (&subscription.context, subscription.chat);
        let large = context.policy.large_groups;
        if large.contains(subscription.member_count) {
            let own = context.member(subscription.viewer.user_id, chat).await?;
            return Ok(own.iter().filter_map(S::of_member).collect());
        }
        let members = context.first_members(chat).await?;
        let user = subscription.viewer.user_id;
        let shown = members.iter().filter(|member| member.shows_marks_to(user));
        Ok(shown.filter_map(S::of_member).collect())
    }

    /// The state of one member now.
    async fn of(&mut self, user: UserId) -> Result<VecDeque<StateItem<S>>, FeedError> {
        let subscription = &mut self.subscription;
        let member = subscription.context.member(user, subscription.chat).await?;
        // As behind the states.
        subscription.membership().await?;
        let viewer = subscription.viewer.user_id;
        let shown = member.iter().filter(|member| member.shows_marks_to(viewer));
        let states = shown.filter_map(S::of_member);
        Ok(states.map(Into::into).collect())
    }
}

/// How a state compares with what was delivered of the same member.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// Not older.
    New,
    /// Older.
    Old,
    /// What was delivered is no longer known, and may have been newer: the store knows.
    Forgotten,
}

/// What was delivered last of each member. It holds up to [`MOST_REMEMBERED`] members and then
/// forgets the half that has moved least far: a state that is ahead of all that was forgotten is
/// known to be new, as it is in a chat whose readers keep up.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    last: HashMap<UserId, Seq>,
    /// The furthest of what was forgotten.
    forgotten: Option<Seq>,
}

/// About 64 kB.
const MOST_REMEMBERED: usize = 1_024;

impl Delivered {
    pub(super) fn age(&self, user: UserId, seq: Seq) -> Age {
        match (self.last.get(&user), self.forgotten) {
            (Some(last), _) if seq < *last => Age::Old,
            (None, Some(forgotten)) if seq < forgotten => Age::Forgotten,
            _ => Age::New,
        }
    }

    /// Whether the state is newer than what was delivered, or may be, as none is known.
    fn is_ahead(&self, user: UserId, seq: Seq) -> bool {
        let forgotten = self.forgotten.unwrap_or(0);
        self.last
            .get(&user)
            .map_or(seq > forgotten, |last| seq > *last)
    }

    pub(super) fn note(&mut self, user: UserId, seq: Seq) {
        if self.last.len() >= MOST_REMEMBERED && !self.last.contains_key(&user) {
            let mut seqs: Vec<Seq> = self.last.values().copied().collect();
            let (_, middle, _) = seqs.select_nth_unstable(MOST_REMEMBERED / 2);
            let middle = *middle;
            self.last.retain(|_, last| *last > middle);
            self.forgotten = self.forgotten.max(Some(middle));
        }
        self.last.insert(user, seq);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id;

    fn user(n: usize) -> UserId {
        id::from_bytes((n as u128).to_be_bytes())
    }

    #[test]
    fn it_is_bounded_and_never_takes_an_older_state_for_a_new_one() {
        let mut delivered = Delivered::default();
        let seq = |n: usize| Seq::try_from(n % 300).unwrap() + 2;
        for n in 0..5_000 {
            assert_ne!(delivered.age(user(n), seq(n)), Age::Old);
            delivered.note(user(n), seq(n));
            assert!(delivered.last.len() <= MOST_REMEMBERED);
        }
        for n in 0..5_000 {
            assert_ne!(delivered.age(user(n), seq(n) - 1), Age::New, "of {n}");
        }
        assert_eq!(delivered.age(user(0), 400), Age::New);
    }

    #[test]
    fn the_same_state_again_is_new() {
        let mut delivered = Delivered::default();
        delivered.note(user(1), 3);
        assert_eq!(delivered.age(user(1), 3), Age::New);
        assert_eq!(delivered.age(user(1), 2), Age::Old);
        assert_eq!(delivered.age(user(2), 1), Age::New);
    }
}
