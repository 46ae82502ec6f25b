//! `Member`.

use async_graphql::{Context, Enum, ID, Object};
use talksy_domain::chats::{Member, MemberPage};
use talksy_domain::clock::Timestamp;
use talksy_domain::cursor::{Cursor as _, MemberCursor, MessageCursor};
use talksy_domain::error::Invalid;
use talksy_domain::events::{Hole, MemberHole};
use talksy_domain::id::{self, ChatId, UserId};
use talksy_domain::incarnation::Incarnation;
use talksy_domain::page::Page;

use super::loaders::MembersOf;
use super::types::no_member;
use crate::connection::{connection, cursor};
use crate::context::ContextExt as _;
use crate::error::Result;
use crate::scalars::{DateTime, compound_id, int};
use crate::users::{UserNode, load_user};

/// What a member may do.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "MemberRole", remote = "talksy_domain::chats::MemberRole")]
pub enum MemberRoleEnum {
    /// Has made the group, or was given it.
    Owner,
    /// May change the group and its members.
    Admin,
    /// May read and write.
    Member,
}

/// A user's membership of a chat.
#[derive(Clone)]
pub struct MemberObject(pub Member);

/// A user's membership of a chat.
#[Object(name = "Member")]
impl MemberObject {
    /// The membership's own id: the same whenever the user is a member of this chat, and no other
    /// object's. For caches; `node` does not know it.
    async fn id(&self, ctx: &Context<'_>) -> ID {
        self.member(ctx, MemberHole::Id);
        member_id(&self.0)
    }

    /// The user.
    async fn user(&self, ctx: &Context<'_>) -> Result<UserNode> {
        load_user(ctx, self.0.user_id).await
    }

    /// What the member may do.
    async fn role(&self, ctx: &Context<'_>) -> MemberRoleEnum {
        self.member(ctx, MemberHole::Role).role.into()
    }

    /// Since when the user is a member.
    async fn joined_at(&self, ctx: &Context<'_>) -> DateTime {
        self.member(ctx, MemberHole::JoinedAt).joined_at.into()
    }

    /// Messages below this one are not shown to the member.
    async fn visible_from_seq(&self, ctx: &Context<'_>) -> i32 {
        let member = self.member(ctx, MemberHole::VisibleFromSeq);
        int(member.visible_from_seq)
    }

    /// The member has read up to and including this message; 0 for none.
    async fn last_read_seq(&self, ctx: &Context<'_>) -> i32 {
        int(self.member(ctx, MemberHole::LastReadSeq).last_read_seq)
    }

    /// When the read mark was last moved.
    async fn last_read_at(&self, ctx: &Context<'_>) -> Option<DateTime> {
        let member = self.member(ctx, MemberHole::LastReadAt);
        member.last_read_at.map(DateTime)
    }
}

impl MemberObject {
    /// The member; noted as a hole where it stands in for the viewer's own.
    fn member(&self, ctx: &Context<'_>, hole: MemberHole) -> &Member {
        if self.0.user_id == nobody() {
            ctx.is_hole(Hole::Member(hole));
        }
        &self.0
    }
}

/// Stands in for the viewer's membership in an execution for all viewers: each of its fields is a
/// hole.
pub(super) fn placeholder(chat: ChatId) -> Member {
    Member::of_direct(chat, nobody(), Timestamp::from_millis(0))
}

/// Who no user is.
fn nobody() -> UserId {
    id::from_bytes([0; 16])
}

/// A membership's own id.
pub(crate) fn member_id(member: &Member) -> ID {
    compound_id("member", &[&member.chat_id, &member.user_id])
}

/// The place behind the read mark of the viewer, who may be no member.
pub(crate) fn read_cursor(
    chat_id: ChatId,
    incarnation: Incarnation,
    member: Option<&Member>,
) -> String {
    MessageCursor {
        chat_id,
        incarnation,
        seq: member.map_or(0, |member| member.last_read_seq),
        change_seq: None,
    }
    .encode()
}

connection!(
    MemberConnection,
    MemberEdge,
    "MemberConnection",
    "MemberEdge",
    MemberObject,
    "A page of members."
);

/// A member's place in the chat's list.
pub(crate) fn member_place(member: &Member) -> String {
    MemberCursor {
        chat_id: member.chat_id,
        user_id: member.user_id,
    }
    .encode()
}

/// Reads a cursor of the chat's members.
///
/// # Errors
/// Where it is no such cursor, or one of another chat.
pub(crate) fn member_cursor(
    after: Option<&str>,
    chat: ChatId,
) -> Result<Option<MemberCursor>, Invalid> {
    let place: Option<MemberCursor> = cursor(after, "after")?;
    match place {
        Some(place) if place.chat_id != chat => Err(Invalid::new(
            "after",
            "must be a cursor of this chat, but is one of another",
        )),
        place => Ok(place),
    }
}

/// A page of members of a chat of the viewer.
pub(crate) async fn load_members(ctx: &Context<'_>, wanted: MemberPage) -> Result<Page<Member>> {
    let chat = wanted.chat;
    match ctx.loaders().load_one(MembersOf(wanted)).await? {
        Some(page) => Ok(page),
        None => Err(no_member(ctx, chat).await),
    }
}
