//! Who may start, see and read chats.

use std::sync::Arc;

use super::model::{Chat, ChatKind, Member, ReadReceipt};
use super::store::ChatStore;
use crate::accounts::AccountStore;
use crate::clock::Clock;
use crate::context::Viewer;
use crate::cursor::{ChatCursor, MemberCursor};
use crate::error::{ErrorCode, Invalid, PortError, Refusal};
use crate::id::{ChatId, IdGenerator, UserId};
use crate::limits::{Decision, RateLimiter, Rule};
use crate::live::{Bus, Event, Topic};
use crate::messages::Seq;
use crate::page::{Page, Window};
use crate::service_error;

/// Why a chat was refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ChatError {
    /// An argument breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// There is no such user.
    #[error("There is no such user.")]
    NoUser,
    /// There is no such chat.
    #[error("There is no such chat.")]
    NoChat,
    /// The viewer is no member.
    #[error("Only members of the chat may do this.")]
    NotMember,
    /// Too many chats were started.
    #[error("You start chats too quickly. Wait a little.")]
    TooFast(std::time::Duration),
    /// A port failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl ChatError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Invalid(invalid) => invalid.into(),
            Self::NoUser => Refusal::new(ErrorCode::NotFound, self.to_string()).field("userId"),
            Self::NoChat => Refusal::new(ErrorCode::NotFound, self.to_string()).field("chatId"),
            Self::NotMember => Refusal::new(ErrorCode::Forbidden, self.to_string()).field("chatId"),
            Self::TooFast(wait) => {
                Refusal::new(ErrorCode::RateLimited, self.to_string()).retry_after(*wait)
            }
            Self::Port(error) => error.into(),
        }
    }
}

service_error!(ChatError);

/// Rules of chats.
pub struct ChatService {
    /// The chats.
    pub(crate) store: Arc<dyn ChatStore>,
    /// To know that the other side of a chat exists.
    pub(crate) accounts: Arc<dyn AccountStore>,
    /// Where changes are published.
    pub(crate) bus: Arc<dyn Bus>,
    /// Holds back who starts chats too quickly.
    pub(crate) limiter: Arc<dyn RateLimiter>,
    /// How quickly one may start chats.
    pub(crate) start_rule: Rule,
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
    /// New ids.
    pub(crate) ids: IdGenerator,
}

impl ChatService {
    /// The direct chat with another user, and whether it was made just now.
    ///
    /// # Errors
    /// Where the user is the viewer or does not exist.
    pub async fn start_direct(
        &self,
        viewer: &Viewer,
        other: UserId,
    ) -> Result<(Chat, bool), ChatError> {
        if other == viewer.user_id {
            return Err(Invalid::new("userId", "must be another user than yourself").into());
        }
        let key = viewer.user_id.to_string();
        if let Decision::Denied(wait) = self.limiter.check(self.start_rule, &key).await? {
            return Err(ChatError::TooFast(wait));
        }
        if self.accounts.users(&[other]).await?.is_empty() {
            return Err(ChatError::NoUser);
        }
        let now = self.clock.now();
        let candidate = Chat {
            id: self.ids.next(),
            kind: ChatKind::Direct,
            created_at: now,
            active_at: now,
            last_seq: 0,
            member_count: 2,
            membership_epoch: 1,
        };
        let users = [viewer.user_id, other];
        let (chat, created) = self.store.open_direct(&candidate, users).await?;
        if created {
            for user in users {
                let joined = Event::ChatJoined { chat_id: chat.id };
                announce(&*self.bus, Topic::User(user), joined).await;
            }
        }
        Ok((chat, created))
    }

    /// A chat of the viewer.
    ///
    /// # Errors
    /// Where there is none, or the viewer is no member.
    pub async fn get(&self, viewer: &Viewer, chat: ChatId) -> Result<Chat, ChatError> {
        let found = self
            .store
            .chats(&[chat])
            .await?
            .pop()
            .ok_or(ChatError::NoChat)?;
        self.membership(viewer, chat).await?;
        Ok(found)
    }

