//! Erasing attachments that nobody uses: those of messages that were deleted, at once; those that
//! were never used, after a while.

use std::time::Duration;

use async_trait::async_trait;

use super::model::{Attachment, AttachmentState, UsedBy};
use super::service::AttachmentService;
use crate::chats::model::Chat;
use crate::error::PortError;
use crate::id::{AttachmentId, MessageId, UserId};

/// How many attachments are looked at together.
const STEP: usize = 100;

/// How often what is to be erased is looked at again, since it may take another step meanwhile.
const TRIES: usize = 8;

/// How long a claim may go before it is held against what it was made for: longer than a command can be
/// on its way to a store.
const CLAIM_TIMEOUT: Duration = Duration::from_hours(1);

/// Erases attachments, for the jobs that have that done.
#[async_trait]
pub trait Eraser: Send + Sync {
    /// Erases these attachments of a message that was deleted. False where it was not.
    ///
    /// # Errors
    /// Where a store fails: then it is to be called again.
    async fn erase_of_message(
        &self,
        message: MessageId,
        ids: &[AttachmentId],
    ) -> Result<bool, PortError>;

    /// Erases all attachments that a user has sent, whoever uses them, but the pictures of groups: these
    /// stay, under names that tell nothing.
    ///
    /// # Errors
    /// Where a store fails: then it is to be called again.
    async fn erase_of_owner(&self, owner: UserId) -> Result<(), PortError>;

    /// Erases what nobody has used for long, and settles claims of which nobody has told the outcome.
    ///
    /// # Errors
    /// Where a store fails: then it goes on the next time.
    async fn sweep(&self) -> Result<(), PortError>;
}

/// Of a store that has no attachments.
#[async_trait]
impl Eraser for () {
    async fn erase_of_message(&self, _: MessageId, _: &[AttachmentId]) -> Result<bool, PortError> {
        Ok(true)
    }

    async fn erase_of_owner(&self, _: UserId) -> Result<(), PortError> {
        Ok(())
    }

    async fn sweep(&self) -> Result<(), PortError> {
        Ok(())
    }
}

#[async_trait]
impl Eraser for AttachmentService {
    async fn erase_of_message(
        &self,
        message: MessageId,
        ids: &[AttachmentId],
    ) -> Result<bool, PortError> {
        let found = self.messages.messages(&[message]).await?.pop();
        if found.is_some_and(|message| message.deleted_at.is_none()) {
            return Ok(false);
        }
        for _ in 0..TRIES {
            let mut found = self.store.attachments(ids).await?;
            found.retain(|one| one.used_by == Some(UsedBy::Message(message)));
            if found.is_empty() {
                return Ok(true);
            }
            // Of one that took another step meanwhile it is tried again.
            self.erase(found).await?;
        }
        Ok(false)
    }

    async fn erase_of_owner(&self, owner: UserId) -> Result<(), PortError> {
        let mut after = None;
        loop {
            let found = self.store.of_owner(owner, after, STEP).await?;
            let is_last = found.len() < STEP;
            after = found.last().map(|one| one.id);
            self.erase_or_keep(found).await?;
            if is_last {
                return Ok(());
            }
        }
    }

    async fn sweep(&self) -> Result<(), PortError> {
        let now = self.clock.now();
        let unused = now - self.policy.unused_for;
        for state in [AttachmentState::Awaited, AttachmentState::Ready] {
            loop {
                let found = self.store.standing(state, unused, STEP).await?;
                let is_last = found.len() < STEP;
                self.erase(found).await?;
                if is_last {
                    break;
                }
            }
        }
        let claimed = now - CLAIM_TIMEOUT;
        loop {
            let state = AttachmentState::Claimed;
            let found = self.store.standing(state, claimed, STEP).await?;
            let is_last = found.len() < STEP;
            self.settle_claims(found).await?;
            if is_last {
                break;
            }
        }
        // Somebody has died over them.
        let erasing = self
            .store
            .standing(AttachmentState::Erasing, claimed, STEP)
            .await?;
        self.remove(&erasing).await
    }
}

impl AttachmentService {
    /// Holds claims against what they were made for.
    async fn settle_claims(&self, claimed: Vec<Attachment>) -> Result<(), PortError> {
        if claimed.is_empty() {
            return Ok(());
        }
        let messages: Vec<_> = claimed
            .iter()
            .filter_map(|one| match one.used_by {
                Some(UsedBy::Message(message)) => Some(message),
                _ => None,
            })
            .collect();
        let messages = self.messages.messages(&messages).await?;
        let mut free = Vec::new();
        let mut used = Vec::new();
        for one in claimed {
            let is_used = match one.used_by {
                Some(UsedBy::Message(id)) => messages
                    .iter()
                    .any(|message| message.id == id && message.attachments.contains(&one.id)),
                Some(UsedBy::User(id)) => {
                    let owner = self.users.users(&[id]).await?.pop();
                    owner.is_some_and(|user| user.avatar_id == Some(one.id))
                }
                Some(UsedBy::Chat(id)) => {
                    let chat = self.access.chats.chats(&[id]).await?.pop();
                    chat.is_some_and(|chat| chat.avatar_id == Some(one.id))
                }
                None => false,
            };
            if is_used {
                used.push(one);
            } else {
                free.push(one);
            }
        }
        let now = self.clock.now();
        let used: Vec<_> = used.iter().map(|one| one.used(now)).collect();
        self.store.advance(&used).await?;
        self.erase(free).await
    }

    /// Erases attachments of somebody who is gone, but those that are the pictures of groups.
    async fn erase_or_keep(&self, found: Vec<Attachment>) -> Result<(), PortError> {
        let of_chat = |one: &Attachment| match one.used_by {
            Some(UsedBy::Chat(chat)) => Some(chat),
            _ => None,
        };
        let chats: Vec<_> = found.iter().filter_map(of_chat).collect();
        let chats = self.access.chats.chats(&chats).await?;
        let is_picture = |one: &Attachment| {
            let shows =
                |chat: &Chat| of_chat(one) == Some(chat.id) && chat.avatar_id == Some(one.id);
            one.is_received() && chats.iter().any(shows)
        };
        let (kept, gone): (Vec<_>, Vec<_>) = found.into_iter().partition(is_picture);
        let now = self.clock.now();
        let named = kept.iter().map(|one| one.without_name(now));
        let named = named
            .zip(&kept)
            .filter(|(new, old)| new.file_name != old.file_name);
        let named: Vec<_> = named.map(|(new, _)| new).collect();
        if !named.is_empty() {
            self.store.advance(&named).await?;
        }
        // Somebody may have died over them.
        let (begun, fresh): (Vec<_>, Vec<_>) = gone
            .into_iter()
            .partition(|one| one.state == AttachmentState::Erasing);
        self.remove(&begun).await?;
        self.erase(fresh).await
    }

    /// Erases attachments, of which nobody may have taken another step meanwhile.
    async fn erase(&self, found: Vec<Attachment>) -> Result<(), PortError> {
        if found.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let erasing: Vec<_> = found.iter().map(|one| one.erasing(now)).collect();
        let taken = self.store.advance(&erasing).await?;
        // What was begun before is gone on with.
        let mine = erasing
            .into_iter()
            .filter(|one| taken.contains(&one.id))
            .collect::<Vec<_>>();
        self.remove(&mine).await
    }

    /// Deletes the bytes, then what is known of them.
    async fn remove(&self, erasing: &[Attachment]) -> Result<(), PortError> {
        for one in erasing {
            self.objects.erase(one.id).await?;
            self.store.forget(&[one.id]).await?;
        }
        Ok(())
    }
}
