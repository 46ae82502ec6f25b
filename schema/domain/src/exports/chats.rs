//! The chats that the user is or was in, each with what of it is theirs to read.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::value::RawValue;

use super::entry::{ArchivePart, ExportError, Out};
use super::lines::{Lines, kept};
use crate::access::{Access, OwnPart};
use crate::attachments::objects::ObjectStore;
use crate::attachments::store::AttachmentStore;
use crate::chats::model::{Chat, ChatKind, ChatTitle, MemberRole};
use crate::chats::store::ChatStore;
use crate::id::ChatId;
use crate::messages::model::Message;
use crate::messages::store::MessageStore;
use crate::page::{MAX_PAGE, Window};
use crate::seq::Seq;
use crate::users::store::UserStore;
use crate::viewer::Viewer;

/// How many ids of chats are read at a time.
const AT_ONCE: usize = 1_000;

/// How many system messages are looked at to find the title that a group had: one title is given in
/// far less, and a group may have many.
const MAX_NOTICES: usize = 1_000;

/// `chats/<id>/chat.json` and `chats/<id>/messages/….jsonl`, and `files/…` with what others have
/// attached to these messages.
pub(crate) struct OwnChats {
    /// Which part of a chat is the user's own.
    pub(crate) access: Arc<Access>,
    /// The chats.
    pub(crate) chats: Arc<dyn ChatStore>,
    /// Their messages.
    pub(crate) messages: Arc<dyn MessageStore>,
    /// Who is named there.
    pub(crate) users: Arc<dyn UserStore>,
    /// What is attached.
    pub(crate) attachments: Arc<dyn AttachmentStore>,
    /// The bytes of it.
    pub(crate) objects: Arc<dyn ObjectStore>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChatFile<'a> {
    id: String,
    kind: &'static str,
    /// Of a group that the user has left the one that it had then; null where that is not known any
    /// more.
    title: Option<&'a str>,
    /// What the application keeps about it; of a group that the user has left nothing.
    metadata: Option<Box<RawValue>>,
    created_at: String,
    membership: MembershipFile,
}

/// What is the user's own of a chat.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MembershipFile {
    role: &'static str,
    joined_at: String,
    visible_from_seq: Seq,
    /// The message that has ended the membership; null while it lasts.
    left_seq: Option<Seq>,
    last_read_seq: Seq,
    last_read_at: Option<String>,
    unread_from_seq: Option<Seq>,
    is_muted: bool,
}

/// The role by its name in GraphQL.
pub(super) const fn role_name(role: MemberRole) -> &'static str {
    match role {
        MemberRole::Member => "MEMBER",
        MemberRole::Admin => "ADMIN",
        MemberRole::Owner => "OWNER",
    }
}

#[async_trait]
impl ArchivePart for OwnChats {
    fn name(&self) -> &'static str {
        "chats"
    }

    async fn write(&self, viewer: &Viewer, out: &mut Out) -> Result<(), ExportError> {
        let mut after = None;
        loop {
            let ids = self.access.own_chats(viewer, after, AT_ONCE).await?;
            for &id in &ids {
                self.write_chat(viewer, id, out).await?;
            }
            match ids.last() {
                Some(last) => after = Some(*last),
                None => return Ok(()),
            }
        }
    }
}

impl OwnChats {
    async fn write_chat(
        &self,
        viewer: &Viewer,
        id: ChatId,
        out: &mut Out,
    ) -> Result<(), ExportError> {
        let part = self.access.own_part(viewer, id).await?;
        let found = self.chats.chats(&[id]).await?.pop();
        let Some((part, chat)) = part.zip(found) else {
            return Ok(());
        };
        self.write_facts(viewer, &part, &chat, out).await?;
        out.count("chats", 1);
        self.write_messages(viewer, &part, &chat, out).await
    }

