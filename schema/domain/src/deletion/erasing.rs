//! Erasing what there is of a deleted account, step by step.
//!
//! Each step is harmless twice and may be broken off anywhere; it begins anew then. It works in pieces
//! of a bounded size, each of which is one call of a store, and finds what is left to do by what is
//! there: so it needs no note of how far it came. What has a place on a line of a chat goes by that
//! line, as if the user had done it: leaving a group is a system message, deleting a message and taking
//! a reaction back are changes with numbers. So replicas that follow the lines drop it too, and the
//! others' history keeps its order.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::try_join_all;

use crate::access::Denied;
use crate::attachments::erasing::Eraser;
use crate::auth::store::SessionStore;
use crate::blocks::store::BlockStore;
use crate::chats::model::ChatKind;
use crate::chats::store::ChatStore;
use crate::clock::Clock;
use crate::error::PortError;
use crate::groups::model::{GroupAction, GroupChange};
use crate::groups::rules::GroupRefusal;
use crate::groups::store::{GroupOutcome, GroupStore};
use crate::id::{ChatId, IdGenerator, MessageId, UserId};
use crate::messages::rules::{ChangeAction, ChangeRefusal, MessageChange};
use crate::messages::store::{Changed, MessageStore};
use crate::moderation::store::ModerationStore;
use crate::users::store::UserStore;

/// How many of a kind are looked at together.
const STEP: usize = 100;

/// How many changes of messages are under way together: a store commits those of one chat at once.
const AT_ONCE: usize = 25;

/// Erases accounts, for the job that has that done.
#[async_trait]
pub trait EraseAccount: Send + Sync {
    /// Erases what is left of an account that is marked as deleted. False where it is not.
    ///
    /// # Errors
    /// Where a store fails: then it is to be called again.
    async fn erase(&self, user: UserId) -> Result<bool, PortError>;
}

/// Of a store that has no accounts.
#[async_trait]
impl EraseAccount for () {
    async fn erase(&self, _: UserId) -> Result<bool, PortError> {
        Ok(false)
    }
}

/// Erases accounts from the stores.
pub struct AccountEraser {
    /// Who is deleted.
    pub users: Arc<dyn UserStore>,
    /// Who is signed in.
    pub sessions: Arc<dyn SessionStore>,
    /// Who is in which chat.
    pub chats: Arc<dyn ChatStore>,
    /// The groups.
    pub groups: Arc<dyn GroupStore>,
    /// The messages, and the reactions to them.
    pub messages: Arc<dyn MessageStore>,
    /// Who has blocked whom.
    pub blocks: Arc<dyn BlockStore>,
    /// What was reported.
    pub moderation: Arc<dyn ModerationStore>,
    /// What was uploaded.
    pub attachments: Arc<dyn Eraser>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: IdGenerator,
}

#[async_trait]
impl EraseAccount for AccountEraser {
    /// The steps, in their order: nobody signs in to the account; then it can write to no chat; then
    /// what it has written goes.
    async fn erase(&self, user: UserId) -> Result<bool, PortError> {
        let found = self.users.users(&[user]).await?.pop();
        if !found.is_some_and(|user| user.is_deleted()) {
            return Ok(false);
        }
        self.end_sessions(user).await?;
        self.leave_chats(user).await?;
        self.take_reactions_back(user).await?;
        self.delete_messages(user).await?;
        self.attachments.erase_of_owner(user).await?;
        self.end_blocks(user).await?;
        self.erase_reports(user).await?;
        self.erase_own_facts(user).await?;
        self.forget_client_ids(user).await?;
        self.users.flush_erased().await?;
        Ok(true)
    }
}

impl AccountEraser {
    async fn end_sessions(&self, user: UserId) -> Result<(), PortError> {
        while self.sessions.end_sessions_of(user, STEP).await? >= STEP {}
        Ok(())
    }

    /// Leaves all groups, as a member does, and closes all direct chats.
    async fn leave_chats(&self, user: UserId) -> Result<(), PortError> {
        for ids in self.chats.chat_ids_of(user).await?.chunks(STEP) {
            for chat in self.chats.chats(ids).await? {
                match chat.kind {
                    ChatKind::Direct => self.chats.close_direct(chat.id).await?,
                    ChatKind::Group => self.leave(user, chat.id).await?,
                }
            }
        }
        Ok(())
    }

