//! What the events of a chat say of how it looks, since a feed last told of it.

use std::sync::Arc;

use super::chat_state::ChatState;
use super::ends::Ends;
use crate::chats::model::Chat;
use crate::clock::Timestamp;
use crate::events::event::{Event, Published};
use crate::seq::Seq;

/// The events that a feed has seen since it knew of a place of the chat, as far as none is missing
/// among them.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// Behind this message it began.
    behind: Seq,
    /// Up to here it has seen all. What comes behind a gap is not taken, so this stays behind the
    /// ends that the feed knows.
    ends: Ends,
    /// The newest event of the last message.
    newest: Option<Arc<Published>>,
    /// When the newest of its messages was sent that make a chat active.
    active_at: Timestamp,
}

impl Run {
    /// No event is seen yet behind this place.
    pub(super) const fn at(ends: Ends) -> Self {
        Self {
            behind: ends.seq,
            ends,
            newest: None,
            active_at: Timestamp::from_millis(0),
        }
    }

    /// Takes the next event of a line. A change of a message that is not seen yet is not taken:
    /// what says that it was added shows it as it was before.
    pub(super) fn take(&mut self, published: &Arc<Published>) {
        match &published.event {
            Event::MessageAdded { message } if message.seq == self.ends.seq + 1 => {
                self.ends.seq = message.seq;
                self.newest = Some(Arc::clone(published));
                // What else a system message changes is in the state that this goes on from.
                if message.notice.is_none() {
                    self.active_at = self.active_at.max(message.created_at);
                }
            }
            Event::MessageChanged { message, .. }
                if message.change_seq == self.ends.change_seq + 1
                    && message.seq <= self.ends.seq =>
            {
                self.ends.change_seq = message.change_seq;
                if message.seq == self.ends.seq {
                    self.newest = Some(Arc::clone(published));
                }
            }
            _ => {}
        }
    }

    /// The state at `ends`, made of an earlier one; `None` where an event between them is missing,
    /// or is a system message: that changes more than it says.
    pub(super) fn state(&self, base: &ChatState, ends: Ends) -> Option<Arc<ChatState>> {
        let message = self.newest.as_ref()?.message()?;
        let fits = self.ends == ends
            && base.chat.applied_seq == message.mseq
            && base.chat.last_seq >= self.behind
            && ends.reach(base.ends());
        let chat = Chat {
            active_at: base.chat.active_at.max(self.active_at),
            last_seq: ends.seq,
            last_change_seq: ends.change_seq,
            ..base.chat.clone()
        };
        fits.then(|| ChatState::new(chat, Some(message.clone()), base.sides))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chats::model::ChatKind;
    use crate::id;
    use crate::messages::model::{Message, MessageText};

    const fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    const fn ends(seq: Seq, change_seq: Seq) -> Ends {
        Ends { seq, change_seq }
    }

    fn message(seq: Seq, text: &str) -> Message {
        let (own, chat, sender) = ([9; 16], [8; 16], [7; 16]);
        let text = MessageText::parse(text).unwrap();
        let mut message = Message::draft(
            id::from_bytes(own),
            id::from_bytes(chat),
            id::from_bytes(sender),
            text,
            at(i64::from(seq)),
        );
        (message.seq, message.mseq) = (seq, 1);
        message
    }

    fn added(seq: Seq) -> Arc<Published> {
        let message = message(seq, "new");
        Published::new(Event::MessageAdded { message })
    }

    fn changed(seq: Seq, change_seq: Seq) -> Arc<Published> {
        let mut message = message(seq, "changed");
        message.change_seq = change_seq;
        Published::new(Event::MessageChanged { message, mseq: 1 })
    }

    /// A chat at a place, behind one system message.
    fn base(seq: Seq, change_seq: Seq) -> Arc<ChatState> {
        let chat = Chat {
            id: id::from_bytes([8; 16]),
            kind: ChatKind::Group,
            created_at: at(0),
            active_at: at(3),
            last_seq: seq,
            member_count: 2,
            title: None,
            last_change_seq: change_seq,
            avatar_id: None,
            applied_seq: 1,
            metadata_seq: 0,
            is_closed: false,
        };
        ChatState::new(chat, Some(message(seq, "old")), None)
    }

    /// What is known at `ends` by a feed that knew (3, 2), saw these events and has this base.
    fn known(events: &[Arc<Published>], base: &ChatState, at: Ends) -> Option<Arc<ChatState>> {
        let mut run = Run::at(ends(3, 2));
        for event in events {
            run.take(event);
        }
        run.state(base, at)
    }

    #[test]
    fn what_is_said_and_changed_makes_the_next_state() {
        let all = [added(4), changed(2, 3), added(5), changed(5, 4)];
        for base in [base(3, 2), base(4, 2), base(5, 4)] {
            let state = known(&all, &base, ends(5, 4)).unwrap();
            assert_eq!((state.ends(), state.chat.active_at), (ends(5, 4), at(5)));
            let last = state.last_message.clone().unwrap();
            assert_eq!((last.seq, last.change_seq), (5, 4));
            assert_eq!(last.text.unwrap().as_str(), "changed");
            assert_eq!(state.chat.member_count, 2);
        }
        // The last message was there before.
        let state = known(&[changed(3, 3)], &base(3, 2), ends(3, 3)).unwrap();
        assert_eq!(state.last_message.as_ref().unwrap().change_seq, 3);
    }

    #[test]
    fn what_is_missing_is_not_made_up() {
        let base = base(3, 2);
        for (events, at) in [
            // A message, or a change, was lost.
            (vec![added(5)], ends(5, 2)),
            (vec![added(4), changed(2, 4)], ends(4, 4)),
            (vec![added(4), changed(2, 4), changed(2, 5)], ends(4, 5)),
            // The ends are known from elsewhere.
            (vec![added(4)], ends(4, 3)),
            (vec![added(4)], ends(5, 2)),
            // The change came first: the message as it was added is not how it is.
            (vec![changed(4, 3), added(4)], ends(4, 3)),
            (vec![changed(4, 3), added(4), changed(4, 4)], ends(4, 4)),
            // Nothing of the last message was seen.
            (vec![changed(2, 3)], ends(3, 3)),
            (vec![], ends(3, 2)),
        ] {
            assert!(known(&events, &base, at).is_none(), "{events:?}");
        }
    }

    #[test]
    fn a_base_that_does_not_fit_is_not_gone_on_from() {
        let all = [added(4), added(5)];
        // Older than what was seen, further than it, and of other members.
        for base in [base(2, 2), base(6, 2), base(5, 3)] {
            assert!(known(&all, &base, ends(5, 2)).is_none());
        }
        let mut other = base(3, 2).chat.clone();
        other.applied_seq = 3;
        let other = ChatState::new(other, None, None);
        assert!(known(&all, &other, ends(5, 2)).is_none());
        // A system message changes more than it says.
        let mut notice = message(4, "notice");
        notice.mseq = 4;
        let event = Published::new(Event::MessageAdded { message: notice });
        assert!(known(&[event], &base(3, 2), ends(4, 2)).is_none());
    }
}
