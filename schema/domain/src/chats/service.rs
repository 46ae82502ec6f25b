//! Who may start, see and read chats.

use std::sync::Arc;

use super::model::{Chat, ChatKind, LargeGroups, Member, ReadReceipt};
use super::store::{ChatStore, MemberFilter, MemberPage};
use super::total_unread::{MAX_SUMMED, total_unread};
use crate::access::{Access, AccessError, Denied, Membership};
use crate::clock::Clock;
use crate::cursor::ChatCursor;
use crate::error::service_error;
use crate::error::{ApiError, ErrorCode, Invalid, PortError};
use crate::id::{ChatId, IdGenerator, UserId};
use crate::limits::{Decision, RateLimiter, Rule};
use crate::page::{Page, Window};
use crate::seq::Seq;
use crate::text::check_search;
use crate::viewer::Viewer;

/// Why a chat was refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ChatError {
    /// An argument breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The viewer may not.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Too many chats were started.
    #[error("You start chats too quickly. Wait a little.")]
    TooFast(std::time::Duration),
    /// Too many changes.
    #[error("You change this too quickly. Wait a little.")]
    TooManyChanges(std::time::Duration),
    /// A port failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl ChatError {
    fn api_error(&self) -> ApiError {
        match self {
            Self::Invalid(invalid) => invalid.into(),
            Self::Access(error) => error.clone().into(),
            Self::TooFast(wait) | Self::TooManyChanges(wait) => {
                ApiError::new(ErrorCode::RateLimited, self.to_string()).retry_after(*wait)
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
    /// Who may do what.
    pub(crate) access: Arc<Access>,
    /// Holds back who starts chats too quickly.
    pub(crate) limiter: Arc<dyn RateLimiter>,
    /// How quickly one may start chats.
    pub(crate) start_rule: Rule,
    /// How quickly one may change what is one's own of chats, such as whether they are muted.
    pub(crate) change_rule: Rule,
    /// How quickly one may move read marks.
    pub(crate) read_rule: Rule,
    /// In which groups the other members are not told of receipts.
    pub(crate) large_groups: LargeGroups,
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
    /// New ids.
    pub(crate) ids: IdGenerator,
}

impl ChatService {
    /// The direct chat with another user, and whether it was made just now.
    ///
    /// # Errors
    /// Where the user is the viewer, does not exist or may not be contacted.
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
        let other = self.access.contact(viewer, other).await?;
        let now = self.clock.now();
        let candidate = Chat {
            id: self.ids.next(),
            kind: ChatKind::Direct,
            created_at: now,
            active_at: now,
            last_seq: 0,
            member_count: 2,
            title: None,
            last_change_seq: 0,
            avatar_id: None,
            applied_seq: 0,
            metadata_seq: 0,
            is_closed: false,
        };
        let users = [viewer.user_id, other.user_id()];
        Ok(self.store.open_direct(&candidate, users).await?)
    }

    /// Those of these chats of which the viewer is a member.
    pub async fn visible(&self, viewer: &Viewer, chats: &[ChatId]) -> Result<Vec<Chat>, ChatError> {
        let memberships = self.access.memberships(viewer, chats).await?;
        let ids: Vec<_> = memberships.iter().map(Membership::chat_id).collect();
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

    /// Members by name: all, or with `search` those whose name contains the text, in any case.
    ///
    /// # Errors
    /// Where the text is too long.
    pub fn member_filter(search: Option<&str>) -> Result<MemberFilter, ChatError> {
        let search = search.map(str::trim).filter(|text| !text.is_empty());
        check_search(search)?;
        Ok(MemberFilter {
            has_read: None,
            name: search.map(str::to_owned),
        })
    }

    /// These pages of members, each for its place in `wanted`, as they are shown to the viewer. Of chats
    /// of which the viewer is no member there is none.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn member_pages(
        &self,
        viewer: &Viewer,
        wanted: &[MemberPage],
    ) -> Result<Vec<Option<Page<Member>>>, PortError> {
        let chats = wanted.iter().map(|wanted| wanted.chat);
        let memberships = self.access.memberships_by_chat(viewer, chats).await?;
        let is_member = |wanted: &&MemberPage| memberships.contains_key(&wanted.chat);
        let parts: Vec<_> = wanted.iter().filter(is_member).cloned().collect();
        let user = viewer.user_id;
        let shown = |page: Page<Member>| page.map(|member| member.as_shown_to(user));
        let mut pages = self
            .store
            .member_pages(&parts)
            .await?
            .into_iter()
            .map(shown);
        let page = |wanted: &MemberPage| is_member(&wanted).then(|| pages.next())?;
        Ok(wanted.iter().map(page).collect())
    }

    /// Says whether the viewer wants no notifications of the chat, and tells their other devices.
    ///
    /// # Errors
    /// Where there is no such chat, the viewer is no member, or changes too much.
    pub async fn mute(
        &self,
        viewer: &Viewer,
        chat: ChatId,
        is_muted: bool,
    ) -> Result<Chat, ChatError> {
        self.admit(viewer, self.change_rule).await?;
        let member = self.store.set_muted(chat, viewer.user_id, is_muted).await?;
        let found = self.store.chats(&[chat]).await?.pop();
        let found = found.ok_or(AccessError::from(Denied::NoChat))?;
        if member.is_none() {
            return Err(AccessError::from(Denied::NotMember).into());
        }
        Ok(found)
    }

    /// Moves the viewer's read mark up to `seq`, and tells the other members at once; in a large
    /// group the viewer's own devices alone.
    ///
    /// # Errors
    /// Where there is no such chat, the viewer is no member, or moves marks too quickly.
    pub async fn mark_read(
        &self,
        viewer: &Viewer,
        chat: ChatId,
        seq: Seq,
    ) -> Result<(Chat, ReadReceipt), ChatError> {
        self.admit(viewer, self.read_rule).await?;
        let now = self.clock.now();
        let (user, large) = (viewer.user_id, self.large_groups);
        let Some(mark) = self.store.mark_read(chat, user, seq, now, large).await? else {
            let found = self.store.chats(&[chat]).await?;
            let denied = found.first().map_or(Denied::NoChat, |_| Denied::NotMember);
            return Err(AccessError::from(denied).into());
        };
        let receipt = mark.member.receipt().unwrap_or(ReadReceipt {
            chat_id: chat,
            user_id: viewer.user_id,
            // Who joined, and has not read on since, has read up to the message that says so.
            last_read_seq: mark.member.last_read_seq,
            read_at: now,
        });
        Ok((mark.chat, receipt))
    }

    /// Shows the chat as unread from this message on, on all of the viewer's devices and to nobody else,
    /// until something is marked as read.
    ///
    /// # Errors
    /// Where there is no such chat, the viewer is no member, may not read such a message, or moves
    /// marks too quickly.
    pub async fn mark_unread(
        &self,
        viewer: &Viewer,
        chat: ChatId,
        from_seq: Seq,
    ) -> Result<Chat, ChatError> {
        self.admit(viewer, self.read_rule).await?;
        let membership = self.access.membership(viewer, chat).await?;
        let found = self.access.chat(&membership).await?;
        let found = found.ok_or(AccessError::from(Denied::NoChat))?;
        if from_seq > found.last_seq || !membership.may_read(from_seq) {
            let rule = "must be the number of a message that you may read";
            return Err(Invalid::new("fromSeq", rule).into());
        }
        let member = self
            .store
            .mark_unread(chat, viewer.user_id, from_seq)
            .await?;
        match member {
            Some(_) => Ok(found),
            None => Err(AccessError::from(Denied::NotMember).into()),
        }
    }

    async fn admit(&self, viewer: &Viewer, rule: Rule) -> Result<(), ChatError> {
        let key = viewer.user_id.to_string();
        match self.limiter.check(rule, &key).await? {
            Decision::Denied(wait) => Err(ChatError::TooManyChanges(wait)),
            Decision::Allowed => Ok(()),
        }
    }

    /// Whether the chat is a large group: how far all its members have read is not told.
    pub const fn is_large(&self, chat: &Chat) -> bool {
        self.large_groups.contains(chat.member_count)
    }

    /// These chats, for what refers to them.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn referenced(&self, chats: &[ChatId]) -> Result<Vec<Chat>, PortError> {
        self.store.chats(chats).await
    }

    /// The viewer's own memberships of those of these chats of which they are a member.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn viewer_members(
        &self,
        viewer: &Viewer,
        chats: &[ChatId],
    ) -> Result<Vec<Member>, PortError> {
        self.store.memberships(viewer.user_id, chats).await
    }

    /// How many messages of each of these chats the viewer has not read.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn unread_counts(
        &self,
        viewer: &Viewer,
        chats: &[ChatId],
    ) -> Result<Vec<(ChatId, u32)>, PortError> {
        self.store.unread_counts(viewer.user_id, chats).await
    }

    /// How many messages the user, who asks, has not read in their most recently active chats, those that
    /// they have muted left out.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn total_unread(&self, user: UserId) -> Result<u32, PortError> {
        total_unread(&*self.store, user, MAX_SUMMED).await
    }

    /// How many of these messages mention the viewer.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn unread_mentions(
        &self,
        viewer: &Viewer,
        chats: &[ChatId],
    ) -> Result<Vec<(ChatId, u32)>, PortError> {
        self.store.unread_mentions(viewer.user_id, chats).await
    }

    /// The first `limit` members of each of these chats, which the viewer has been let into.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn first_members(
        &self,
        viewer: &Viewer,
        chats: &[ChatId],
        limit: usize,
    ) -> Result<Vec<Member>, PortError> {
        let members = self.store.first_members(chats, limit).await?.into_iter();
        Ok(members
            .map(|member| member.as_shown_to(viewer.user_id))
            .collect())
    }

    /// Of each of these chats, which the viewer has been let into, the two members who have read
    /// least, least first.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn lowest_read_marks(&self, chats: &[ChatId]) -> Result<Vec<Member>, PortError> {
        self.store.lowest_read_marks(chats).await
    }
}
