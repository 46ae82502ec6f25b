//! Everything that concerns one user, of all their chats, in one resumable feed.
//!
//! | file | what |
//! |---|---|
//! | `position` | the checkpoint, and the cursors of events |
//! | `varint` | numbers in the checkpoint |
//! | `item` | what is delivered |
//! | `outbox` | what is delivered next |
//! | `line` | both lines of one chat: what is due of what came |
//! | `lines` | the lines of all chats |
//! | `open` | where each chat begins, at the present or behind a position |
//! | `signals` | what the bus brings |
//! | `compare` | what the store says of all chats, or of some |
//! | `read` | what is read of a chat's lines |
//! | `chat` | a chat as it is told as a whole |
//!
//! The feed delivers once and in order: the messages of a chat by number, its changes by theirs, each
//! change behind its message. What the bus does not bring is found by comparing the ends of all
//! chats and the versions of the memberships with what was told: on every heartbeat, and before it is told
//! that nothing is left to be told; after an interruption those of the chats that it concerns.

mod chat;
mod compare;
mod item;
mod line;
mod lines;
mod open;
mod outbox;
mod position;
mod read;
mod signals;
mod varint;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub use item::{AccountEvent, AccountItem, EventCursor};
pub use position::{AccountCursor, AccountPosition, ChatPlace, MAX_POSITION, MAX_SINCE};

use self::line::{Course, Line, Noticed};
use self::lines::Lines;
use self::outbox::Outbox;
use super::context::FeedContext;
use super::error::FeedError;
use super::feed::Feed;
use super::left_chats::LeftChats;
use super::recovery::Recoverer;
use super::timer::Timer;
use crate::events::hub::{Receiver, Signal};
use crate::id::ChatId;
use crate::incarnation::Incarnation;
use crate::viewer::Viewer;

/// How many signals are taken before what they bring is delivered.
const SIGNALS: usize = 256;

/// Everything that concerns one user.
pub struct AccountFeed {
    context: Arc<FeedContext>,
    receiver: Receiver,
    viewer: Viewer,
    /// The chats that are told in detail; `None` for all.
    detail: Option<BTreeSet<ChatId>>,
    /// The user's chats.
    lines: Lines,
    left: LeftChats,
    /// To be delivered next, in order.
    ready: Outbox,
    /// Chats that look different, each told once however often.
    changed: BTreeSet<ChatId>,
    /// Chats that are to be compared with the store.
    stale: BTreeSet<ChatId>,
    /// Chats that the user has joined and that are not shown yet: they are being made. What makes
    /// them shown changes no version of the user's own.
    unmade: BTreeSet<ChatId>,
    /// Chats of which something is to be read.
    behind: BTreeSet<ChatId>,
    /// Chats of which something waits for a gap to fill.
    gaps: BTreeSet<ChatId>,
    /// The user's profile is to be told.
    viewer_changed: bool,
    /// A hash of the profile that was told.
    profile: Option<u64>,
    /// All chats are to be compared with the store, at this time at the latest.
    compare_at: Instant,
    timer: Timer,
    /// The version of all the user's memberships together, as they were told. Each only rises, so that
    /// none has changed while the sum has not.
    version: u64,
    /// The store's when the feed was opened.
    incarnation: Incarnation,
    /// What the bus may not have brought.
    recoverer: Recoverer,
    /// It is to be compared how far all others have read of each chat.
    marks_are_due: bool,
    /// Chats in which that may have moved.
    moved_marks: BTreeSet<ChatId>,
    /// It is to be told that nothing is left, once that is so.
    owes_caught_up: bool,
    /// How many events were delivered since the last checkpoint.
    delivered: u32,
    /// Since when anything was.
    delivered_since: Option<Instant>,
}

impl Feed for AccountFeed {
    type Item = AccountEvent;

    // What is rarely done waits in a box, so that a feed that waits is small.
    async fn next(&mut self) -> Result<AccountEvent, FeedError> {
        loop {
            self.context.check(self.incarnation)?;
            if let Some(event) = self.ready.take() {
                self.delivered += 1;
                self.delivered_since.get_or_insert_with(Instant::now);
                return Ok(event);
            }
            if std::mem::take(&mut self.viewer_changed) {
                let cursor = AccountCursor::of_viewer(self.viewer.user_id);
                self.put(AccountItem::ViewerChanged, cursor);
            } else if !self.stale.is_empty() {
                let stale = self.stale.iter().copied().collect();
                Box::pin(self.compare(stale)).await?;
            } else if !self.moved_marks.is_empty() {
                Box::pin(self.compare_moved_marks()).await?;
            } else if let Some(chat) = self.changed.pop_first() {
                if let Some(line) = self.lines.get(&chat) {
                    self.ready.put(line, AccountItem::ChatChanged(chat));
                }
            } else if self.checkpoint_is_due() && !self.behind.is_empty() {
                return Ok(self.checkpoint(false));
            } else if let Some(chat) = self.behind.first().copied() {
                Box::pin(self.read(chat)).await?;
            } else if self.owes_caught_up {
                return Ok(self.checkpoint(true));
            } else if self.checkpoint_is_due() {
                self.owes_caught_up = true;
                Box::pin(self.compare_all()).await?;
                self.marks_are_due = true;
            } else if self.compare_at <= Instant::now() {
                Box::pin(self.compare_all()).await?;
                self.marks_are_due = true;
            } else if self.recoverer.at().is_some_and(|at| at <= Instant::now()) {
                Box::pin(self.recover()).await?;
            } else if std::mem::take(&mut self.marks_are_due) {
                let chats = self.lines.keys().copied().collect();
                Box::pin(self.compare_marks(chats)).await?;
            } else {
                self.wait().await?;
            }
        }
    }
}

