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

/// What a selection names below the nodes of a connection.
struct Selection<'a>([Lookahead<'a>; 2]);

impl<'a> Selection<'a> {
    fn of_nodes(ctx: &'a Context<'_>) -> Self {
        let connection = ctx.look_ahead();
        Self([
            connection.field("nodes"),
            connection.field("edges").field("node"),
        ])
    }

    fn names(&self, field: &str) -> bool {
        self.0.iter().any(|node| node.field(field).exists())
    }

    fn names_any(&self, fields: &[&str]) -> bool {
        fields.iter().any(|field| self.names(field))
    }

    fn names_below(&self, field: &str, leaf: &str) -> bool {
        let mut objects = self.0.iter().map(|node| node.field(field));
        objects.any(|object| object.field(leaf).exists())
    }
}

/// Loads what the selection of this field names of these chats of the viewer. What cannot be loaded is told by the
/// fields that ask for it.
pub(super) async fn chats(ctx: &Context<'_>, viewer: UserId, chats: &[Chat]) {
    let selection = Selection::of_nodes(ctx);
    let peers = async {
        if !selection.names_any(&["title", "peer"]) {
            return Vec::new();
        }
        let direct = chats.iter().filter(|chat| chat.kind == ChatKind::Direct);
        let pairs = direct.map(|chat| FirstMembersOf::pair(chat.id));
        let members = ctx.loaders().load_many(pairs);
        let members = members.await.unwrap_or_default();
        let members = members.values().flat_map(|members| members.iter());
        let others = members.filter(|member| member.user_id != viewer);
        others.map(|member| member.user_id).collect()
    };
    let senders = async {
        if !selection.names("lastMessage") {
            return Vec::new();
        }
        let last = chats.iter().map(|chat| LastMessageOf(chat.id));
        let last = ctx.loaders().load_many(last).await.unwrap_or_default();
        if !selection.names_below("lastMessage", "sender") {
            return Vec::new();
        }
        let senders = last.values().filter_map(|message| message.sender_id);
        senders.collect()
    };
    let unread = async {
        if selection.names("unreadCount") {
            let unread = chats.iter().map(|chat| UnreadOf(chat.id));
            let _ = ctx.loaders().load_many(unread).await;
        }
    };
    let memberships = async {
        if selection.names_any(&["viewerMember", "isMutedByViewer", "readCursor"]) {
            let mine = chats.iter().map(|chat| ViewerMemberOf(chat.id));
            let _ = ctx.loaders().load_many(mine).await;
        }
    };
    let (peers, senders, (), ()) = join!(peers, senders, unread, memberships);
    let people: HashSet<UserId> = peers.into_iter().chain(senders).collect();
    let _ = ctx.loaders().load_many(people).await;
}
