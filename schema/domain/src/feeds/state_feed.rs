//! Something that each member of a chat has and that only moves forward, such as the read mark, as
//! absolute state. What it is, is a declaration: a [`MemberState`].

use std::collections::{HashMap, VecDeque};

use super::chat_subscription::ChatSubscription;
use super::error::FeedError;
use super::feed::Feed;
use super::retry::retry_unavailable;
use crate::chats::model::Member;
use crate::chats::store::MemberFilter;
use crate::events::event::{Event, Interest};
use crate::events::hub::Signal;
use crate::id::UserId;
use crate::page::{MAX_PAGE, Window};
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

/// The states of one chat's members for one subscriber. Of each member none is delivered after a
/// newer one, whatever the bus does to their order.
pub struct StateFeed<S> {
    subscription: ChatSubscription,
    pending: VecDeque<S>,
    delivered: Delivered,
}

impl<S: MemberState> Feed for StateFeed<S> {
    type Item = S;

    async fn next(&mut self) -> Result<S, FeedError> {
        loop {
            if let Some(state) = self.pending.pop_front() {
                let (user, seq) = state.place();
                self.delivered.note(user, seq);
                return Ok(state);
            }
            match self.subscription.signal().await? {
                Signal::Event(event) => {
                    let Some(state) = S::of_event(&event.event) else {
                        continue;
                    };
                    let (user, seq) = state.place();
                    match self.delivered.age(user, seq) {
                        Age::New => self.pending.push_back(state),
                        Age::Old => {}
                        Age::Forgotten => self.pending = retry_unavailable!(self.of(user))?,
                    }
                }
                Signal::Interrupted => self.pending = retry_unavailable!(self.state())?,
            }
        }
    }
}

impl<S: MemberState> StateFeed<S> {
    pub(super) fn new(subscription: ChatSubscription) -> Self {
        Self {
            subscription,
            pending: VecDeque::new(),
            delivered: Delivered::default(),
        }
    }

    /// The states now: of the first page of members, which is all of them in most chats.
    async fn state(&mut self) -> Result<VecDeque<S>, FeedError> {
        let window = Window {
            after: None,
            before: None,
            limit: MAX_PAGE,
            from_end: false,
        };
        let chats = &self.subscription.context.chats;
        let (chat, all) = (self.subscription.chat, MemberFilter::default());
        let page = chats.members(chat, &all, &window).await?;
        // Behind the page: whoever was removed before a mark of it moved is known to be.
        self.subscription.membership().await?;
        Ok(page.items.iter().filter_map(S::of_member).collect())
    }

    /// The state of one member now.
    async fn of(&mut self, user: UserId) -> Result<VecDeque<S>, FeedError> {
        let chats = &self.subscription.context.chats;
        let members = chats.memberships(user, &[self.subscription.chat]).await?;
        // As behind a page.
        self.subscription.membership().await?;
        Ok(members.iter().filter_map(S::of_member).collect())
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
