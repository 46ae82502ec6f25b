//! `Chat` and `ReadReceipt`.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object};
use talksy_domain::access::Denied;
use talksy_domain::chats::{Chat, ChatKind, ChatService, MemberPage, ReadReceipt};
use talksy_domain::cursor::{ChatCursor, Cursor as _, MessageCursor};
use talksy_domain::events::Hole;
use talksy_domain::feeds::ChatState;
use talksy_domain::id::ChatId;
use talksy_domain::messages::PinCursor;
use talksy_domain::page::{Page, Window};

use super::loaders::{
    FirstMembersOf, LowestReadMarksOf, UnreadMentionsOf, UnreadOf, ViewerMemberOf,
};
use super::members::{
    MemberConnection, MemberObject, load_members, member_cursor, member_place, placeholder,
    read_cursor,
};
use crate::attachments::{AttachmentNode, load_attachment};
use crate::connection::connection;
use crate::context::ContextExt as _;
use crate::error::{ResolverError, Result, dangling};
use crate::messages::{
    ChangesOf, GroupMetadataOf, LastMessageOf, MessageChangeConnection, MessageChangeObject,
    MessageConnection, MessageNode, PageOf, PinnedOf,
};
use crate::metadata::Json;
use crate::scalars::{DateTime, compound_id, global_id, int};
use crate::sharing::{SharedField, SharedType, Side};
use crate::users::{UserNode, load_user};

/// What kind of chat it is.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "ChatKind", remote = "talksy_domain::chats::ChatKind")]
pub enum ChatKindEnum {
    /// Between two users; there is at most one for each pair.
    Direct,
    /// Of any number of users, with a title.
    Group,
}

/// What viewers share of chats. What belongs to a state of a chat is shared where the chat is the
/// event, and not where a message or a receipt refers to it.
pub(crate) const SHARED: &[SharedType] = &[
    SharedType {
        name: "Chat",
        interfaces: &["Node"],
        fields: &[
            SharedField::event("id"),
            SharedField::event("kind"),
            SharedField::event("title"),
            SharedField::event("avatar").of("Attachment"),
            SharedField::state("memberCount"),
            SharedField::state("peer").of("User"),
            SharedField::state("lastMessage").of("Message"),
            SharedField::state("lastSeq"),
            SharedField::state("lastChangeSeq"),
            SharedField::state("headCursor"),
            SharedField::hole("unreadCount"),
            SharedField::hole("unreadMentionCount"),
            SharedField::hole("isMutedByViewer"),
            SharedField::hole("viewerUnreadFromSeq"),
            SharedField::hole("readCursor"),
            SharedField::hole("readByAllSeq"),
            SharedField::hole("viewerMember").of("Member"),
            SharedField::state("metadata"),
            SharedField::event("createdAt"),
            SharedField::state("activeAt"),
        ],
    },
    SharedType {
        name: "Member",
        interfaces: &[],
        fields: &[
            SharedField::hole("id"),
            SharedField::hole("role"),
            SharedField::hole("joinedAt"),
            SharedField::hole("visibleFromSeq"),
            SharedField::hole("lastReadSeq"),
            SharedField::hole("lastReadAt"),
        ],
    },
    SharedType {
        name: "ReadReceipt",
        interfaces: &[],
        fields: &[
            SharedField::event("id"),
            SharedField::event("chat").of("Chat"),
            SharedField::event("user").of("User"),
            SharedField::event("lastReadSeq"),
            SharedField::event("readAt"),
        ],
    },
];

/// A conversation; where a feed tells of it, as it was at a place of its lines.
#[derive(Clone)]
pub struct ChatNode(Chat, Option<Arc<ChatState>>, Reached);

/// How the viewer has come to a chat.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reached {
    /// As a member, or by an event of the chat.
    ByMembership,
    /// Through a message that they were let see alone: they may be no member, and are asked.
    ByMessage,
}

/// A conversation.
#[Object(name = "Chat")]
impl ChatNode {
    /// The chat's global id.
    pub(crate) async fn id(&self) -> ID {
        global_id(self.0.id)
    }