impl AccountFeed {
    fn put(&mut self, item: AccountItem, cursor: AccountCursor) {
        let cursor = EventCursor::Event(cursor);
        self.ready.push(AccountEvent { item, cursor });
    }

    fn is_detailed(&self, chat: ChatId) -> bool {
        let detail = self.detail.as_ref();
        detail.is_none_or(|chats| chats.contains(&chat))
    }

    fn checkpoint_is_due(&self) -> bool {
        let policy = self.context.policy;
        self.delivered >= policy.checkpoint_events
            || self.checkpoint_at().is_some_and(|at| at <= Instant::now())
    }

    fn checkpoint_at(&self) -> Option<Instant> {
        let since = self.delivered_since?;
        Some(since + self.context.policy.checkpoint_after)
    }

    fn checkpoint(&mut self, is_caught_up: bool) -> AccountEvent {
        let places = self.lines.values();
        let places: Vec<_> = places.map(|line| (line.chat, line.as_place())).collect();
        self.delivered = 0;
        self.delivered_since = None;
        self.owes_caught_up &= !is_caught_up;
        let user = self.viewer.user_id;
        let named = places.iter().map(|(_, place)| u64::from(place.version));
        let others = self.version.saturating_sub(named.sum());
        let text = AccountPosition::encode(user, self.incarnation, others, &places);
        AccountEvent {
            item: AccountItem::Checkpoint { is_caught_up },
            cursor: EventCursor::Checkpoint(text),
        }
    }

    /// Waits for a signal, or until something else is to be done, and does it.
    async fn wait(&mut self) -> Result<(), FeedError> {
        let grace = self.context.policy.reorder_grace;
        let lines = &self.lines;
        let since = |chat: &ChatId| lines.get(chat).and_then(Line::gap_since);
        let gap = self.gaps.iter().filter_map(since).min();
        let gap = gap.map(|since| since + grace);
        let times = [gap, self.checkpoint_at(), self.recoverer.at()];
        let until = times
            .into_iter()
            .flatten()
            .fold(self.compare_at, Instant::min);
        match self.timer.until(until, self.receiver.recv()).await {
            // In a box, so that a feed that waits needs no room for it.
            Some(signal) => Box::pin(self.take_all(signal)).await?,
            None => self.repair(grace),
        }
        Ok(())
    }

    /// Takes a signal, and what else has come by then.
    async fn take_all(&mut self, signal: Signal) -> Result<(), FeedError> {
        self.take(signal).await?;
        for _ in 0..SIGNALS {
            let Some(signal) = self.receiver.try_recv() else {
                break;
            };
            self.take(signal).await?;
        }
        Ok(())
    }

    /// Has the store read what early items have waited for long enough.
    fn repair(&mut self, grace: Duration) {
        for chat in std::mem::take(&mut self.gaps) {
            let Some(line) = self.lines.get_mut(&chat) else {
                continue;
            };
            match line.gap_since() {
                Some(since) if since.elapsed() >= grace => {
                    line.repair();
                    self.behind.insert(chat);
                }
                Some(_) => {
                    self.gaps.insert(chat);
                }
                None => {}
            }
        }
    }

    /// Delivers what is due of a chat.
    async fn release(&mut self, chat: ChatId) -> Result<(), FeedError> {
        loop {
            let Some(line) = self.lines.get_mut(&chat) else {
                return Ok(());
            };
            let course = line.release(self.viewer.user_id, &mut self.ready);
            match std::mem::take(&mut line.noticed) {
                Noticed::Nothing => {}
                Noticed::Chat => {
                    self.changed.insert(chat);
                    self.moved_marks.insert(chat);
                }
                Noticed::Member => {
                    self.changed.insert(chat);
                    self.moved_marks.insert(chat);
                    // The version of the membership has changed with it.
                    self.stale.insert(chat);
                }
            }
            match course {
                Course::GoesOn => break,
                Course::Ends => {
                    self.end(chat);
                    return Ok(());
                }
                Course::Unclear => {
                    if Box::pin(self.is_ended(chat)).await? {
                        self.end(chat);
                        return Ok(());
                    }
                }
            }
        }
        if self.lines.get(&chat).is_some_and(Line::is_uncertain) {
            Box::pin(self.ask_for_receipts(chat)).await?;
        }
        self.note(chat);
        Ok(())
    }

    /// Notes what is to be done for a chat.
    fn note(&mut self, chat: ChatId) {
        if let Some(line) = self.lines.get(&chat) {
            if line.wants().is_some() {
                self.behind.insert(chat);
            } else {
                self.behind.remove(&chat);
            }
            if line.gap_since().is_some() {
                self.gaps.insert(chat);
            } else {
                self.gaps.remove(&chat);
            }
        }
    }

    /// Tells that the user is no member of the chat any more. Whether they are one again, the store
    /// is asked.
    fn end(&mut self, chat: ChatId) {
        if let Some(line) = self.lines.remove(&chat) {
            self.left.note(chat, line.place.seq);
            self.ready.put(&line, AccountItem::ChatRemoved(chat));
        }
        self.changed.remove(&chat);
        self.moved_marks.remove(&chat);
        self.behind.remove(&chat);
        self.gaps.remove(&chat);
        self.stale.insert(chat);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So much an account holds beside its lines while it waits: a stream has one for as long as it is
    /// open.
    #[test]
    fn a_feed_that_waits_is_small() {
        assert!(
            size_of::<AccountFeed>() <= 512,
            "{}",
            size_of::<AccountFeed>()
        );
    }
}
