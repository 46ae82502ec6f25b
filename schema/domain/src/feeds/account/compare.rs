//! What the store says of all chats, or of some.

use std::collections::BTreeSet;

use metrics::counter;

use super::AccountFeed;
use super::item::{AccountEvent, AccountItem, EventCursor};
use super::line::Line;
use super::position::{AccountCursor, ChatPlace};
use crate::chats::model::Member;
use crate::events::event::Topic;
use crate::feeds::ends::Ends;
use crate::feeds::error::FeedError;
use crate::feeds::read_by_all::ReadByAll;
use crate::feeds::retry::retry_unavailable;
use crate::id::ChatId;
use crate::messages::store::Head;
use crate::metrics::{GAP_REPAIRS, RESYNCS};
use crate::seq::Seq;

impl AccountFeed {
    /// Compares with the store what the bus may not have brought.
    pub(super) async fn recover(&mut self) -> Result<(), FeedError> {
        let (_turn, missed) = self.recoverer.turn().await;
        if missed.all {
            self.compare_all().await?;
            let chats = self.lines.keys().copied().collect();
            self.compare_marks(chats).await?;
            self.recoverer.done();
            return Ok(());
        }
        let version = retry_unavailable!(self.context.version_of(self.viewer.user_id))?;
        let is_same = self.version == version;
        if missed.own {
            self.read_profile().await?;
        }
        if missed.own && !is_same {
            self.compare_all().await?;
        } else if is_same {
            let known = |chat: &ChatId| self.lines.contains_key(chat);
            let chats = missed.chats.iter().copied();
            let (known, others): (Vec<_>, Vec<_>) = chats.partition(known);
            self.stale.extend(others);
            self.compare_ends(known).await?;
        } else {
            self.stale.extend(&missed.chats);
            self.compare(self.stale.iter().copied().collect()).await?;
        }
        self.compare_marks(missed.chats.into_iter().collect())
            .await?;
        self.keep_to_limit();
        self.recoverer.done();
        Ok(())
    }

    /// Compares the ends of these chats with what was told.
    async fn compare_ends(&mut self, chats: Vec<ChatId>) -> Result<(), FeedError> {
        let heads = retry_unavailable!(self.context.heads(&chats))?;
        for head in heads.into_values() {
            // Whether the user is still a member, only a line that is told in detail says itself.
            let line = self.lines.get(&head.chat_id);
            if line.is_some_and(|line| !line.is_detailed && head.applied_seq > line.place.seq) {
                self.stale.insert(head.chat_id);
            }
            self.compare_head(head);
        }
        Ok(())
    }

    /// Compares everything with the store, so that nothing that was missed stays so.
    pub(super) async fn compare_all(&mut self) -> Result<(), FeedError> {
        self.compare_at = self.context.heartbeats.next();
        self.read_profile().await?;
        let user = self.viewer.user_id;
        // Before the memberships: what changes meanwhile is found the next time.
        let version = retry_unavailable!(self.context.version_of(user))?;
        let known = self.lines.keys().copied();
        if self.version == version {
            // The chats are the same ones, and so is what the user has of them.
            let chats = known.collect();
            self.compare_ends(chats).await?;
            if !self.unmade.is_empty() {
                self.compare(self.unmade.iter().copied().collect()).await?;
            }
        } else {
            let ids = retry_unavailable!(self.context.chat_ids_of(user))?;
            let chats: BTreeSet<_> = ids.into_iter().chain(known).collect();
            self.compare(chats.into_iter().collect()).await?;
            self.compare_left().await?;
            self.version = version;
        }
        self.keep_to_limit();
        Ok(())
    }

    /// Tells of the chats that the user joined and left before the stream has looked. A client may have
    /// read them in between.
    async fn compare_left(&mut self) -> Result<(), FeedError> {
        let user = self.viewer.user_id;
        let mut left = retry_unavailable!(self.context.left_chats_of(user))?;
        // What is followed says itself where it ends.
        left.retain(|chat, _| !self.lines.contains_key(chat));
        for (chat, seq) in self.left.note_all(left) {
            self.tell_removal(chat, seq);
        }
        Ok(())
    }