    /// What kind of chat it is.
    async fn kind(&self) -> ChatKindEnum {
        self.0.kind.into()
    }

    /// A group's title; for a direct chat, the other member's name.
    async fn title(&self, ctx: &Context<'_>) -> Result<String> {
        if let Some(title) = &self.0.title {
            return Ok(title.as_str().to_owned());
        }
        let peer = self.other_member(ctx).await?;
        Ok(peer.as_ref().map(UserNode::name_text).unwrap_or_default())
    }

    /// A group's picture; for a direct chat, the other member's.
    async fn avatar(&self, ctx: &Context<'_>) -> Result<Option<AttachmentNode>> {
        if self.0.kind == ChatKind::Group {
            return load_attachment(ctx, self.0.avatar_id).await;
        }
        match self.other_member(ctx).await? {
            Some(peer) => load_attachment(ctx, peer.avatar_id()).await,
            None => Ok(None),
        }
    }

    /// The members, ordered by the age of their accounts.
    async fn members(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 0 to 100; 50 where absent.")] first: Option<i32>,
        #[graphql(desc = "Only members behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Only members whose name contains this text, in any case.")]
        search: Option<String>,
    ) -> Result<MemberConnection> {
        let window = Window::forward(first, member_cursor(after.as_deref(), self.0.id)?)?;
        if self.2 == Reached::ByMessage {
            check_member(ctx, self.0.id).await?;
        }
        let page = if window.after.is_some() || search.is_some() {
            let filter = ChatService::member_filter(search.as_deref())?;
            let chat = self.0.id;
            let wanted = MemberPage {
                chat,
                filter,
                window,
            };
            load_members(ctx, wanted).await?
        } else {
            let key = FirstMembersOf {
                chat: self.0.id,
                limit: window.limit + 1,
            };
            let members = ctx.loaders().load_one(key).await?.unwrap_or_default();
            Page::from_overread(members.to_vec(), &window)
        };
        Ok(MemberConnection::new(page.map(MemberObject), |member| {
            member_place(&member.0)
        }))
    }

    /// How many members there are.
    async fn member_count(&self) -> i32 {
        int(self.0.member_count)
    }

    /// The other side of a direct chat.
    async fn peer(&self, ctx: &Context<'_>) -> Result<Option<UserNode>> {
        self.other_member(ctx).await
    }

    /// The newest message; null where there is none, and for who sees the chat without being a member.
    async fn last_message(&self, ctx: &Context<'_>) -> Result<Option<MessageNode>> {
        if self.2 == Reached::ByMessage {
            let member = ctx.loaders().load_one(ViewerMemberOf(self.0.id)).await?;
            if member.is_none() {
                return Ok(None);
            }
        }
        let last = match &self.1 {
            // A newer one may not be the viewer's to read.
            Some(state) => state.last_message.clone().map(Arc::new),
            None => ctx.loaders().load_one(LastMessageOf(self.0.id)).await?,
        };
        Ok(last.map(MessageNode::new))
    }

    /// The sequence number of the newest message, 0 where there is none.
    async fn last_seq(&self) -> i32 {
        int(self.0.last_seq)
    }

    /// The number of the newest change of a message, 0 where there was none.
    async fn last_change_seq(&self) -> i32 {
        int(self.0.last_change_seq)
    }

    /// The place behind the newest message and the newest change, also where there is none: give it
    /// as `after` to `messageAdded` and `messageUpdated`, and nothing is missed that happened since
    /// this answer.
    async fn head_cursor(&self, ctx: &Context<'_>) -> Result<String> {
        Ok(MessageCursor {
            chat_id: self.0.id,
            incarnation: ctx.services().feeds.incarnation().await?,
            seq: self.0.last_seq,
            change_seq: Some(self.0.last_change_seq),
        }
        .encode())
    }

    /// Exact: messages of others above the viewer's read mark, deleted ones left out.
    async fn unread_count(&self, ctx: &Context<'_>) -> Result<i32> {
        if ctx.is_hole(Hole::UnreadCount) {
            return Ok(0);
        }
        let count = ctx.loaders().load_one(UnreadOf(self.0.id)).await?;
        Ok(int(count.unwrap_or_default()))
    }

