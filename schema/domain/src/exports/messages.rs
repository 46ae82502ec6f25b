//! Messages as lines: with the same names as in GraphQL, where there is such a field.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use serde_json::value::RawValue;

use super::attachments::{AttachmentLine, write_file};
use super::chats::{OwnChats, role_name};
use super::entry::{ExportError, Out};
use super::lines::{Lines, kept};
use crate::access::OwnPart;
use crate::attachments::model::Attachment;
use crate::chats::model::ChatTitle;
use crate::id::{AttachmentId, MessageId, UserId};
use crate::messages::model::{ClientMessageId, Message, MessageKind, MessageText};
use crate::messages::notice::{SystemNotice, SystemNoticeKind};
use crate::messages::reactions::Emoji;
use crate::seq::Seq;
use crate::viewer::Viewer;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageLine<'a> {
    id: String,
    seq: Seq,
    change_seq: Seq,
    kind: &'static str,
    sender: Option<Person<'a>>,
    text: Option<&'a str>,
    metadata: Option<Box<RawValue>>,
    /// The number of the message that it replies to, where the user may read that one.
    reply_to_seq: Option<Seq>,
    mentions: Vec<Person<'a>>,
    attachments: Vec<AttachmentLine<'a>>,
    system: Option<Notice<'a>>,
    client_message_id: Option<&'a str>,
    created_at: String,
    edited_at: Option<String>,
    deleted_at: Option<String>,
    reactions: Vec<ReactionLine<'a>>,
    is_pinned: bool,
}

/// Somebody by their present name.
#[derive(Serialize)]
struct Person<'a> {
    id: String,
    /// Null where the account is gone.
    name: Option<&'a str>,
}

#[derive(Serialize)]
struct Notice<'a> {
    kind: &'static str,
    actor: Option<Person<'a>>,
    subjects: Vec<Person<'a>>,
    title: Option<&'a str>,
    role: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReactionLine<'a> {
    emoji: &'a str,
    count: u32,
    viewer_has_reacted: bool,
}

/// The names by which GraphQL calls them.
const fn kind_name(kind: MessageKind) -> &'static str {
    match kind {
        MessageKind::Text => "TEXT",
        MessageKind::Image => "IMAGE",
        MessageKind::File => "FILE",
        MessageKind::System => "SYSTEM",
    }
}

const fn notice_name(kind: SystemNoticeKind) -> &'static str {
    match kind {
        SystemNoticeKind::ChatCreated => "CHAT_CREATED",
        SystemNoticeKind::MemberAdded => "MEMBER_ADDED",
        SystemNoticeKind::MemberRemoved => "MEMBER_REMOVED",
        SystemNoticeKind::MemberLeft => "MEMBER_LEFT",
        SystemNoticeKind::TitleChanged => "TITLE_CHANGED",
        SystemNoticeKind::AvatarChanged => "AVATAR_CHANGED",
        SystemNoticeKind::RoleChanged => "ROLE_CHANGED",
        SystemNoticeKind::SettingsChanged | SystemNoticeKind::Unknown => "SETTINGS_CHANGED",
    }
}

/// What the messages of a page refer to.
struct Referenced {
    names: HashMap<UserId, String>,
    attachments: HashMap<AttachmentId, Attachment>,
    own_reactions: HashSet<(MessageId, Emoji)>,
}

