//! How a chat looks to all its viewers at one place of its lines.

use std::sync::Arc;

use super::ends::Ends;
use crate::chats::model::Chat;
use crate::events::rendering::Renderings;
use crate::id::UserId;
use crate::messages::model::Message;
use crate::seq::Seq;

/// A chat at a place of its lines.
#[derive(Debug)]
pub struct ChatState {
    /// The chat.
    pub chat: Chat,
    /// The message with the number `chat.last_seq`, as it was at this place.
    pub last_message: Option<Message>,
    /// The two members of a direct chat, who stay the same; `None` of a group, and where they are not
    /// known.
    pub sides: Option<[UserId; 2]>,
    /// What it looks like.
    pub renderings: Renderings,
}

impl ChatState {
    pub(super) fn new(
        chat: Chat,
        last_message: Option<Message>,
        sides: Option<[UserId; 2]>,
    ) -> Arc<Self> {
        Arc::new(Self {
            chat,
            last_message,
            sides,
            renderings: Renderings::default(),
        })
    }

    /// The other member of a direct chat than this one.
    pub fn peer_of(&self, user: UserId) -> Option<UserId> {
        let [one, other] = self.sides?;
        if one == user {
            Some(other)
        } else {
            (other == user).then_some(one)
        }
    }

    /// The same place, to be rendered anew; `None` where the last message could not be read.
    pub(super) fn again(&self) -> Option<Arc<Self>> {
        let is_whole = self.last_message.is_some() || self.chat.last_seq == 0;
        is_whole.then(|| Self::new(self.chat.clone(), self.last_message.clone(), self.sides))
    }

    /// The place.
    pub(super) fn ends(&self) -> Ends {
        Ends {
            seq: self.chat.last_seq,
            change_seq: self.chat.last_change_seq,
        }
    }

    /// Whether the chat and its message are of one place: neither was the message changed between
    /// two looks at the store, nor is it one whose effect on the chat is not in the store yet.
    pub(super) fn is_settled(&self) -> bool {
        let message = self.last_message.as_ref();
        message.is_none_or(|message| {
            message.change_seq <= self.chat.last_change_seq && message.mseq <= self.chat.applied_seq
        })
    }

    /// The number of the newest system message that a viewer must be known to have stayed behind,
    /// to see this.
    pub(super) fn mseq(&self) -> Seq {
        let of_message = self.last_message.as_ref().map_or(0, |message| {
            // Who is removed by a system message sees that one still.
            let notice = message.notice.as_ref();
            notice.map_or(message.mseq, |notice| notice.previous)
        });
        self.chat.applied_seq.max(of_message)
    }
}