    /// Exact: those of the unread messages that mention the viewer.
    async fn unread_mention_count(&self, ctx: &Context<'_>) -> Result<i32> {
        if ctx.is_hole(Hole::UnreadMentionCount) {
            return Ok(0);
        }
        let count = ctx.loaders().load_one(UnreadMentionsOf(self.0.id)).await?;
        Ok(int(count.unwrap_or_default()))
    }

    /// Every other member has read up to here; null where there is none, where it is not told as one of
    /// two has blocked the other, and in a large group: one with more members than the server's setting,
    /// 100 where it says nothing else.
    async fn read_by_all_seq(&self, ctx: &Context<'_>) -> Result<Option<i32>> {
        if ctx.is_hole(Hole::ReadByAll) {
            return Ok(None);
        }
        let viewer = ctx.viewer()?;
        if ctx.services().chats.is_large(&self.0) {
            return Ok(None);
        }
        // Least first.
        let lowest = ctx.loaders().load_one(LowestReadMarksOf(self.0.id)).await?;
        let lowest = lowest.unwrap_or_default();
        let mut lowest = lowest.iter();
        let other = lowest.find(|member| member.user_id != viewer.user_id);
        let other = other.filter(|member| member.shows_marks_to(viewer.user_id));
        Ok(other.map(|member| int(member.last_read_seq)))
    }

    /// Whether the viewer wants no notifications of the chat.
    async fn is_muted_by_viewer(&self, ctx: &Context<'_>) -> Result<bool> {
        if ctx.is_hole(Hole::IsMuted) {
            return Ok(false);
        }
        let member = ctx.loaders().load_one(ViewerMemberOf(self.0.id)).await?;
        Ok(member.is_some_and(|member| member.is_muted))
    }

    /// From which message on the viewer shows the chat as unread, as `markUnread` says; null where they
    /// do not.
    async fn viewer_unread_from_seq(&self, ctx: &Context<'_>) -> Result<Option<i32>> {
        if ctx.is_hole(Hole::UnreadFrom) {
            return Ok(None);
        }
        let member = ctx.loaders().load_one(ViewerMemberOf(self.0.id)).await?;
        Ok(member.and_then(|member| member.unread_from_seq).map(int))
    }

    /// The place behind the viewer's read mark: `messages(after:)` it starts at the first unread.
    async fn read_cursor(&self, ctx: &Context<'_>) -> Result<String> {
        if ctx.is_hole(Hole::ReadCursor) {
            return Ok(String::new());
        }
        let member = ctx.loaders().load_one(ViewerMemberOf(self.0.id)).await?;
        let incarnation = ctx.services().feeds.incarnation().await?;
        Ok(read_cursor(self.0.id, incarnation, member.as_ref()))
    }

    /// The viewer's own membership; null only for an operator who is no member.
    async fn viewer_member(&self, ctx: &Context<'_>) -> Result<Option<MemberObject>> {
        if ctx.is_for_all() {
            return Ok(Some(MemberObject(placeholder(self.0.id))));
        }
        let member = ctx.loaders().load_one(ViewerMemberOf(self.0.id)).await?;
        Ok(member.map(MemberObject))
    }

