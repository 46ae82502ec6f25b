//! Which of the unread messages of a chat are counted.

use crate::id::UserId;
use crate::messages::model::{Message, MessageKind};

/// Which of the unread messages are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// All.
    Messages,
    /// Those that mention the viewer.
    Mentions,
}

impl Counted {
    /// Whether a message that is added counts for the user.
    pub(super) fn counts(self, message: &Message, user: UserId) -> bool {
        match self {
            Self::Messages => is_news(message, user),
            Self::Mentions => message.mentions(user),
        }
    }
}

/// Whether the message is somebody else's.
pub(super) fn is_news(message: &Message, user: UserId) -> bool {
    message.kind != MessageKind::System && message.sender_id != Some(user)
}