    async fn write_facts(
        &self,
        viewer: &Viewer,
        part: &OwnPart,
        chat: &Chat,
        out: &mut Out,
    ) -> Result<(), ExportError> {
        let title = match (chat.kind, part.until()) {
            (ChatKind::Direct, _) => self.name_of_other(viewer, chat.id).await?,
            (ChatKind::Group, None) => chat.title.as_ref().map(|title| title.as_str().to_owned()),
            (ChatKind::Group, Some(left)) => self.title_at(chat.id, left).await?,
        };
        let metadata = match (part.until(), chat.metadata_seq) {
            (Some(_), _) | (None, 0) => None,
            (None, seq) => self.message(chat.id, seq).await?,
        };
        let metadata = metadata
            .as_ref()
            .and_then(|message| message.notice.as_ref()?.set_metadata());
        let member = part.member();
        let file = ChatFile {
            id: chat.id.to_string(),
            kind: match chat.kind {
                ChatKind::Direct => "DIRECT",
                ChatKind::Group => "GROUP",
            },
            title: title.as_deref(),
            metadata: kept(metadata),
            created_at: chat.created_at.to_string(),
            membership: MembershipFile {
                role: role_name(member.role),
                joined_at: member.joined_at.to_string(),
                visible_from_seq: member.visible_from_seq,
                left_seq: part.until(),
                last_read_seq: member.last_read_seq,
                last_read_at: member.last_read_at.map(|at| at.to_string()),
                unread_from_seq: member.unread_from_seq,
                is_muted: member.is_muted,
            },
        };
        out.json(format!("chats/{}/chat.json", chat.id), &file)
            .await
    }

    /// The other side of a direct chat.
    async fn name_of_other(
        &self,
        viewer: &Viewer,
        chat: ChatId,
    ) -> Result<Option<String>, ExportError> {
        let members = self.chats.first_members(&[chat], 2).await?;
        let others = members.iter().map(|member| member.user_id);
        let others: Vec<_> = others.filter(|user| *user != viewer.user_id).collect();
        let found = self.users.users(&others).await?.pop();
        Ok(found.map(|user| user.name.as_str().to_owned()))
    }

    /// The title that a group had at this system message: the newest that was given up to there.
    async fn title_at(&self, chat: ChatId, seq: Seq) -> Result<Option<String>, ExportError> {
        let mut at = seq;
        for _ in 0..MAX_NOTICES {
            let message = self.message(chat, at).await?;
            let Some(notice) = message.and_then(|message| message.notice) else {
                return Ok(None);
            };
            let title = notice.title.as_ref().map(ChatTitle::as_str);
            if let Some(title) = title {
                return Ok(Some(title.to_owned()));
            }
            at = notice.previous;
        }
        Ok(None)
    }

    async fn message(&self, chat: ChatId, seq: Seq) -> Result<Option<Message>, ExportError> {
        let window = Window {
            after: Some(seq.saturating_sub(1)),
            before: Some(seq.saturating_add(1)),
            limit: 1,
            from_end: false,
        };
        Ok(self.messages.page(chat, &window).await?.items.pop())
    }

    /// The messages that there were when the chat was begun.
    async fn write_messages(
        &self,
        viewer: &Viewer,
        part: &OwnPart,
        chat: &Chat,
        out: &mut Out,
    ) -> Result<(), ExportError> {
        let end = part.until().unwrap_or(chat.last_seq);
        let mut after = part.before_visible();
        let mut lines = Lines::new(format!("chats/{}/messages", chat.id));
        while after < end {
            let window = Window {
                after: Some(after),
                before: Some(end.saturating_add(1)),
                limit: MAX_PAGE,
                from_end: false,
            };
            let page = self.messages.page(chat.id, &window).await?;
            // Behind the page, so that nothing is in it that was sent when they had left.
            let part = self.access.own_part(viewer, chat.id).await?;
            let Some((part, last)) = part.zip(page.items.last().map(|last| last.seq)) else {
                break;
            };
            let mut items = page.items;
            items.retain(|message| part.may_read(message.seq));
            self.write_page(viewer, &part, &items, (&mut lines, out))
                .await?;
            after = last;
        }
        lines.finish(out).await
    }
}