    /// The messages, oldest first. `last: 50`, which is also the default, is the newest page;
    /// `before` goes back in time. A message's own `cursor` opens its surroundings.
    async fn messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the start or behind `after`, 0 to 100.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Only messages behind this cursor of the chat.")] after: Option<String>,
        #[graphql(desc = "How many from the end or ahead of `before`, 0 to 100.")] last: Option<
            i32,
        >,
        #[graphql(desc = "Only messages ahead of this cursor of the chat.")] before: Option<String>,
    ) -> Result<MessageConnection> {
        let incarnation = ctx.services().feeds.incarnation().await?;
        let place = |text: Option<String>, field| {
            let decode =
                |text: String| MessageCursor::decode_in(&text, self.0.id, incarnation, field);
            text.map(decode)
                .transpose()
                .map(|cursor| cursor.map(|cursor| cursor.seq))
        };
        let window = Window::either(
            first,
            place(after, "after")?,
            last,
            place(before, "before")?,
        )?;
        let (chat, changes) = (self.0.id, self.0.last_change_seq);
        let key = PageOf {
            chat,
            window,
            changes,
        };
        let Some(page) = ctx.loaders().load_one(key).await? else {
            return Err(no_member(ctx, chat).await);
        };
        Ok(MessageConnection::new(
            page.map(|message| MessageNode::of_page(message, incarnation, changes)),
            MessageNode::place_in_page,
        ))
    }

    /// The pinned messages, newest pin first; at most 100.
    async fn pinned_messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 0 to 100; 50 where absent.")] first: Option<i32>,
        #[graphql(desc = "Only messages behind this cursor of pinned messages.")] after: Option<
            String,
        >,
    ) -> Result<MessageConnection> {
        let chat = self.0.id;
        let after = after
            .map(|text| PinCursor::decode_in(&text, chat, "after"))
            .transpose()?;
        let window = Window::forward(first, after.map(|cursor| cursor.pinned_seq))?;
        let Some(page) = ctx.loaders().load_one(PinnedOf { chat, window }).await? else {
            return Err(no_member(ctx, chat).await);
        };
        Ok(MessageConnection::new(
            page.map(MessageNode::new),
            MessageNode::pinned_place,
        ))
    }

    /// The messages that were changed behind the cursor (edited, deleted, reacted to, pinned), as
    /// they are now and in the order of their latest change.
    async fn changes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 0 to 100; 50 where absent.")] first: Option<i32>,
        #[graphql(
            desc = "Only changes behind this cursor: `headCursor`, or one of `messages`, `changes` or `messageUpdated`."
        )]
        after: Option<String>,
    ) -> Result<MessageChangeConnection> {
        let incarnation = ctx.services().feeds.incarnation().await?;
        let after = after
            .map(|text| MessageCursor::decode_in(&text, self.0.id, incarnation, "after"))
            .transpose()?;
        let seq = after.map_or(0, |cursor| cursor.seq);
        let window = Window::forward(first, after.map(|cursor| cursor.change_seq.unwrap_or(0)))?;
        let chat = self.0.id;
        let key = ChangesOf { chat, window };
        let Some(page) = ctx.loaders().load_one(key).await? else {
            return Err(no_member(ctx, chat).await);
        };
        Ok(MessageChangeConnection::new(
            page.map(|message| MessageChangeObject::new(message, incarnation, seq)),
            MessageChangeObject::place,
        ))
    }

    /// What the application keeps about the group.
    async fn metadata(&self, ctx: &Context<'_>) -> Result<Option<Json>> {
        let seq = self.0.metadata_seq;
        if seq == 0 {
            return Ok(None);
        }
        let key = GroupMetadataOf {
            chat: self.0.id,
            seq,
        };
        let kept = ctx.loaders().load_one(key).await?;
        Ok(kept.as_ref().map(Json::of))
    }

    /// When the chat was started.
    async fn created_at(&self) -> DateTime {
        self.0.created_at.into()
    }

    /// When its last message was sent or it last changed; `chats` is ordered by it.
    async fn active_at(&self) -> DateTime {
        self.0.active_at.into()
    }
}

impl ChatNode {
    /// A chat as it is now.
    pub(crate) const fn new(chat: Chat) -> Self {
        Self(chat, None, Reached::ByMembership)
    }

    /// A chat at a place of its lines.
    pub(crate) fn at(state: &Arc<ChatState>) -> Self {
        Self(
            state.chat.clone(),
            Some(Arc::clone(state)),
            Reached::ByMembership,
        )
    }

    /// The chat for somebody who may be no member: what members read of it they are not shown.
    pub(crate) fn without_proof(self) -> Self {
        Self(self.0, self.1, Reached::ByMessage)
    }

