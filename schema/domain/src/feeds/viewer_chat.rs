//! What one viewer has of a chat for themself, kept in memory by a feed: the membership, how much is
//! unread, and how much of that mentions them.

use std::sync::Arc;

use super::context::FeedContext;
use super::counted::{Counted, is_news};
use super::ends::Ends;
use crate::chats::model::Member;
use crate::error::PortError;
use crate::events::event::Event;
use crate::id::UserId;
use crate::messages::model::Message;
use crate::seq::Seq;

/// What is not read of a chat, at a place of its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unread {
    at: Ends,
    /// What lies above counts.
    base: Seq,
    count: u32,
}

/// How often a count is taken again because the chat has moved meanwhile.
const TRIES: u32 = 3;

/// How much of a chat is unread, once that was asked for. Then it follows the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UnreadCount {
    of: Counted,
    known: Option<Unread>,
}

impl UnreadCount {
    /// Not known yet.
    pub(super) const fn of(of: Counted) -> Self {
        Self { of, known: None }
    }

    /// Follows an event of the chat. One that is not the next of its line makes the count unknown;
    /// one that is in the count already does nothing.
    pub(super) fn take(&mut self, event: &Event, user: UserId) {
        let Some(unread) = &mut self.known else {
            return;
        };
        let goes_on = match event {
            Event::MessageAdded { message } => unread.add(message, self.of.counts(message, user)),
            Event::MessageChanged { message, .. } => unread.change(message, user, self.of),
            _ => true,
        };
        if !goes_on {
            self.known = None;
        }
    }

    /// The membership is now this.
    pub(super) fn set_member(&mut self, member: &Member) {
        let base = member.unread_base();
        self.known = self.known.filter(|unread| unread.base == base).or_else(|| {
            // All is read: there is nothing to count.
            let unread = self.known.filter(|unread| base >= unread.at.seq)?;
            Some(Unread {
                base,
                count: 0,
                ..unread
            })
        });
    }

    /// The count at `ends`, where it is known for just there.
    pub(super) fn known_at(&self, ends: Ends) -> Option<u32> {
        let unread = self.known.filter(|unread| unread.at == ends)?;
        Some(unread.count)
    }

    /// The count at `ends`; read from the store where it is not known. `None` where the chat moves
    /// too fast for that.
    pub(super) async fn at(
        &mut self,
        ends: Ends,
        member: &Member,
        context: &Arc<FeedContext>,
    ) -> Result<Option<u32>, PortError> {
        if !self.known.is_some_and(|unread| unread.at.reach(ends)) {
            self.known = read(self.of, member, context).await?;
        }
        Ok(self.known_at(ends))
    }
}

impl Unread {
    fn add(&mut self, message: &Message, counts: bool) -> bool {
        if message.seq <= self.at.seq {
            return true;
        }
        let is_next = message.seq == self.at.seq + 1;
        self.at.seq = message.seq;
        if message.seq > self.base && counts {
            self.count += 1;
        }
        is_next
    }

    fn change(&mut self, message: &Message, user: UserId, of: Counted) -> bool {
        if message.change_seq <= self.at.change_seq {
            return true;
        }
        let is_next = message.change_seq == self.at.change_seq + 1;
        self.at.change_seq = message.change_seq;
        if message.seq <= self.base || !is_news(message, user) {
            return is_next;
        }
        if of == Counted::Mentions {
            return is_next && self.change_mentions(message, user);
        }
        if message.deleted_at.is_some() {
            // A message is deleted once.
            let (count, is_less) = self.count.overflowing_sub(1);
            self.count = count;
            return is_next && !is_less && message.seq <= self.at.seq;
        }
        is_next
    }
}

impl Unread {
    /// An event does not say whom the message mentioned before its content was changed: that is known
    /// only where nothing was counted.
    fn change_mentions(&mut self, message: &Message, user: UserId) -> bool {
        if message.content_seq != message.change_seq {
            return true;
        }
        let is_known = self.count == 0 && message.seq <= self.at.seq;
        self.count += u32::from(is_known && message.mentions(user));
        is_known
    }
}

