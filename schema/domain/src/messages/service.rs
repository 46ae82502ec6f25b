//! Who may send and read messages.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::model::{ClientMessageId, Message, MessageKind, MessageText};
use super::store::{Append, Appended, MessageStore};
use crate::access::{Access, AccessError, Membership};
use crate::clock::Clock;
use crate::error::service_error;
use crate::error::{ApiError, ErrorCode, Invalid, PortError};
use crate::events::bus::Bus;
use crate::events::event::{Event, Topic};
use crate::id::{ChatId, IdGenerator, MessageId};
use crate::limits::{Decision, RateLimiter, Rule};
use crate::page::{Page, Window};
use crate::seq::Seq;
use crate::viewer::Viewer;

/// Why a message was refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MessageError {
    /// An argument breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The viewer may not.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Too many messages were sent.
    #[error("You send messages too quickly. Wait a little.")]
    TooFast(Duration),
    /// A port failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl MessageError {
    fn api_error(&self) -> ApiError {
        match self {
            Self::Invalid(invalid) => invalid.into(),
            Self::Access(error) => error.clone().into(),
            Self::TooFast(wait) => {
                ApiError::new(ErrorCode::RateLimited, self.to_string()).retry_after(*wait)
            }
            Self::Port(error) => error.into(),
        }
    }
}

service_error!(MessageError);

/// A message that was sent.
pub type Sent = Appended;

/// Rules of messages.
pub struct MessageService {
    /// The messages.
    pub(crate) store: Arc<dyn MessageStore>,
    /// Who may do what.
    pub(crate) access: Arc<Access>,
    /// Where messages are published.
    pub(crate) bus: Arc<dyn Bus>,
    /// Holds back who sends too quickly.
    pub(crate) limiter: Arc<dyn RateLimiter>,
    /// How quickly one may send.
    pub(crate) send_rule: Rule,
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
    /// New ids.
    pub(crate) ids: IdGenerator,
}

impl MessageService {
    /// Sends a text message. When it returns, the message is durable and published.
    ///
    /// A retry with the same `client_message_id` returns the first message and publishes it
    /// again: if the first publication was lost, subscribers need not wait for their heartbeat,
    /// and those who have it drop it.
    ///
    /// # Errors
    /// Where there is no such chat, the viewer is no member or sends too quickly.
    pub async fn send(
        &self,
        viewer: &Viewer,
        chat: ChatId,
        text: MessageText,
        client_message_id: Option<ClientMessageId>,
    ) -> Result<Sent, MessageError> {
        let key = viewer.user_id.to_string();
        if let Decision::Denied(wait) = self.limiter.check(self.send_rule, &key).await? {
            return Err(MessageError::TooFast(wait));
        }
        let draft = Message {
            id: self.ids.next(),
            chat_id: chat,
            seq: 0,
            kind: MessageKind::Text,
            sender_id: Some(viewer.user_id),
            text: Some(text),
            client_message_id,
            created_at: self.clock.now(),
            edited_at: None,
            deleted_at: None,
        };
        let sent = match self.store.append(&draft).await? {
            Append::Done(sent) => *sent,
            Append::Denied(denied) => return Err(AccessError::from(denied).into()),
        };
        crate::metrics::message_sent(sent.is_duplicate);
        let event = Event::MessageAdded {
            message: sent.message.clone(),
            membership_epoch: sent.chat.membership_epoch,
        };
        crate::events::publish::announce(&*self.bus, Topic::Chat(chat), event).await;
        Ok(sent)
    }

    /// Those of these messages that lie in chats of the viewer.
    pub async fn visible(
        &self,
        viewer: &Viewer,
        ids: &[MessageId],
    ) -> Result<Vec<Message>, MessageError> {
        let mut messages = self.store.messages(ids).await?;
        let chats: HashSet<_> = messages.iter().map(|message| message.chat_id).collect();
        let chats: Vec<_> = chats.into_iter().collect();
        let memberships = self.access.memberships(viewer, &chats).await?;
        let allowed: HashSet<_> = memberships.iter().map(Membership::chat_id).collect();
        messages.retain(|message| allowed.contains(&message.chat_id));
        Ok(messages)
    }

    /// A page of a chat, oldest first.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn page(
        &self,
        membership: &Membership,
        window: &Window<Seq>,
    ) -> Result<Page<Message>, PortError> {
        self.store.page(membership.chat_id(), window).await
    }

    /// The newest message of each of these chats, which the viewer has been let into.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn last_messages(&self, chats: &[ChatId]) -> Result<Vec<Message>, PortError> {
        self.store.last_messages(chats).await
    }
}