    /// Tells that the user is no member of a chat any more, which the stream does not follow.
    pub(super) fn tell_removal(&mut self, chat: ChatId, seq: Seq) {
        let place = ChatPlace {
            chat_id: chat,
            incarnation: self.incarnation,
            seq,
            change_seq: 0,
            without_detail: false,
        };
        let cursor = AccountCursor::Chat(place);
        self.put(AccountItem::ChatRemoved(chat), cursor);
    }

    /// Compares how far all others have read of these chats with what was told: where that may have
    /// moved, after an interruption in the chats that it concerns, on a heartbeat in all. Their receipts
    /// are on no line: this finds those that were missed. Of large groups it is not told.
    pub(super) async fn compare_marks(&mut self, chats: Vec<ChatId>) -> Result<(), FeedError> {
        let (user, context) = (self.viewer.user_id, &self.context);
        let mut told = Vec::with_capacity(chats.len());
        for chat in chats {
            match self.lines.get_mut(&chat) {
                Some(line) if !line.is_large => told.push(chat),
                Some(line) => line.read_by_all = ReadByAll::Unknown,
                None => {}
            }
        }
        let marks = retry_unavailable!(context.slowest_others(user, &told))?;
        for (chat, slowest) in marks {
            if let Some(line) = self.lines.get_mut(&chat) {
                let now = ReadByAll::of(slowest);
                if line.read_by_all.is_outdated_by(now) {
                    self.changed.insert(chat);
                }
                line.read_by_all = now;
            }
        }
        Ok(())
    }

    /// The same of the chats in which it may have moved.
    pub(super) async fn compare_moved_marks(&mut self) -> Result<(), FeedError> {
        let moved = self.moved_marks.iter().copied().collect();
        self.compare_marks(moved).await?;
        self.moved_marks.clear();
        Ok(())
    }

    /// Compares these chats with the store.
    pub(super) async fn compare(&mut self, chats: Vec<ChatId>) -> Result<(), FeedError> {
        for chat in &chats {
            if !self.lines.contains_key(chat) {
                let (bus, topic) = (&self.context.bus, Topic::Chat(*chat));
                retry_unavailable!(bus.follow(&mut self.receiver, topic))?;
            }
        }
        let user = self.viewer.user_id;
        let (heads, members) = retry_unavailable!(self.context.standing(user, &chats))?;
        for chat in chats {
            self.stale.remove(&chat);
            self.unmade.remove(&chat);
            match (heads.get(&chat), members.get(&chat)) {
                (Some(head), Some(member)) => self.compare_chat(member, *head),
                (None, Some(_)) if !self.lines.contains_key(&chat) => {
                    self.unmade.insert(chat);
                }
                (head, _) => self.lose(chat, head.copied()),
            }
            self.note(chat);
        }
        if self.moved_marks.is_empty() {
            return Ok(());
        }
        // Ahead of telling of a chat that is new: what moves behind that is news.
        self.compare_moved_marks().await
    }

    fn compare_chat(&mut self, member: &Member, head: Head) {
        let chat = member.chat_id;
        let is_detailed = self.is_detailed(chat);
        let Some(line) = self.lines.get_mut(&chat) else {
            let large = self.ready.large;
            let mut line = Line::new(member, head, large, is_detailed);
            if line.is_direct() {
                // What the other side has read since it is told is found in any case.
                line.read_by_all = ReadByAll::told(0);
            } else {
                self.moved_marks.insert(chat);
            }
            self.lines.insert(line);
            self.begin_anew(chat);
            return;
        };
        if line.joined_seq != member.joined_seq {
            line.restart(member, head.into());
            line.read_by_all = ReadByAll::Unknown;
            self.moved_marks.insert(chat);
            self.begin_anew(chat);
            return;
        }
        line.is_gone = false;
        // A store that has failed over may tell of an older state for a moment.
        let risen = member.version.saturating_sub(line.version);
        if let Some(told) = line.told_mut() {
            // Behind the ends: the user was a member when these were reached.
            told.confirm(head.applied_seq, member);
        }
        if risen > 0 {
            line.version = member.version;
            self.version = self.version.saturating_add(risen.into());
            self.changed.insert(chat);
        }
        self.compare_head(head);
    }

