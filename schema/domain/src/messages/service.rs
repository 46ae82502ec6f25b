//! Who may send and read messages.

use std::sync::Arc;
use std::time::Duration;

use super::model::{ClientMessageId, Fingerprint, Message, MessageKind, MessageText};
use super::rules::{ChangeAction, ChangeRefusal, MessageChange};
use super::store::{Append, Appended, Changed, MessageStore};
use crate::access::{Access, AccessError, Membership};
use crate::attachments::claiming::{Claim, check_list};
use crate::attachments::error::AttachmentError;
use crate::attachments::model::{Attachment, AttachmentKind, UsedBy};
use crate::attachments::service::AttachmentService;
use crate::chats::model::MemberRole;
use crate::clock::Clock;
use crate::error::service_error;
use crate::error::{ApiError, ErrorCode, Invalid, PortError};
use crate::id::{self, AttachmentId, ChatId, IdGenerator, MessageId};
use crate::jobs::model::Task;
use crate::jobs::runner::JobRunner;
use crate::keyed_hash::KeyedHash;
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
    /// A change was refused.
    #[error(transparent)]
    Change(#[from] ChangeRefusal),
    /// The sender has sent something else under the same id of their own.
    #[error("Another message was sent with this `clientMessageId`.")]
    OtherContent,
    /// The chat's line has no number left.
    #[error("The chat takes no further messages.")]
    Full,
    /// Too many messages were sent.
    #[error("You send messages too quickly. Wait a little.")]
    TooFast(Duration),
    /// Attachments were refused.
    #[error(transparent)]
    Attachment(#[from] AttachmentError),
    /// A port failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl MessageError {
    fn api_error(&self) -> ApiError {
        match self {
            Self::Invalid(invalid) => invalid.into(),
            Self::Access(error) => error.clone().into(),
            Self::Change(refusal) => (*refusal).into(),
            Self::OtherContent => {
                ApiError::new(ErrorCode::Conflict, self.to_string()).field("clientMessageId")
            }
            Self::Full => ApiError::new(ErrorCode::Conflict, self.to_string()).field("chatId"),
            Self::TooFast(wait) => {
                ApiError::new(ErrorCode::RateLimited, self.to_string()).retry_after(*wait)
            }
            Self::Attachment(error) => error.clone().into(),
            Self::Port(error) => error.into(),
        }
    }
}

service_error!(MessageError);

/// How long the erasing of attachments waits for the deletion of their message, which it is written
/// ahead of.
const ERASE_DELAY: Duration = Duration::from_secs(2);

/// A message that was sent.
pub type Sent = Appended;

/// Rules of messages.
pub struct MessageService {
    /// The messages.
    pub(crate) store: Arc<dyn MessageStore>,
    /// Who may do what.
    pub(crate) access: Arc<Access>,
    /// Holds back who sends too quickly.
    pub(crate) limiter: Arc<dyn RateLimiter>,
    /// How quickly one may send.
    pub(crate) send_rule: Rule,
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
    /// New ids.
    pub(crate) ids: IdGenerator,
    /// Makes fingerprints of what was sent.
    pub(crate) hash: KeyedHash,
    /// What messages have attached.
    pub(crate) attachments: Arc<AttachmentService>,
    /// Erases what deleted messages had attached.
    pub(crate) jobs: JobRunner,
}

impl MessageService {
    /// Sends a text message. When it returns, the message is durable; the store has handed it over
    /// to be published.
    ///
    /// A retry with the same `client_message_id` returns the first message as it is now, also where
    /// it was edited or deleted, and is published again: if the first publication was lost,
    /// subscribers need not wait for their heartbeat, and those who have it drop it.
    ///
    /// # Errors
    /// Where there is no such chat, the viewer is no member, sends too quickly, or has sent
    /// something else under the same `client_message_id`.
    pub async fn send(
        &self,
        viewer: &Viewer,
        chat: ChatId,
        text: MessageText,
        client_message_id: Option<ClientMessageId>,
    ) -> Result<Sent, MessageError> {
        self.send_with(viewer, chat, Some(text), &[], client_message_id)
            .await
    }

    /// Sends a message as [`Self::send`] does, of a text, or attachments of the viewer, or both.
    ///
    /// # Errors
    /// As [`Self::send`], and where it is empty, or an attachment is not the viewer's, was not received
    /// or is used.
    pub async fn send_with(
        &self,
        viewer: &Viewer,
        chat: ChatId,
        text: Option<MessageText>,
        attachments: &[AttachmentId],
        client_message_id: Option<ClientMessageId>,
    ) -> Result<Sent, MessageError> {
        if text.is_none() && attachments.is_empty() {
            return Err(Invalid::new("text", "must not be empty").into());
        }
        check_list(attachments)?;
        self.admit(viewer).await?;
        let fingerprint = client_message_id
            .is_some()
            .then(|| self.fingerprint(chat, text.as_ref(), attachments));
        let mut draft = Message {
            text,
            attachments: attachments.to_vec(),
            client_message_id,
            fingerprint,
            ..Message::empty(
                self.ids.next_message(chat),
                chat,
                viewer.user_id,
                self.clock.now(),
            )
        };
        let claimed = self.attach(viewer, &mut draft).await?;
        let sent = match self.store.append(&draft).await? {
            Append::Done(sent) => *sent,
            refused => {
                self.attachments.release(&claimed).await?;
                return Err(match refused {
                    Append::Denied(denied) => AccessError::from(denied).into(),
                    _ => MessageError::Full,
                });
            }
        };
        if sent.message.id == draft.id {
            self.attachments.settle(&claimed).await;
        } else {
            self.attachments.release(&claimed).await?;
        }
        // What was kept before there were fingerprints has none, and is taken to be the same.
        if sent.is_duplicate
            && let Some(before) = sent.message.fingerprint
            && Some(before) != fingerprint
        {
            return Err(MessageError::OtherContent);
        }
        crate::metrics::message_sent(sent.is_duplicate);
        Ok(sent)
    }

    /// Claims the draft's attachments and says by them what kind of message it is. Those are returned
    /// that were not claimed before. Where all of them were, for a message that never came, the draft
    /// takes its place: a first try was broken off behind its claim.
    async fn attach(
        &self,
        viewer: &Viewer,
        draft: &mut Message,
    ) -> Result<Vec<Attachment>, MessageError> {
        const FIELD: &str = "attachmentIds";
        if draft.attachments.is_empty() {
            return Ok(Vec::new());
        }
        let by = UsedBy::Message(draft.id);
        let wanted = &draft.attachments;
        let field = |place| format!("{FIELD}.{place}");
        let claim = self.attachments.claim(viewer, wanted, by, &field).await?;
        let (found, claimed) = match claim {
            Claim::Done(claimed) => (claimed.clone(), claimed),
            Claim::Before(message, found) => {
                let other = self.store.messages(&[message]).await?.pop();
                let is_same = |other: Message| {
                    other.client_message_id == draft.client_message_id
                        && other.chat_id == draft.chat_id
                };
                if draft.client_message_id.is_none() || !other.is_none_or(is_same) {
                    return Err(AttachmentError::InUse(FIELD.to_owned()).into());
                }
                draft.id = message;
                (found, Vec::new())
            }
        };
        let mut kinds = found.iter().map(Attachment::kind);
        draft.kind = if kinds.any(|kind| kind == AttachmentKind::Image) {
            MessageKind::Image
        } else {
            MessageKind::File
        };
        Ok(claimed)
    }

    /// Gives a message of the viewer another text.
    ///
    /// # Errors
    /// [`ChangeRefusal`], or where the viewer changes messages too quickly.
    pub async fn edit(
        &self,
        viewer: &Viewer,
        message: MessageId,
        text: MessageText,
        expected: Option<Seq>,
    ) -> Result<Message, MessageError> {
        let action = ChangeAction::Edit { text, expected };
        self.change(viewer, message, action).await
    }

    /// Deletes a message: its content for good, its place stays. One that was deleted is no error.
    ///
    /// # Errors
    /// [`ChangeRefusal`], or where the viewer changes messages too quickly.
    pub async fn delete(
        &self,
        viewer: &Viewer,
        message: MessageId,
    ) -> Result<Message, MessageError> {
        self.change(viewer, message, ChangeAction::Delete).await
    }

    async fn change(
        &self,
        viewer: &Viewer,
        message_id: MessageId,
        action: ChangeAction,
    ) -> Result<Message, MessageError> {
        self.admit(viewer).await?;
        // Whoever may not read the message is not told that it exists.
        let found = self.visible(viewer, &[message_id]).await?.pop();
        let found = found.ok_or(ChangeRefusal::NoMessage)?;
        if action == ChangeAction::Delete {
            self.erase_attachments(viewer, &found).await?;
        }
        let change = MessageChange {
            message_id,
            chat_id: found.chat_id,
            actor_id: viewer.user_id,
            at: self.clock.now(),
            action,
        };
        match self.store.change(&change).await? {
            Changed::Done(changed) => Ok(changed.message),
            Changed::Refused(refusal) => Err(refusal.into()),
        }
    }

    async fn admit(&self, viewer: &Viewer) -> Result<(), MessageError> {
        let key = viewer.user_id.to_string();
        match self.limiter.check(self.send_rule, &key).await? {
            Decision::Denied(wait) => Err(MessageError::TooFast(wait)),
            Decision::Allowed => Ok(()),
        }
    }

    /// Has the attachments of a message erased that is about to be deleted. Written ahead of the
    /// deletion, so that no crash leaves them; it erases nothing of a message that stays.
    async fn erase_attachments(
        &self,
        viewer: &Viewer,
        message: &Message,
    ) -> Result<(), MessageError> {
        if message.attachments.is_empty() {
            return Ok(());
        }
        if message.sender_id != Some(viewer.user_id) {
            // Whoever may not delete it has nothing written.
            let membership = self.access.membership(viewer, message.chat_id).await?;
            if membership.member().role < MemberRole::Admin {
                return Ok(());
            }
        }
        let task = Task::EraseAttachments {
            message_id: message.id,
            attachment_ids: message.attachments.clone(),
        };
        let now = self.clock.now();
        let job = task
            .job(
                id::from_bytes(id::bytes(message.id)),
                now,
                now + ERASE_DELAY,
            )
            .map_err(|error| PortError::corrupt("a job", error))?;
        self.jobs.enqueue(&job).await?;
        Ok(())
    }

    fn fingerprint(
        &self,
        chat: ChatId,
        text: Option<&MessageText>,
        attachments: &[AttachmentId],
    ) -> Fingerprint {
        let chat = id::bytes(chat);
        let text = text.map_or("", MessageText::as_str);
        let ids: Vec<u8> = attachments.iter().flat_map(|one| id::bytes(*one)).collect();
        let mut parts: Vec<&[u8]> = vec![b"message", &chat, text.as_bytes()];
        // Without any it is what it was before there were attachments.
        if !ids.is_empty() {
            parts.push(&ids);
        }
        let mut print = [0; 8];
        print.copy_from_slice(&self.hash.of(&parts)[..8]);
        Fingerprint(print)
    }

    /// Those of these messages that lie in chats of the viewer, where the viewer may read.
    pub async fn visible(
        &self,
        viewer: &Viewer,
        ids: &[MessageId],
    ) -> Result<Vec<Message>, MessageError> {
        let mut messages = self.store.messages(ids).await?;
        let chats = messages.iter().map(|message| message.chat_id);
        let memberships = self.access.memberships_by_chat(viewer, chats).await?;
        messages.retain(|message| {
            let membership = memberships.get(&message.chat_id);
            membership.is_some_and(|membership| membership.may_read(message.seq))
        });
        Ok(messages)
    }

    /// These pages of chats, oldest first, of what the viewer may read, each for its place in
    /// `wanted`. Of chats of which the viewer is no member there is none.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn pages(
        &self,
        viewer: &Viewer,
        wanted: &[(ChatId, Window<Seq>)],
    ) -> Result<Vec<Option<Page<Message>>>, PortError> {
        let chats = wanted.iter().map(|(chat, _)| *chat);
        let memberships = self.access.memberships_by_chat(viewer, chats).await?;
        let parts: Vec<_> = wanted
            .iter()
            .filter_map(|(chat, window)| {
                Some((*chat, visible_part(memberships.get(chat)?, window)))
            })
            .collect();
        let mut pages = self.store.pages(&parts).await?.into_iter();
        Ok(wanted
            .iter()
            .map(|(chat, window)| {
                let membership = memberships.get(chat)?;
                Some(as_asked(membership, window, pages.next()?))
            })
            .collect())
    }

    /// The same of changed messages as they are now, by change.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn change_pages(
        &self,
        viewer: &Viewer,
        wanted: &[(ChatId, Window<Seq>)],
    ) -> Result<Vec<Option<Page<Message>>>, PortError> {
        let chats = wanted.iter().map(|(chat, _)| *chat);
        let memberships = self.access.memberships_by_chat(viewer, chats).await?;
        let parts: Vec<_> = wanted
            .iter()
            .filter_map(|(chat, window)| {
                let from = memberships.get(chat)?.before_visible() + 1;
                Some((*chat, from, window.clone()))
            })
            .collect();
        let mut pages = self.store.change_pages(&parts).await?.into_iter();
        let page = |(chat, _): &(ChatId, _)| memberships.get(chat).and_then(|_| pages.next());
        Ok(wanted.iter().map(page).collect())
    }

    /// The newest message of each of these chats, which the viewer has been let into.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn last_messages(&self, chats: &[ChatId]) -> Result<Vec<Message>, PortError> {
        self.store.last_messages(chats).await
    }
}

/// The part of the window that the member may read.
fn visible_part(membership: &Membership, window: &Window<Seq>) -> Window<Seq> {
    let floor = membership.before_visible();
    Window {
        after: Some(window.after.unwrap_or(0).max(floor)),
        ..window.clone()
    }
}

/// A page of that part as one of the whole window.
fn as_asked(
    membership: &Membership,
    window: &Window<Seq>,
    mut page: Page<Message>,
) -> Page<Message> {
    // Forwards it goes by whether there is a cursor, which the member may not have given.
    if !window.from_end {
        let floor = membership.before_visible();
        page.has_previous = window.after.is_some_and(|after| after > floor);
    }
    page
}
