//! The message that a told message replies to. Feeds alone make it: they know from where on whom they
//! tell may read.

use super::chat_feed::ChatItem;
use crate::messages::model::Message;
use crate::messages::store::MessageAt;
use crate::seq::Seq;

/// The message that another one replies to, and whether whom the reply was told to may read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplyTarget {
    at: MessageAt,
    is_readable: bool,
}

impl ReplyTarget {
    /// What the message replies to, for a member who is told of it and may read from `visible_from` on;
    /// `None` where it is no reply.
    pub(super) fn of(message: &Message, visible_from: Seq) -> Option<Self> {
        let seq = message.reply_to?;
        // Up to the reply they may read, as they are told of it.
        Some(Self {
            at: (message.chat_id, seq),
            is_readable: (visible_from..message.seq).contains(&seq),
        })
    }

    /// Which message it is.
    pub const fn at(&self) -> MessageAt {
        self.at
    }

    /// Whether it may be read.
    pub const fn is_readable(&self) -> bool {
        self.is_readable
    }
}

impl ChatItem {
    /// What the chat's last message replies to; `None` where it is no reply.
    pub fn reply_target(&self) -> Option<ReplyTarget> {
        let last = self.state.last_message.as_ref()?;
        ReplyTarget::of(last, self.member.visible_from_seq)
    }
}