    fn compare_head(&mut self, head: Head) {
        let chat = head.chat_id;
        if let Some(line) = self.lines.get_mut(&chat) {
            line.is_large = self.ready.large.contains(head.member_count);
            let (before, ends) = (line.place, Ends::from(head));
            if !before.reach(ends) {
                counter!(GAP_REPAIRS, "found_by" => "head").increment(1);
            }
            if ends.reach(before) {
                line.note_reached();
                line.know(ends);
                if line.place != before {
                    self.changed.insert(chat);
                }
            } else {
                self.wait_for_store(chat, ends);
            }
        }
        self.note(chat);
    }

    /// The store does not go as far as what was told of a chat: it has failed over, and is older for
    /// a moment, or was set back. Then the chat is reset to what there is.
    fn wait_for_store(&mut self, chat: ChatId, ends: Ends) {
        let Some(line) = self.lines.get_mut(&chat) else {
            return;
        };
        let grace = self.context.policy.ahead_grace;
        let since = line.note_ahead();
        if since.elapsed() < grace {
            self.compare_at = self.compare_at.min(since + grace);
            return;
        }
        counter!(RESYNCS).increment(1);
        line.set_back(ends);
        self.ready.put(line, AccountItem::ChatReset(chat));
        self.changed.insert(chat);
        self.stale.insert(chat);
    }

    /// Tells of a chat that the client does not have, or no longer as it is.
    pub(super) fn begin_anew(&mut self, chat: ChatId) {
        if let Some(line) = self.lines.get(&chat) {
            // Who has only this one does not have the chat yet.
            let nowhere = ChatPlace {
                chat_id: chat,
                incarnation: self.incarnation,
                seq: 0,
                change_seq: 0,
                without_detail: true,
            };
            self.ready.push(AccountEvent {
                item: AccountItem::ChatChanged(chat),
                cursor: EventCursor::Event(AccountCursor::Chat(nowhere)),
            });
            self.ready.put(line, AccountItem::ChatReset(chat));
        }
        self.changed.remove(&chat);
    }

    /// The user is no member of the chat.
    fn lose(&mut self, chat: ChatId, head: Option<Head>) {
        match (self.lines.get_mut(&chat), head) {
            // The line says where that was, and what came before.
            (Some(line), Some(head)) if line.is_detailed => {
                line.is_gone = true;
                line.know(head.into());
            }
            (Some(_), _) => self.end(chat),
            (None, _) => self.receiver.unfollow(Topic::Chat(chat)),
        }
    }

    /// Has no more replayed than the policy allows: the chats of which most was missed are reset.
    pub(super) fn keep_to_limit(&mut self) {
        let limit = u64::from(self.context.policy.account_replay_limit);
        let missed = self.lines.values().map(|line| (line.missed(), line.chat));
        let mut missed: Vec<_> = missed.filter(|(count, _)| *count > 0).collect();
        let mut total: u64 = missed.iter().map(|(count, _)| count).sum();
        if total <= limit {
            return;
        }
        missed.sort_unstable();
        while total > limit
            && let Some((count, chat)) = missed.pop()
        {
            total -= count;
            counter!(RESYNCS).increment(1);
            if let Some(line) = self.lines.get_mut(&chat) {
                line.skip_to_known();
                self.ready.put(line, AccountItem::ChatReset(chat));
                self.changed.insert(chat);
            }
            self.note(chat);
        }
    }
}
