//! What the bus brings.

use std::sync::Arc;

use super::AccountFeed;
use super::line::Line;
use crate::chats::model::ChatKind;
use crate::events::event::{Event, Published};
use crate::events::hub::Signal;
use crate::feeds::ends::Ends;
use crate::feeds::error::FeedError;
use crate::id::ChatId;
use crate::messages::model::Message;
use crate::seq::Seq;

impl AccountFeed {
    pub(super) async fn take(&mut self, signal: Signal) -> Result<(), FeedError> {
        match signal {
            Signal::Missed(topic) => {
                self.recoverer.note(Some(topic));
                Ok(())
            }
            Signal::Interrupted => {
                self.recoverer.note(None);
                Ok(())
            }
            Signal::Event(event) => self.take_event(&event).await,
        }
    }

    async fn take_event(&mut self, published: &Arc<Published>) -> Result<(), FeedError> {
        match &published.event {
            Event::MessageAdded { message } => {
                self.tell_chat(message.chat_id, published);
                self.take_message(message, published).await
            }
            Event::MessageChanged { message, mseq } => {
                self.tell_chat(message.chat_id, published);
                self.take_change(message, *mseq, published).await
            }
            Event::ReadReceipt {
                receipt,
                chat_kind,
                mseq,
            } => {
                let chat = receipt.chat_id;
                let Some(line) = self.lines.get_mut(&chat) else {
                    return Ok(());
                };
                if receipt.user_id == self.viewer.user_id {
                    // The version of the membership has changed with it.
                    self.stale.insert(chat);
                    return Ok(());
                }
                if line.may_be_moved_by(receipt.user_id) {
                    self.moved_marks.insert(chat);
                }
                if line.is_detailed {
                    line.take_receipt(*receipt, *mseq, published);
                    return self.release(chat).await;
                }
                if *chat_kind == ChatKind::Direct {
                    line.see_mark(receipt.user_id, receipt.last_read_seq);
                    self.changed.insert(chat);
                }
                Ok(())
            }
            Event::ChatJoined { chat_id } | Event::ViewerChatChanged { chat_id } => {
                self.stale.insert(*chat_id);
                Ok(())
            }
            Event::ChatLeft { chat_id, left_seq } => {
                match self.lines.get_mut(chat_id) {
                    Some(line) if line.is_detailed => {
                        line.take_end(*left_seq);
                        self.note(*chat_id);
                    }
                    Some(_) => {
                        self.stale.insert(*chat_id);
                    }
                    None => {}
                }
                Ok(())
            }
            // Who is blocked is not told of it.
            Event::BlockChanged { blocker_id, .. } if *blocker_id != self.viewer.user_id => Ok(()),
            Event::ViewerChanged | Event::BlockChanged { .. } => {
                self.viewer_changed = true;
                Box::pin(self.read_profile()).await
            }
            Event::Typing { .. } | Event::SessionRevoked { .. } | Event::PresenceChanged(_) => {
                Ok(())
            }
        }
    }

    /// Has the chat as it was told as a whole follow an event of it.
    fn tell_chat(&mut self, chat: ChatId, published: &Arc<Published>) {
        let line = self.lines.get_mut(&chat);
        if let Some(told) = line.and_then(Line::told_mut) {
            told.take(published, self.viewer.user_id);
        }
    }

    async fn take_message(
        &mut self,
        message: &Message,
        published: &Arc<Published>,
    ) -> Result<(), FeedError> {
        let ends = Ends {
            seq: message.seq,
            change_seq: 0,
        };
        if self.take_without_detail(message, ends, message.mseq) {
            return Ok(());
        }
        if let Some(line) = self.lines.get_mut(&message.chat_id) {
            line.take_message(message, published);
        }
        self.release(message.chat_id).await
    }

    async fn take_change(
        &mut self,
        message: &Message,
        mseq: Seq,
        published: &Arc<Published>,
    ) -> Result<(), FeedError> {
        let ends = Ends {
            seq: 0,
            change_seq: message.change_seq,
        };
        if self.take_without_detail(message, ends, mseq) {
            return Ok(());
        }
        if let Some(line) = self.lines.get_mut(&message.chat_id) {
            line.take_change(message, mseq, published);
        }
        self.release(message.chat_id).await
    }

    /// Notes that there is something new in a chat that is not told in detail. Whether the user is
    /// still a member behind a system message, the store is asked first.
    fn take_without_detail(&mut self, message: &Message, ends: Ends, mseq: Seq) -> bool {
        let chat: ChatId = message.chat_id;
        match self.lines.get_mut(&chat) {
            Some(line) if !line.is_detailed => {
                if mseq > line.place.seq || message.notice.is_some() {
                    self.stale.insert(chat);
                    self.moved_marks.insert(chat);
                }
                line.know(ends);
                self.changed.insert(chat);
                true
            }
            Some(_) => false,
            None => true,
        }
    }
}
