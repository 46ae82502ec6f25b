//! Who may send messages, and change them. What may be read stands in `reading`.

use std::sync::Arc;
use std::time::Duration;

use super::content::{MAX_MENTIONS, MessageContent, MessageEdit, not_mentionable};
use super::model::{ClientMessageId, Fingerprint, Message, MessageKind, MessageText};
use super::reactions::Emoji;
use super::rules::{ChangeAction, ChangeRefusal, MessageChange};
use super::store::{Append, Appended, Changed, ChangedMessage, MessageStore};
use crate::access::{Access, AccessError};
use crate::attachments::claiming::{Claim, check_list};
use crate::attachments::error::AttachmentError;
use crate::attachments::model::{Attachment, AttachmentKind, UsedBy};
use crate::attachments::service::AttachmentService;
use crate::chats::model::MemberRole;
use crate::clock::Clock;
use crate::error::service_error;
use crate::error::{ApiError, ErrorCode, Invalid, PortError};
use crate::id::{self, ChatId, IdGenerator, MessageId};
use crate::jobs::model::Task;
use crate::jobs::runner::JobRunner;
use crate::keyed_hash::KeyedHash;
use crate::limits::{Decision, RateLimiter, Rule};
use crate::search::limit::SearchLimit;
use crate::seq::Seq;
use crate::user_list;
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
    /// Too many reactions, or changes of what is pinned.
    #[error("You change this too quickly. Wait a little.")]
    TooManyChanges(Duration),
    /// Too many searches.
    #[error("You search too often. Wait a little.")]
    TooManySearches(Duration),
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
            Self::TooFast(wait) | Self::TooManyChanges(wait) | Self::TooManySearches(wait) => {
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
    /// How quickly one may react.
    pub(crate) react_rule: Rule,
    /// How quickly one may pin.
    pub(crate) pin_rule: Rule,
    /// How often one may search.
    pub(crate) search_limit: Arc<SearchLimit>,
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
    /// Sends a message. When it returns, the message is durable; the store has handed it over
    /// to be published.
    ///
    /// A retry with the same `client_message_id` returns the first message as it is now, also where
    /// it was edited or deleted, and is published again: if the first publication was lost,
    /// subscribers need not wait for their heartbeat, and those who have it drop it.
    ///
    /// # Errors
    /// Where there is no such chat, the viewer is no member, sends too quickly, replies to what is
    /// no message of the chat that they may read, or has sent something else under the same
    /// `client_message_id`.
    pub async fn send(
        &self,
        viewer: &Viewer,
        chat: ChatId,
        content: impl Into<MessageContent>,
        client_message_id: Option<ClientMessageId>,
    ) -> Result<Sent, MessageError> {
        let content = content.into();
        if content.text.is_none() && content.attachment_ids.is_empty() {
            return Err(Invalid::new("text", "must not be empty").into());
        }
        user_list::check("mentionIds", &content.mention_ids, MAX_MENTIONS)?;
        check_list(&content.attachment_ids)?;
        self.admit(viewer).await?;
        let reply_to = match content.reply_to_id {
            Some(id) => Some(self.reply_target(chat, id).await?),
            None => None,
        };
        let fingerprint = client_message_id
            .is_some()
            .then(|| self.fingerprint(chat, &content));
        let mut draft = Message {
            text: content.text,
            attachments: content.attachment_ids,
            client_message_id,
            fingerprint,
            metadata: content.metadata,
            reply_to,
            mention_ids: content.mention_ids,
            ..Message::empty(
                self.ids.next_message(chat),
                chat,
                viewer.user_id,
                self.clock.now(),
            )
        };
        let claimed = match self.attach(viewer, &mut draft).await {
            Ok(claimed) => claimed,
            // What a retry attaches may be gone with the message that it repeats, which is the answer all
            // the same: it stays, and the store finds it.
            Err(MessageError::Attachment(refused)) => match self.store.repeated(&draft).await? {
                Some(_) => Vec::new(),
                None => return Err(refused.into()),
            },
            Err(refused) => return Err(refused),
        };
        let sent = match self.store.append(&draft).await? {
            Append::Done(sent) => *sent,
            refused => {
                self.attachments.release(&claimed).await?;
                return Err(match refused {
                    Append::Denied(denied) => AccessError::from(denied).into(),
                    Append::NoReplyTarget => no_reply_target().into(),
                    Append::NotMentionable(place) => not_mentionable(place).into(),
                    Append::Done(_) | Append::Full => MessageError::Full,
                });
            }
        };
        // Of two tries within a millisecond, which have one id, the later one may have brought others.
        let is_used = |one: &Attachment| sent.message.attachments.contains(&one.id);
        if sent.message.id == draft.id && claimed.iter().all(is_used) {
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
    /// that were not claimed before. Where all of them were by an earlier try of the same, whose message
    /// never came, the draft takes its place: that try was broken off behind its claim, or still runs, and
    /// of two messages with one id only one is stored.
    async fn attach(
        &self,
        viewer: &Viewer,
        draft: &mut Message,
    ) -> Result<Vec<Attachment>, MessageError> {
        const FIELD: &str = "attachmentIds";
        if draft.attachments.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(print) = self.print_of_try(draft) {
            draft.id = self.ids.next_message_of(draft.chat_id, print);
        }
        let by = UsedBy::Message(draft.id);
        let wanted = &draft.attachments;
        let field = |place| format!("{FIELD}.{place}");
        let claim = self.attachments.claim(viewer, wanted, by, &field).await?;
        let (found, claimed) = match claim {
            Claim::Done(claimed) => (claimed.clone(), claimed),
            Claim::Before(message, found) => {
                let other = self.store.messages(&[message]).await?.pop();
                let is_same = match other {
                    Some(other) => {
                        other.client_message_id == draft.client_message_id
                            && other.chat_id == draft.chat_id
                    }
                    // Another send may have claimed them a moment ago, whose message is yet to come.
                    None => {
                        id::are_of_one_try(message, draft.id)
                            && self.attachments.claim_again(&found).await?
                    }
                };
                if draft.client_message_id.is_none() || !is_same {
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

    /// The number of a message of the chat. Whether the viewer may read it, the store judges: a retry
    /// of what was sent before they were removed succeeds.
    async fn reply_target(&self, chat: ChatId, id: MessageId) -> Result<Seq, MessageError> {
        let found = self.store.messages(&[id]).await?.pop();
        let found = found.filter(|message| message.chat_id == chat);
        Ok(found.ok_or_else(no_reply_target)?.seq)
    }

    /// Gives a message of the viewer other content.
    ///
    /// # Errors
    /// [`ChangeRefusal`], or where the viewer changes messages too quickly.
    pub async fn edit(
        &self,
        viewer: &Viewer,
        message: MessageId,
        edit: impl Into<MessageEdit>,
        expected: Option<Seq>,
    ) -> Result<Message, MessageError> {
        let edit: MessageEdit = edit.into();
        let mentioned = edit.mention_ids.as_deref().unwrap_or_default();
        user_list::check("mentionIds", mentioned, MAX_MENTIONS)?;
        let action = ChangeAction::Edit { edit, expected };
        self.admit(viewer).await?;
        self.change(viewer, message, action).await
    }

    /// Deletes a message: its content for good, its place stays. One that was deleted is no error. An
    /// operator of the server may delete any, which is logged where nothing else lets them.
    ///
    /// # Errors
    /// [`ChangeRefusal`], or where the viewer changes messages too quickly.
    pub async fn delete(
        &self,
        viewer: &Viewer,
        message: MessageId,
    ) -> Result<Message, MessageError> {
        self.admit(viewer).await?;
        match self.change(viewer, message, ChangeAction::Delete).await {
            Err(MessageError::Change(refusal)) if refusal.is_of_right() => {
                let deleted = self.delete_by_operator(viewer, message).await?;
                deleted.ok_or(MessageError::Change(refusal))
            }
            outcome => outcome,
        }
    }

    /// Has the viewer react to a message with an emoji, or no longer. Where it is so already, nothing
    /// is changed.
    ///
    /// # Errors
    /// [`ChangeRefusal`], or where the viewer reacts too quickly.
    pub async fn react(
        &self,
        viewer: &Viewer,
        message: MessageId,
        emoji: Emoji,
        is_added: bool,
    ) -> Result<Message, MessageError> {
        self.admit_change(viewer, self.react_rule).await?;
        let action = ChangeAction::React { emoji, is_added };
        self.change(viewer, message, action).await
    }

    /// Pins a message in its chat, or no longer: for the owners and admins of a group, and for both
    /// in a direct chat. Where it is so already, nothing is changed.
    ///
    /// # Errors
    /// [`ChangeRefusal`], or where the viewer changes chats too quickly.
    pub async fn pin(
        &self,
        viewer: &Viewer,
        message: MessageId,
        is_pinned: bool,
    ) -> Result<Message, MessageError> {
        self.admit_change(viewer, self.pin_rule).await?;
        let action = ChangeAction::Pin { is_pinned };
        self.change(viewer, message, action).await
    }

    async fn change(
        &self,
        viewer: &Viewer,
        message_id: MessageId,
        action: ChangeAction,
    ) -> Result<Message, MessageError> {
        // Whoever may not read the message is not told that it exists.
        let found = self.visible(viewer, &[message_id]).await?.pop();
        let found = found.ok_or(ChangeRefusal::NoMessage)?;
        if action == ChangeAction::Delete {
            self.erase_attachments(viewer, &found).await?;
        }
        Ok(self.commit(viewer, &found, action).await?.message)
    }

    /// Has the store judge the change and carry it out.
    pub(super) async fn commit(
        &self,
        viewer: &Viewer,
        message: &Message,
        action: ChangeAction,
    ) -> Result<ChangedMessage, MessageError> {
        let change = MessageChange {
            message_id: message.id,
            chat_id: message.chat_id,
            actor_id: viewer.user_id,
            at: self.clock.now(),
            action,
        };
        match self.store.change(&change).await? {
            Changed::Done(changed) => Ok(*changed),
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

    async fn admit_change(&self, viewer: &Viewer, rule: Rule) -> Result<(), MessageError> {
        let key = viewer.user_id.to_string();
        match self.limiter.check(rule, &key).await? {
            Decision::Denied(wait) => Err(MessageError::TooManyChanges(wait)),
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
        self.write_erasure(message).await
    }

    /// Writes the job that erases what the message has attached, once it is deleted.
    pub(super) async fn write_erasure(&self, message: &Message) -> Result<(), MessageError> {
        let Some(&first) = message.attachments.first() else {
            return Ok(());
        };
        let task = Task::EraseAttachments {
            message_id: message.id,
            attachment_ids: message.attachments.clone(),
        };
        let now = self.clock.now();
        // Of one message there is one: no other has this attachment.
        let job = task
            .job(id::from_bytes(id::bytes(first)), now, now + ERASE_DELAY)
            .map_err(|error| PortError::corrupt("a job", error))?;
        self.jobs.enqueue(&job).await?;
        Ok(())
    }

    /// What all tries of one message have in common, where it has an id of its sender's own, and no other
    /// message has. By it a claim tells for which message it was made, also where there is none yet.
    fn print_of_try(&self, draft: &Message) -> Option<[u8; 8]> {
        let (own_id, sender) = (draft.client_message_id.as_ref()?, draft.sender_id?);
        let (chat, sender) = (id::bytes(draft.chat_id), id::bytes(sender));
        let parts: [&[u8]; 4] = [
            b"try of a message",
            &chat,
            &sender,
            own_id.as_str().as_bytes(),
        ];
        let mut print = [0; 8];
        print.copy_from_slice(&self.hash.of(&parts)[..8]);
        Some(print)
    }

    fn fingerprint(&self, chat: ChatId, content: &MessageContent) -> Fingerprint {
        let chat = id::bytes(chat);
        let text = content.text.as_ref().map_or("", MessageText::as_str);
        let mut parts: Vec<&[u8]> = vec![b"message", &chat, text.as_bytes()];
        if let Some(metadata) = &content.metadata {
            parts.extend([&b"metadata"[..], metadata.as_str().as_bytes()]);
        }
        let reply_to = content.reply_to_id.map(id::bytes);
        if let Some(reply_to) = &reply_to {
            parts.extend([&b"replyTo"[..], reply_to]);
        }
        let mentions: Vec<_> = content.mention_ids.iter().copied().map(id::bytes).collect();
        for user in &mentions {
            parts.extend([&b"mention"[..], user]);
        }
        let attachments: Vec<_> = content
            .attachment_ids
            .iter()
            .copied()
            .map(id::bytes)
            .collect();
        for attachment in &attachments {
            parts.extend([&b"attachment"[..], attachment]);
        }
        let mut print = [0; 8];
        print.copy_from_slice(&self.hash.of(&parts)[..8]);
        Fingerprint(print)
    }
}

/// It is not told whether there is such a message elsewhere.
fn no_reply_target() -> Invalid {
    Invalid::new(
        "replyToId",
        "must be a message of the chat that you may read",
    )
}