impl Referenced {
    fn person(&self, id: UserId) -> Person<'_> {
        Person {
            id: id.to_string(),
            name: self.names.get(&id).map(String::as_str),
        }
    }

    fn people(&self, ids: &[UserId]) -> Vec<Person<'_>> {
        ids.iter().map(|id| self.person(*id)).collect()
    }

    fn notice<'a>(&'a self, notice: &'a SystemNotice) -> Notice<'a> {
        Notice {
            kind: notice_name(notice.kind),
            actor: notice.actor_id.map(|id| self.person(id)),
            subjects: self.people(&notice.subject_ids),
            title: notice.title.as_ref().map(ChatTitle::as_str),
            role: notice.role.map(role_name),
        }
    }

    fn line<'a>(&'a self, part: &OwnPart, message: &'a Message) -> MessageLine<'a> {
        let attachments = message.attachments.iter();
        let attachments = attachments.filter_map(|id| self.attachments.get(id));
        let reactions = message.reactions.counts().iter();
        let own = |emoji: &Emoji| self.own_reactions.contains(&(message.id, emoji.clone()));
        MessageLine {
            id: message.id.to_string(),
            seq: message.seq,
            change_seq: message.change_seq,
            kind: kind_name(message.kind),
            sender: message.sender_id.map(|id| self.person(id)),
            text: message.text.as_ref().map(MessageText::as_str),
            metadata: kept(message.metadata.as_ref()),
            reply_to_seq: message.reply_to.filter(|seq| part.may_read(*seq)),
            mentions: self.people(&message.mention_ids),
            attachments: attachments.map(AttachmentLine::of).collect(),
            system: message.notice.as_ref().map(|notice| self.notice(notice)),
            client_message_id: message
                .client_message_id
                .as_ref()
                .map(ClientMessageId::as_str),
            created_at: message.created_at.to_string(),
            edited_at: message.edited_at.map(|at| at.to_string()),
            deleted_at: message.deleted_at.map(|at| at.to_string()),
            reactions: reactions
                .map(|reaction| ReactionLine {
                    emoji: reaction.emoji.as_str(),
                    count: reaction.count,
                    viewer_has_reacted: own(&reaction.emoji),
                })
                .collect(),
            is_pinned: message.pinned_seq > 0,
        }
    }
}

impl OwnChats {
    /// Writes messages that the user may read, and the bytes that others have attached to them: what is
    /// the user's own is among their attachments.
    pub(super) async fn write_page(
        &self,
        viewer: &Viewer,
        part: &OwnPart,
        messages: &[Message],
        (lines, out): (&mut Lines, &mut Out),
    ) -> Result<(), ExportError> {
        if messages.is_empty() {
            return Ok(());
        }
        let referenced = self.referenced(viewer, messages).await?;
        for message in messages {
            lines.push(out, &referenced.line(part, message)).await?;
            out.count("messages", 1);
            for id in &message.attachments {
                let found = referenced.attachments.get(id);
                if let Some(other) = found.filter(|one| one.owner_id != viewer.user_id) {
                    write_file(&*self.objects, other, out).await?;
                }
            }
        }
        Ok(())
    }

    async fn referenced(
        &self,
        viewer: &Viewer,
        messages: &[Message],
    ) -> Result<Referenced, ExportError> {
        let people: HashSet<_> = messages.iter().flat_map(people_of).collect();
        let people: Vec<_> = people.into_iter().collect();
        let attachments = messages.iter().flat_map(|message| &message.attachments);
        let attachments: Vec<_> = attachments.copied().collect();
        let reacted = messages
            .iter()
            .filter(|message| !message.reactions.is_empty());
        let reacted: Vec<_> = reacted.map(|one| (one.chat_id, one.id)).collect();
        let mut names = HashMap::with_capacity(people.len());
        // A page of system messages may name ten thousand.
        for some in people.chunks(1_000) {
            let found = self.users.users(some).await?.into_iter();
            names.extend(found.map(|user| (user.id, user.name.as_str().to_owned())));
        }
        let attachments = if attachments.is_empty() {
            Vec::new()
        } else {
            self.attachments.attachments(&attachments).await?
        };
        let own = if reacted.is_empty() {
            Vec::new()
        } else {
            self.messages.reactions_of(viewer.user_id, &reacted).await?
        };
        let received = attachments.into_iter().filter(Attachment::is_received);
        Ok(Referenced {
            names,
            attachments: received.map(|one| (one.id, one)).collect(),
            own_reactions: own.into_iter().collect(),
        })
    }
}

/// Whom a message names.
fn people_of(message: &Message) -> Vec<UserId> {
    let notice = message.notice.as_ref();
    let subjects = notice.map_or(&[][..], |notice| notice.subject_ids.as_slice());
    let actor = notice.and_then(|notice| notice.actor_id);
    let mentioned = message.mention_ids.iter().chain(subjects).copied();
    mentioned.chain(message.sender_id).chain(actor).collect()
}