    /// Those of these chats of which the viewer is a member.
    pub async fn visible(&self, viewer: &Viewer, chats: &[ChatId]) -> Result<Vec<Chat>, ChatError> {
        let memberships = self.store.memberships(viewer.user_id, chats).await?;
        let ids: Vec<_> = memberships.iter().map(|member| member.chat_id).collect();
        Ok(self.store.chats(&ids).await?)
    }

    /// The viewer's chats, most recently active first.
    pub async fn list(
        &self,
        viewer: &Viewer,
        search: Option<&str>,
        window: &Window<ChatCursor>,
    ) -> Result<Page<Chat>, ChatError> {
        let search = search.map(str::trim).filter(|text| !text.is_empty());
        check_search(search)?;
        Ok(self.store.chats_of(viewer.user_id, search, window).await?)
    }

    /// The members of a chat of the viewer.
    pub async fn members(
        &self,
        viewer: &Viewer,
        chat: ChatId,
        read_from: Option<Seq>,
        window: &Window<MemberCursor>,
    ) -> Result<Page<Member>, ChatError> {
        self.membership(viewer, chat).await?;
        Ok(self.store.members(chat, read_from, window).await?)
    }

    /// Moves the viewer's read mark up to `seq`, and tells the other members at once.
    ///
    /// # Errors
    /// Where there is no such chat, or the viewer is no member.
    pub async fn mark_read(
        &self,
        viewer: &Viewer,
        chat: ChatId,
        seq: Seq,
    ) -> Result<(Chat, ReadReceipt), ChatError> {
        let now = self.clock.now();
        let mark = self.store.mark_read(chat, viewer.user_id, seq, now).await?;
        let found = self
            .store
            .chats(&[chat])
            .await?
            .pop()
            .ok_or(ChatError::NoChat)?;
        let mark = mark.ok_or(ChatError::NotMember)?;
        let receipt = mark.member.receipt().unwrap_or(ReadReceipt {
            chat_id: chat,
            user_id: viewer.user_id,
            last_read_seq: 0,
            read_at: now,
        });
        if mark.moved {
            let event = Event::ReadReceipt {
                receipt,
                chat_kind: found.kind,
            };
            announce(&*self.bus, Topic::Chat(chat), event).await;
        }
        Ok((found, receipt))
    }

    /// The viewer's membership of the chat.
    ///
    /// # Errors
    /// Where there is no such chat, or the viewer is no member.
    pub async fn membership(&self, viewer: &Viewer, chat: ChatId) -> Result<Member, ChatError> {
        match self.store.memberships(viewer.user_id, &[chat]).await?.pop() {
            Some(member) => Ok(member),
            None if self.store.chats(&[chat]).await?.is_empty() => Err(ChatError::NoChat),
            None => Err(ChatError::NotMember),
        }
    }
}

/// Those of `users` whose presence the viewer may see: themself and who shares a chat.
pub(crate) async fn visible_users(
    store: &dyn ChatStore,
    viewer: UserId,
    users: &[UserId],
) -> Result<Vec<UserId>, PortError> {
    let others: Vec<_> = users
        .iter()
        .copied()
        .filter(|user| *user != viewer)
        .collect();
    let mut visible = if others.is_empty() {
        Vec::new()
    } else {
        store.sharing(viewer, &others).await?
    };
    if users.contains(&viewer) {
        visible.push(viewer);
    }
    Ok(visible)
}

/// Publishes what has been committed. A bus that is down costs promptness, not the change:
/// followers find it in the store.
pub(crate) async fn announce(bus: &dyn Bus, topic: Topic, event: Event) {
    if let Err(error) = bus.publish(topic, event).await {
        tracing::warn!(error = %crate::error::chain(&error), "an event was not published");
    }
}

/// The rule of search texts: at most 100 characters.
pub(crate) fn check_search(search: Option<&str>) -> Result<(), Invalid> {
    match search {
        Some(text) if text.chars().take(101).count() > 100 => Err(Invalid::new(
            "search",
            "must be at most 100 characters long",
        )),
        _ => Ok(()),
    }
}