    async fn leave(&self, user: UserId, chat: ChatId) -> Result<(), PortError> {
        let change = GroupChange {
            message_id: self.ids.next_message(chat),
            chat_id: chat,
            actor_id: user,
            at: self.clock.now(),
            // Nobody is added.
            max_members: u32::MAX,
            action: GroupAction::Leave,
        };
        match self.groups.change_group(&change).await? {
            GroupOutcome::Done { .. }
            | GroupOutcome::Refused(GroupRefusal::Denied(Denied::NotMember | Denied::NoChat)) => {}
            GroupOutcome::Refused(refusal) => {
                tracing::warn!(%chat, %refusal, "a deleted account stays in a group");
            }
        }
        Ok(())
    }

    async fn take_reactions_back(&self, user: UserId) -> Result<(), PortError> {
        let mut last = None;
        loop {
            let found = self.messages.reacted_by(user, last.as_ref(), STEP).await?;
            for some in found.chunks(AT_ONCE) {
                let changes = some.iter().map(|reaction| {
                    let action = ChangeAction::React {
                        emoji: reaction.emoji.clone(),
                        is_added: false,
                    };
                    self.change(user, reaction.chat_id, reaction.message_id, action)
                });
                try_join_all(changes).await?;
            }
            if found.len() < STEP {
                return Ok(());
            }
            last = found.into_iter().next_back();
        }
    }

    async fn delete_messages(&self, user: UserId) -> Result<(), PortError> {
        for chat in self.all_chats(user).await? {
            let mut after = 0;
            loop {
                let found = self.messages.sent_by(chat, user, after, STEP).await?;
                for some in found.chunks(AT_ONCE) {
                    let delete =
                        |message: MessageId| self.change(user, chat, message, ChangeAction::Delete);
                    try_join_all(some.iter().map(|message| delete(message.id))).await?;
                }
                after = found.last().map_or(after, |message| message.seq);
                if found.len() < STEP {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn change(
        &self,
        user: UserId,
        chat_id: ChatId,
        message_id: MessageId,
        action: ChangeAction,
    ) -> Result<(), PortError> {
        let change = MessageChange {
            message_id,
            chat_id,
            actor_id: user,
            at: self.clock.now(),
            action,
        };
        match self.messages.erase(&change).await? {
            Changed::Done(_) | Changed::Refused(ChangeRefusal::NoMessage) => {}
            Changed::Refused(refusal) => {
                tracing::warn!(%message_id, %refusal, "a message of a deleted account stays");
            }
        }
        Ok(())
    }

    /// Ends the blocks of the user and those against them.
    async fn end_blocks(&self, user: UserId) -> Result<(), PortError> {
        while self.blocks.erase_blocks_of(user, STEP).await? >= STEP {}
        Ok(())
    }

    /// Erases the reports of the user and those of their messages. What operators did stays in their log,
    /// which has ids alone.
    async fn erase_reports(&self, user: UserId) -> Result<(), PortError> {
        while self.moderation.erase_reports_of(user, STEP).await? >= STEP {}
        Ok(())
    }

    async fn erase_own_facts(&self, user: UserId) -> Result<(), PortError> {
        for some in self.all_chats(user).await?.chunks(AT_ONCE) {
            let erase = |chat: &ChatId| self.chats.erase_own_facts(*chat, user);
            try_join_all(some.iter().map(erase)).await?;
        }
        Ok(())
    }

    async fn forget_client_ids(&self, user: UserId) -> Result<(), PortError> {
        while self.groups.forget_client_ids(user, STEP).await? >= STEP {}
        Ok(())
    }

    /// The chats of which the user is or was a member.
    async fn all_chats(&self, user: UserId) -> Result<Vec<ChatId>, PortError> {
        let mut all = self.chats.chat_ids_of(user).await?;
        let left = self.chats.left_chats_of(user).await?;
        all.extend(left.into_iter().map(|(chat, _)| chat));
        Ok(all)
    }
}
