//! Making groups, and changing their title, members and roles.

use async_graphql::{Context, Enum, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use talksy_domain::access::Denied;
use talksy_domain::chats::ChatTitle;
use talksy_domain::error::Invalid;
use talksy_domain::groups::{ClientChatId, GroupDetails, GroupUpdate};
use talksy_domain::id::{self, UserId};

use crate::chats::{ChatNode, MemberObject, MemberRoleEnum};
use crate::context::ContextExt as _;
use crate::error::Result;
use crate::metadata::{Json, metadata_change};
use crate::scalars::global_id;

/// From where on a new member may read.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "HistoryFrom", remote = "talksy_domain::messages::HistoryFrom")]
pub enum HistoryFromEnum {
    /// From the chat's first message.
    All,
    /// From the system message by which they join.
    Join,
}

/// A group to make.
#[derive(InputObject)]
pub struct CreateGroupInput {
    /// Its title: 1 to 100 characters on one line, not blank.
    title: String,
    /// Its other first members, at most 100, each once. The viewer is a member and its owner.
    member_ids: Vec<ID>,
    /// What the application is to keep about the group.
    metadata: Option<Json>,
    /// Its picture, an image of the viewer that was uploaded and is not used yet.
    avatar_id: Option<ID>,
    /// The viewer's own id for the group, at most 64 characters: a retry with the same one, at any
    /// later time, returns the first group.
    client_chat_id: Option<String>,
}

/// The group as it was made, now or by an earlier try.
#[derive(SimpleObject)]
pub struct CreateGroupPayload {
    /// The group.
    chat: ChatNode,
}

/// What to change of a group.
#[derive(InputObject)]
pub struct UpdateGroupInput {
    /// A group of the viewer.
    chat_id: ID,
    /// Another title: 1 to 100 characters on one line, not blank. Absent to leave it as it is.
    title: MaybeUndefined<String>,
    /// What the application is to keep about the group; null clears it.
    metadata: MaybeUndefined<Json>,
    /// Another picture, an image of the viewer that was uploaded and is not used yet; null for none.
    avatar_id: MaybeUndefined<ID>,
}

/// The group as it is now.
#[derive(SimpleObject)]
pub struct UpdateGroupPayload {
    /// The group.
    chat: ChatNode,
}

/// Who is to be a member.
#[derive(InputObject)]
pub struct AddMembersInput {
    /// A group of the viewer.
    chat_id: ID,
    /// 1 to 100 users, each once. Who is a member already stays as they are.
    user_ids: Vec<ID>,
    /// From where on they may read.
    #[graphql(default_with = "HistoryFromEnum::Join")]
    history_from: HistoryFromEnum,
}

/// The group as it is now.
#[derive(SimpleObject)]
pub struct AddMembersPayload {
    /// The group.
    chat: ChatNode,
}

/// Whose membership is to end.
#[derive(InputObject)]
pub struct RemoveMemberInput {
    /// A group of the viewer.
    chat_id: ID,
    /// The member.
    user_id: ID,
}

/// The group as it is now.
#[derive(SimpleObject)]
pub struct RemoveMemberPayload {
    /// The group.
    chat: ChatNode,
}

/// Who is to have which role.
#[derive(InputObject)]
pub struct SetMemberRoleInput {
    /// A group of the viewer.
    chat_id: ID,
    /// The member.
    user_id: ID,
    /// The role.
    role: MemberRoleEnum,
}

/// The member as they are now.
#[derive(SimpleObject)]
pub struct SetMemberRolePayload {
    /// The member.
    member: MemberObject,
}

/// Which group to leave.
#[derive(InputObject)]
pub struct LeaveChatInput {
    /// A group of the viewer.
    chat_id: ID,
}

/// The viewer is no member any more.
#[derive(SimpleObject)]
pub struct LeaveChatPayload {
    /// The chat's global id.
    chat_id: ID,
}

/// Mutations of groups.
#[derive(Default)]
pub struct GroupMutation;

#[Object]
impl GroupMutation {
    /// Makes a group, which the viewer owns.
    async fn create_group(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The group.")] input: CreateGroupInput,
    ) -> Result<Option<CreateGroupPayload>> {
        let viewer = ctx.viewer()?;
        let avatar = input.avatar_id.as_ref();
        let avatar = avatar.map(|avatar| id::parse(avatar, "avatarId"));
        let details = GroupDetails {
            title: ChatTitle::parse(&input.title)?,
            metadata: input.metadata.as_ref().map(Json::metadata).transpose()?,
            avatar_id: avatar.transpose()?,
        };
        let members = users(&input.member_ids, "memberIds")?;
        let own_id = input.client_chat_id.map(ClientChatId::parse).transpose()?;
        let groups = &ctx.services().groups;
        let chat = groups.create(viewer, details, members, own_id).await?;
        Ok(Some(CreateGroupPayload {
            chat: ChatNode::new(chat),
        }))
    }

    /// Changes a group's title, what the application keeps about it, or its picture: all of it or nothing,
    /// with one system message. For its admins and owners.
    async fn update_group(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdateGroupInput,
    ) -> Result<Option<UpdateGroupPayload>> {
        let viewer = ctx.viewer()?;
        let chat = id::parse(&input.chat_id, "chatId")?;
        let services = ctx.services();
        let title = match &input.title {
            MaybeUndefined::Value(title) => Some(ChatTitle::parse(title)?),
            MaybeUndefined::Null => {
                return Err(Invalid::new("title", "must not be null").into());
            }
            MaybeUndefined::Undefined => None,
        };
        let avatar = match input.avatar_id {
            MaybeUndefined::Value(avatar) => Some(Some(id::parse(&avatar, "avatarId")?)),
            MaybeUndefined::Null => Some(None),
            MaybeUndefined::Undefined => None,
        };
        let update = GroupUpdate {
            title,
            metadata: metadata_change(&input.metadata)?,
            avatar_id: avatar,
        };
        let chat = if update == GroupUpdate::default() {
            services.access.membership(viewer, chat).await?;
            let mut found = services.chats.visible(viewer, &[chat]).await?;
            found.pop().ok_or(Denied::NotMember)?
        } else {
            services.groups.update(viewer, chat, update).await?
        };
        Ok(Some(UpdateGroupPayload {
            chat: ChatNode::new(chat),
        }))
    }

    /// Makes users members of a group, all or none of them. For its admins and owners.
    async fn add_members(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who.")] input: AddMembersInput,
    ) -> Result<Option<AddMembersPayload>> {
        let viewer = ctx.viewer()?;
        let chat = id::parse(&input.chat_id, "chatId")?;
        let users = users(&input.user_ids, "userIds")?;
        let history = input.history_from.into();
        let groups = &ctx.services().groups;
        let chat = groups.add(viewer, chat, users, history).await?;
        Ok(Some(AddMembersPayload {
            chat: ChatNode::new(chat),
        }))
    }

    /// Ends somebody's membership of a group. For its admins, whose own and whose owners' only
    /// owners end. Who is no member stays none.
    async fn remove_member(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose.")] input: RemoveMemberInput,
    ) -> Result<Option<RemoveMemberPayload>> {
        let viewer = ctx.viewer()?;
        let chat = id::parse(&input.chat_id, "chatId")?;
        let user = id::parse(&input.user_id, "userId")?;
        let chat = ctx.services().groups.remove(viewer, chat, user).await?;
        Ok(Some(RemoveMemberPayload {
            chat: ChatNode::new(chat),
        }))
    }

    /// Gives a member of a group another role. For its owners; the last one stays an owner.
    async fn set_member_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who, and which.")] input: SetMemberRoleInput,
    ) -> Result<Option<SetMemberRolePayload>> {
        let viewer = ctx.viewer()?;
        let chat = id::parse(&input.chat_id, "chatId")?;
        let user = id::parse(&input.user_id, "userId")?;
        let groups = &ctx.services().groups;
        let role = input.role.into();
        let member = groups.set_role(viewer, chat, user, role).await?;
        Ok(Some(SetMemberRolePayload {
            member: MemberObject(member),
        }))
    }

    /// Ends the viewer's own membership of a group. When the last owner leaves, the admin who
    /// joined first becomes an owner, or else the member who did. Leaving again changes nothing.
    async fn leave_chat(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which group.")] input: LeaveChatInput,
    ) -> Result<Option<LeaveChatPayload>> {
        let viewer = ctx.viewer()?;
        let chat = id::parse(&input.chat_id, "chatId")?;
        ctx.services().groups.leave(viewer, chat).await?;
        Ok(Some(LeaveChatPayload {
            chat_id: global_id(chat),
        }))
    }
}

/// Reads a list of users; a refusal names the place in it.
fn users(ids: &[ID], field: &'static str) -> Result<Vec<UserId>, Invalid> {
    let parse = |(place, id): (usize, &ID)| {
        let user: Result<UserId, Invalid> = id::parse(id, field);
        user.map_err(|invalid| Invalid {
            field: format!("{field}.{place}").into(),
            ..invalid
        })
    };
    ids.iter().enumerate().map(parse).collect()
}
