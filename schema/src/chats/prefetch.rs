//! Loads ahead what a page of chats is asked for, so that no field of a chat has to wait.
//!
//! The fields would load the same by themselves, together. But each of them would first be begun,
//! put aside and woken, on each level of the query: a list of chats costs a third of that.

use std::collections::HashSet;

use async_graphql::{Context, Lookahead};
use futures_util::join;
use talksy_domain::chats::{Chat, ChatKind};
use talksy_domain::id::UserId;

use super::loaders::{FirstMembersOf, UnreadOf, ViewerMemberOf};
use crate::context::ContextExt as _;
use crate::messages::LastMessageOf;

/// Which of a chat's fields a selection names.
struct Wanted {
    peer: bool,
    unread: bool,
    viewer_member: bool,
    last_message: bool,
    sender: bool,
}

impl Wanted {
    /// What the selection below a connection names of its nodes.
    fn below(connection: &Lookahead<'_>) -> Self {
        let nodes = [
            connection.field("nodes"),
            connection.field("edges").field("node"),
        ];
        let names = |field: &str| nodes.iter().any(|node| node.field(field).exists());
        let of_last = |field: &str| {
            let mut messages = nodes.iter().map(|node| node.field("lastMessage"));
            messages.any(|message| message.field(field).exists())
        };
        Self {
            peer: names("title") || names("peer"),
            unread: names("unreadCount"),
            viewer_member: ["viewerMember", "isMutedByViewer", "readCursor"]
                .into_iter()
                .any(names),
            last_message: names("lastMessage"),
            sender: of_last("sender"),
        }
    }
}

/// Loads what the selection of this field names of these chats of the viewer. What cannot be loaded is told by the
/// fields that ask for it.
pub(super) async fn chats(ctx: &Context<'_>, viewer: UserId, chats: &[Chat]) {
    let wanted = Wanted::below(&ctx.look_ahead());
    let peers = async {
        if !wanted.peer {
            return Vec::new();
        }
        let direct = chats.iter().filter(|chat| chat.kind == ChatKind::Direct);
        let members = ctx.loaders().load_many(direct.map(|chat| FirstMembersOf {
            chat: chat.id,
            limit: 2,
        }));
        let members = members.await.unwrap_or_default();
        let members = members.values().flat_map(|members| members.iter());
        let others = members.filter(|member| member.user_id != viewer);
        others.map(|member| member.user_id).collect()
    };
    let senders = async {
        if !wanted.last_message {
            return Vec::new();
        }
        let last = chats.iter().map(|chat| LastMessageOf(chat.id));
        let last = ctx.loaders().load_many(last).await.unwrap_or_default();
        let of_whom = last.values().filter(|_| wanted.sender);
        of_whom.filter_map(|message| message.sender_id).collect()
    };
    let unread = async {
        if wanted.unread {
            let unread = chats.iter().map(|chat| UnreadOf(chat.id));
            let _ = ctx.loaders().load_many(unread).await;
        }
    };
    let memberships = async {
        if wanted.viewer_member {
            let mine = chats.iter().map(|chat| ViewerMemberOf(chat.id));
            let _ = ctx.loaders().load_many(mine).await;
        }
    };
    let (peers, senders, (), ()) = join!(peers, senders, unread, memberships);
    let people: HashSet<UserId> = peers.into_iter().chain(senders).collect();
    let _ = ctx.loaders().load_many(people).await;
}