    /// The chat's place in its member's list.
    pub(crate) fn cursor(&self) -> String {
        ChatCursor {
            active_at: self.0.active_at,
            chat_id: self.0.id,
        }
        .encode()
    }

    async fn other_member(&self, ctx: &Context<'_>) -> Result<Option<UserNode>> {
        if self.0.kind != ChatKind::Direct {
            return Ok(None);
        }
        if ctx.is_for_all()
            && let Some(side) = ctx.data_opt::<Side>()
            && side.chat_id == self.0.id
        {
            return Ok(Some(load_user(ctx, side.peer).await?));
        }
        let viewer = ctx.viewer()?;
        let state = self.1.as_ref();
        if let Some(peer) = state.and_then(|state| state.peer_of(viewer.user_id)) {
            return Ok(Some(load_user(ctx, peer).await?));
        }
        let key = FirstMembersOf::pair(self.0.id);
        let members = ctx.loaders().load_one(key).await?.unwrap_or_default();
        match members
            .iter()
            .find(|member| member.user_id != viewer.user_id)
        {
            Some(member) => Ok(Some(load_user(ctx, member.user_id).await?)),
            None => Ok(None),
        }
    }
}

connection!(
    ChatConnection,
    ChatEdge,
    "ChatConnection",
    "ChatEdge",
    ChatNode,
    "A page of chats."
);

/// How far a member has read: the absolute state, so that applying one twice is harmless.
#[derive(Clone)]
pub struct ReadReceiptObject(pub ReadReceipt);

/// How far a member has read: the absolute state, so that applying one twice is harmless.
#[Object(name = "ReadReceipt")]
impl ReadReceiptObject {
    /// The receipt's own id: always the same for this user in this chat, and no other object's. For
    /// caches; `node` does not know it.
    async fn id(&self) -> ID {
        compound_id("receipt", &[&self.0.chat_id, &self.0.user_id])
    }

    /// The chat.
    async fn chat(&self, ctx: &Context<'_>) -> Result<ChatNode> {
        load_chat(ctx, self.0.chat_id).await
    }

    /// The member.
    async fn user(&self, ctx: &Context<'_>) -> Result<UserNode> {
        load_user(ctx, self.0.user_id).await
    }

    /// Read up to and including this message.
    async fn last_read_seq(&self) -> i32 {
        int(self.0.last_read_seq)
    }

    /// When.
    async fn read_at(&self) -> DateTime {
        self.0.read_at.into()
    }
}

connection!(
    ReadReceiptConnection,
    ReadReceiptEdge,
    "ReadReceiptConnection",
    "ReadReceiptEdge",
    ReadReceiptObject,
    "A page of read receipts."
);

/// Why nothing was loaded of a chat: the viewer is no member, or no longer.
pub(crate) async fn no_member(ctx: &Context<'_>, chat: ChatId) -> ResolverError {
    let membership = async {
        let access = &ctx.services().access;
        Ok::<_, ResolverError>(access.membership(ctx.viewer()?, chat).await?)
    };
    match membership.await {
        // They have become one in between.
        Ok(_) => Denied::NotMember.into(),
        Err(error) => error,
    }
}

/// Lets members of the chat pass.
pub(crate) async fn check_member(ctx: &Context<'_>, chat: ChatId) -> Result<()> {
    match ctx.loaders().load_one(ViewerMemberOf(chat)).await? {
        Some(_) => Ok(()),
        None => Err(no_member(ctx, chat).await),
    }
}

/// The chat that a record refers to.
pub(crate) async fn load_chat(ctx: &Context<'_>, chat: ChatId) -> Result<ChatNode> {
    let found = ctx.loaders().load_one(chat).await?;
    Ok(found
        .map(ChatNode::new)
        .ok_or_else(|| dangling(chat.to_string()))?)
}

/// Whether how far all members of the chat have read is not told, as it is a large group.
pub(crate) async fn is_large(ctx: &Context<'_>, chat: ChatId) -> Result<bool> {
    let chat = load_chat(ctx, chat).await?;
    Ok(ctx.services().chats.is_large(&chat.0))
}
