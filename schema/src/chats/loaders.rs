//! Loads chats, their members and what the viewer has not read.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use talksy_domain::chats::{Chat, Member, MemberPage};
use talksy_domain::error::PortError;
use talksy_domain::id::ChatId;
use talksy_domain::page::Page;

use crate::loaders::{Loader, LoaderContext, by_key, by_place};

/// The viewer's membership of a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ViewerMemberOf(pub ChatId);

/// The viewer's unread count of a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UnreadOf(pub ChatId);

/// How many of those messages mention the viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UnreadMentionsOf(pub ChatId);

/// The first members of a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FirstMembersOf {
    /// The chat.
    pub chat: ChatId,
    /// How many.
    pub limit: usize,
}

impl FirstMembersOf {
    /// Both members of a direct chat.
    pub const fn pair(chat: ChatId) -> Self {
        Self { chat, limit: 2 }
    }
}

/// The two members of a chat who have read least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LowestReadMarksOf(pub ChatId);

/// A page of a chat's members.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MembersOf(pub MemberPage);

fn grouped<K: Eq + Hash>(
    members: Vec<Member>,
    key: impl Fn(ChatId) -> K,
) -> HashMap<K, Arc<[Member]>> {
    let mut groups = HashMap::<ChatId, Vec<Member>>::new();
    for member in members {
        groups.entry(member.chat_id).or_default().push(member);
    }
    groups
        .into_iter()
        .map(|(chat, members)| (key(chat), members.into()))
        .collect()
}

impl Loader<ChatId> for LoaderContext {
    type Value = Chat;

    async fn load(&self, keys: &[ChatId]) -> Result<HashMap<ChatId, Chat>, PortError> {
        Ok(by_key(
            self.services.chats.referenced(keys).await?,
            |chat| chat.id,
        ))
    }
}

impl Loader<ViewerMemberOf> for LoaderContext {
    type Value = Member;

    async fn load(
        &self,
        keys: &[ViewerMemberOf],
    ) -> Result<HashMap<ViewerMemberOf, Member>, PortError> {
        let Some(viewer) = self.viewer() else {
            return Ok(HashMap::new());
        };
        let chats: Vec<_> = keys.iter().map(|key| key.0).collect();
        let members = self.services.chats.viewer_members(viewer, &chats).await?;
        Ok(by_key(members, |member| ViewerMemberOf(member.chat_id)))
    }
}

impl Loader<UnreadOf> for LoaderContext {
    type Value = u32;

    async fn load(&self, keys: &[UnreadOf]) -> Result<HashMap<UnreadOf, u32>, PortError> {
        let Some(viewer) = self.viewer() else {
            return Ok(HashMap::new());
        };
        let chats: Vec<_> = keys.iter().map(|key| key.0).collect();
        let counts = self.services.chats.unread_counts(viewer, &chats).await?;
        Ok(counts
            .into_iter()
            .map(|(chat, count)| (UnreadOf(chat), count))
            .collect())
    }
}

impl Loader<UnreadMentionsOf> for LoaderContext {
    type Value = u32;

    async fn load(
        &self,
        keys: &[UnreadMentionsOf],
    ) -> Result<HashMap<UnreadMentionsOf, u32>, PortError> {
        let Some(viewer) = self.viewer() else {
            return Ok(HashMap::new());
        };
        let chats: Vec<_> = keys.iter().map(|key| key.0).collect();
        let counts = self.services.chats.unread_mentions(viewer, &chats).await?;
        Ok(counts
            .into_iter()
            .map(|(chat, count)| (UnreadMentionsOf(chat), count))
            .collect())
    }
}

impl Loader<FirstMembersOf> for LoaderContext {
    type Value = Arc<[Member]>;

    async fn load(
        &self,
        keys: &[FirstMembersOf],
    ) -> Result<HashMap<FirstMembersOf, Arc<[Member]>>, PortError> {
        let Some(viewer) = self.viewer() else {
            return Ok(HashMap::new());
        };
        let mut found = HashMap::new();
        // One call for each page size that the query names.
        let limits: HashSet<_> = keys.iter().map(|key| key.limit).collect();
        for limit in limits {
            let chats: Vec<_> = keys
                .iter()
                .filter(|key| key.limit == limit)
                .map(|key| key.chat)
                .collect();
            let members = self
                .services
                .chats
                .first_members(viewer, &chats, limit)
                .await?;
            found.extend(grouped(members, |chat| FirstMembersOf { chat, limit }));
        }
        Ok(found)
    }
}

impl Loader<LowestReadMarksOf> for LoaderContext {
    type Value = Arc<[Member]>;

    async fn load(
        &self,
        keys: &[LowestReadMarksOf],
    ) -> Result<HashMap<LowestReadMarksOf, Arc<[Member]>>, PortError> {
        let chats: Vec<_> = keys.iter().map(|key| key.0).collect();
        let members = self.services.chats.lowest_read_marks(&chats).await?;
        Ok(grouped(members, LowestReadMarksOf))
    }
}

impl Loader<MembersOf> for LoaderContext {
    type Value = Page<Member>;

    async fn load(
        &self,
        keys: &[MembersOf],
    ) -> Result<HashMap<MembersOf, Page<Member>>, PortError> {
        let Some(viewer) = self.viewer() else {
            return Ok(HashMap::new());
        };
        let wanted: Vec<_> = keys.iter().map(|key| key.0.clone()).collect();
        let pages = self.services.chats.member_pages(viewer, &wanted).await?;
        Ok(by_place(keys, pages, |page| page))
    }
}