/// Counts between two equal heads, and for the membership that is known: what was counted belongs to
/// their place.
async fn read(
    of: Counted,
    member: &Member,
    context: &Arc<FeedContext>,
) -> Result<Option<Unread>, PortError> {
    let (chat, user) = (member.chat_id, member.user_id);
    for _ in 0..TRIES {
        let before = context.head(chat).await?;
        let counted = match of {
            Counted::Messages => {
                let count = context.unread_count(user, chat).await?;
                let now = context.member(user, chat).await?;
                count.zip(now.map(|now| now.version))
            }
            Counted::Mentions => context.unread_mentions(user, chat).await?,
        };
        let behind = context.head(chat).await?;
        let (Some(head), Some((count, version))) = (behind, counted) else {
            return Ok(None);
        };
        if version != member.version {
            // The event about it follows.
            return Ok(None);
        }
        if before == behind {
            return Ok(Some(Unread {
                at: head.into(),
                base: member.unread_base(),
                count,
            }));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::id;
    use crate::messages::model::MessageText;

    const NOW: Timestamp = Timestamp::from_millis(0);

    fn user(n: u8) -> UserId {
        id::from_bytes([n; 16])
    }

    fn message(seq: Seq, sender: u8) -> Message {
        let text = MessageText::parse("hi").unwrap();
        let mut message = Message::draft(
            id::from_bytes([9; 16]),
            id::from_bytes([8; 16]),
            user(sender),
            text,
            NOW,
        );
        message.seq = seq;
        message
    }

    fn added(seq: Seq, sender: u8) -> Event {
        Event::MessageAdded {
            message: message(seq, sender),
        }
    }

    fn deleted(seq: Seq, sender: u8, change_seq: Seq) -> Event {
        let mut message = message(seq, sender);
        message.change_seq = change_seq;
        message.deleted_at = Some(NOW);
        Event::MessageChanged { message, mseq: 0 }
    }

    fn count_of(of: Counted, [seq, change_seq]: [Seq; 2], base: Seq, count: u32) -> UnreadCount {
        let at = Ends { seq, change_seq };
        let known = Some(Unread { at, base, count });
        UnreadCount { of, known }
    }

    fn count(seq: Seq, change_seq: Seq, base: Seq, count: u32) -> UnreadCount {
        count_of(Counted::Messages, [seq, change_seq], base, count)
    }

    fn mentions(seq: Seq, change_seq: Seq, base: Seq, count: u32) -> UnreadCount {
        count_of(Counted::Mentions, [seq, change_seq], base, count)
    }

    /// A message that mentions these users.
    fn naming(seq: Seq, sender: u8, users: &[u8]) -> Message {
        let mut message = message(seq, sender);
        message.mention_ids = users.iter().copied().map(user).collect();
        message
    }

    fn named(seq: Seq, sender: u8, users: &[u8]) -> Event {
        let message = naming(seq, sender, users);
        Event::MessageAdded { message }
    }

    /// A message whose content was changed: these users are mentioned now.
    fn renamed(seq: Seq, sender: u8, users: &[u8], change_seq: Seq) -> Event {
        let mut message = naming(seq, sender, users);
        (message.change_seq, message.content_seq) = (change_seq, change_seq);
        Event::MessageChanged { message, mseq: 0 }
    }

    #[test]
    fn a_count_follows_what_is_said_and_deleted() {
        let mut unread = count(5, 2, 3, 2);
        for event in [
            added(6, 2),
            added(7, 1),
            // Doubled, and late.
            added(6, 2),
            // Another's, one's own, one that was read.
            deleted(5, 2, 3),
            deleted(5, 2, 3),
            deleted(7, 1, 4),
            deleted(3, 2, 5),
        ] {
            unread.take(&event, user(1));
        }
        assert_eq!(unread, count(7, 5, 3, 2));
    }

    #[test]
    fn what_is_missing_makes_it_unknown() {
        for event in [
            added(7, 2),
            added(7, 1),
            deleted(5, 2, 4),
            // Deleted before it was told.
            deleted(6, 2, 3),
        ] {
            let mut unread = count(5, 2, 3, 2);
            unread.take(&event, user(1));
            assert_eq!(unread.known, None, "{event:?}");
        }
    }

    #[test]
    fn mentions_follow_what_is_said() {
        let mut unread = mentions(5, 2, 3, 0);
        for event in [
            named(6, 2, &[3]),
            // One's own, and of one that was read.
            named(7, 1, &[1]),
            renamed(3, 2, &[1], 3),
            renamed(7, 1, &[1, 3], 4),
            // Nothing was counted before: what it names now is all there is.
            renamed(6, 2, &[], 5),
            renamed(6, 2, &[3, 1], 6),
            named(8, 2, &[1]),
            named(8, 2, &[1]),
        ] {
            unread.take(&event, user(1));
        }
        assert_eq!(unread, mentions(8, 6, 3, 2));
        // Not the content was changed.
        let mut message = naming(8, 2, &[1]);
        (message.change_seq, message.content_seq) = (7, 0);
        unread.take(&Event::MessageChanged { message, mseq: 0 }, user(1));
        assert_eq!(unread, mentions(8, 7, 3, 2));
    }

    #[test]
    fn what_was_mentioned_before_is_not_known() {
        for event in [
            // Deleted, or changed, where some are counted.
            renamed(5, 2, &[], 3),
            renamed(5, 2, &[1], 3),
            // Changed before it was told.
            renamed(6, 2, &[], 3),
            // Something is missing.
            renamed(5, 2, &[], 4),
            named(7, 2, &[1]),
        ] {
            let mut unread = mentions(5, 2, 3, 1);
            unread.take(&event, user(1));
            assert_eq!(unread.known, None, "{event:?}");
        }
        let mut unread = mentions(5, 2, 3, 0);
        unread.take(&renamed(6, 2, &[1], 3), user(1));
        assert_eq!(unread.known, None, "changed before it was told");
    }

    #[test]
    fn a_mark_at_the_end_leaves_nothing_to_count() {
        let mut member = Member::of_direct(id::from_bytes([8; 16]), user(1), NOW);
        member.last_read_seq = 3;
        let mut unread = count(5, 2, 3, 2);
        unread.set_member(&member);
        assert_eq!(unread, count(5, 2, 3, 2));
        member.last_read_seq = 6;
        unread.set_member(&member);
        assert_eq!(unread, count(5, 2, 6, 0));
        unread.take(&added(6, 2), user(1));
        unread.take(&added(7, 2), user(1));
        assert_eq!(unread, count(7, 2, 6, 1));
        member.last_read_seq = 6;
        member.joined_seq = 5;
        unread.set_member(&member);
        assert_eq!(unread, count(7, 2, 6, 1));
        member.last_read_seq = 4;
        unread.set_member(&member);
        assert_eq!(unread.known, None);
    }
}
