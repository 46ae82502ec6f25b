//! What each task does.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::model::Task;
use super::runner::{Perform, Performed};
use crate::attachments::erasing::Eraser;
use crate::auth::store::SessionStore;
use crate::blocks::store::BlockStore;
use crate::chats::store::ChatStore;
use crate::clock::{Clock, Timestamp};
use crate::deletion::erasing::EraseAccount;
use crate::error::PortError;
use crate::groups::store::GroupStore;
use crate::id::{AttachmentId, ChatId, MessageId, UserId};
use crate::messages::store::MessageStore;
use crate::moderation::store::ModerationStore;
use crate::users::store::UserStore;

/// How many sessions are deleted together.
const PURGE_STEP: usize = 500;

/// How many reactions are erased together.
const ERASE_STEP: usize = 500;

/// How many messages, users or chats are looked at together that may not be indexed.
const INDEX_STEP: usize = 200;

/// How often a system message is looked for that is not there, or a deletion.
const MESSAGE_WAIT: Duration = Duration::from_secs(10);

/// How long a system message, or a deletion, may come after it was announced: longer than a command
/// can be on its way to a store.
const MESSAGE_TIMEOUT: Duration = Duration::from_hours(1);

/// Does all tasks, over these ports.
pub struct JobService {
    /// Who is signed in.
    pub sessions: Arc<dyn SessionStore>,
    /// Users.
    pub users: Arc<dyn UserStore>,
    /// Chats.
    pub chats: Arc<dyn ChatStore>,
    /// Groups.
    pub groups: Arc<dyn GroupStore>,
    /// Messages.
    pub messages: Arc<dyn MessageStore>,
    /// Erases attachments.
    pub attachments: Arc<dyn Eraser>,
    /// Who has blocked whom.
    pub blocks: Arc<dyn BlockStore>,
    /// Who is suspended.
    pub moderation: Arc<dyn ModerationStore>,
    /// Erases accounts.
    pub accounts: Arc<dyn EraseAccount>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl JobService {
    async fn purge_sessions(&self) -> Result<Performed, PortError> {
        let now = self.clock.now();
        while self.sessions.purge_expired(now, PURGE_STEP).await? == PURGE_STEP {}
        Ok(Performed::Done)
    }

    async fn complete_group_change(
        &self,
        chat: ChatId,
        message: MessageId,
        announced_at: Timestamp,
    ) -> Result<Performed, PortError> {
        if self.groups.complete_change(chat, message).await? {
            return Ok(Performed::Done);
        }
        Ok(self.not_there(announced_at))
    }

    async fn erase_reactions(
        &self,
        chat: ChatId,
        message: MessageId,
        announced_at: Timestamp,
    ) -> Result<Performed, PortError> {
        loop {
            let erased = self.messages.erase_reactions(chat, message, ERASE_STEP);
            match erased.await? {
                Some(ERASE_STEP..) => {}
                Some(_) => return Ok(Performed::Done),
                None => return Ok(self.not_there(announced_at)),
            }
        }
    }

    async fn end_sessions(
        &self,
        user: UserId,
        announced_at: Timestamp,
    ) -> Result<Performed, PortError> {
        let now = self.clock.now();
        let found = self.moderation.suspensions(&[user]).await?;
        if !found.iter().any(|suspension| suspension.is_active(now)) {
            return Ok(self.not_there(announced_at));
        }
        self.moderation.end_sessions(user).await?;
        Ok(Performed::Done)
    }

    /// What becomes of a task whose cause is not there.
    fn not_there(&self, announced_at: Timestamp) -> Performed {
        if self.clock.now().since(announced_at) > MESSAGE_TIMEOUT {
            // What is not there by then never comes.
            return Performed::Done;
        }
        Performed::NotYet(MESSAGE_WAIT)
    }

    /// Goes by ids from the start at each try: what is indexed already costs little. Instances of an
    /// earlier release may write on for a while what this one does not find; so it is looked for again.
    async fn fill_search_index(&self, asked_at: Timestamp) -> Result<Performed, PortError> {
        let mut user = None;
        while let Some(last) = self.users.fold_names(user, INDEX_STEP).await? {
            user = Some(last);
        }
        let mut chat = None;
        while let Some(last) = self.chats.fold_titles(chat, INDEX_STEP).await? {
            chat = Some(last);
        }
        let mut message = None;
        while let Some(last) = self.messages.index_messages(message, INDEX_STEP).await? {
            message = Some(last);
        }
        if self.clock.now().since(asked_at) > MESSAGE_TIMEOUT {
            return Ok(Performed::Done);
        }
        Ok(Performed::NotYet(MESSAGE_TIMEOUT + MESSAGE_WAIT))
    }

    async fn erase_attachments(
        &self,
        message: MessageId,
        attachments: &[AttachmentId],
        announced_at: Timestamp,
    ) -> Result<Performed, PortError> {
        let erasing = self.attachments.erase_of_message(message, attachments);
        if erasing.await? || self.clock.now().since(announced_at) > MESSAGE_TIMEOUT {
            // A message that is not deleted by then stays.
            return Ok(Performed::Done);
        }
        Ok(Performed::NotYet(MESSAGE_WAIT))
    }

    /// Erases an account at once, and again once all is over that was on its way when it was deleted:
    /// a message that was being sent, a group to which somebody was adding the user.
    async fn erase_account(
        &self,
        user: UserId,
        announced_at: Timestamp,
    ) -> Result<Performed, PortError> {
        if !self.accounts.erase(user).await? {
            return Ok(self.not_there(announced_at));
        }
        let age = self.clock.now().since(announced_at);
        Ok(match MESSAGE_TIMEOUT.checked_sub(age) {
            Some(left) => Performed::NotYet(left + MESSAGE_WAIT),
            None => Performed::Done,
        })
    }
}

#[async_trait]
impl Perform for JobService {
    async fn perform(&self, task: Task, created_at: Timestamp) -> Result<Performed, PortError> {
        match task {
            Task::PurgeSessions {} => self.purge_sessions().await,
            Task::CompleteGroupChange {
                chat_id,
                message_id,
            } => {
                let change = self.complete_group_change(chat_id, message_id, created_at);
                change.await
            }
            Task::EraseReactions {
                chat_id,
                message_id,
            } => {
                let erasing = self.erase_reactions(chat_id, message_id, created_at);
                erasing.await
            }
            Task::EraseAttachments {
                message_id,
                attachment_ids,
            } => {
                let erasing = self.erase_attachments(message_id, &attachment_ids, created_at);
                erasing.await
            }
            Task::CompleteBlock {
                blocker_id,
                blocked_id,
            } => {
                self.blocks.complete_block(blocker_id, blocked_id).await?;
                Ok(Performed::Done)
            }
            Task::FillSearchIndex {} => self.fill_search_index(created_at).await,
            Task::SweepAttachments {} => {
                self.attachments.sweep().await?;
                Ok(Performed::Done)
            }
            Task::EndSessions { user_id } => self.end_sessions(user_id, created_at).await,
            Task::EraseAccount { user_id } => self.erase_account(user_id, created_at).await,
        }
    }
}
