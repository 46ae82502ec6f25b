//! Groups: system messages, and what follows from them, in one transaction.

use async_trait::async_trait;
use rusqlite::Connection;
use talksy_domain::access::Denied;
use talksy_domain::chats::{Chat, ChatTitle, Member};
use talksy_domain::error::PortError;
use talksy_domain::groups::{
    GroupChange, GroupOutcome, GroupRefusal, GroupState, GroupStore, NewGroup,
};
use talksy_domain::id::{self, ChatId, MessageId, UserId};
use talksy_domain::messages::{MemberEffect, Message, SystemNotice};
use talksy_domain::seq::Seq;

use super::SqliteStore;
use super::fault::Fault;
use super::rows::{
    self, all, change, chat_columns, member_columns, message_columns, one, statements,
};

statements! {
    CHAT = concat!("SELECT ", chat_columns!(), " FROM chats WHERE id = ?1");
    GROUP_OF_CLIENT_ID = concat!("SELECT ", chat_columns!(), " FROM chats WHERE id =
        (SELECT chat_id FROM groups_by_client_id WHERE creator_id = ?1 AND client_chat_id = ?2)");
    INSERT_GROUP = concat!("INSERT INTO chats (", chat_columns!(), ", title_key)
        VALUES (?1, ?2, ?3, ?4, 0, 0, NULL, 0, 0, 0, NULL, 0, NULL)");
    INSERT_CLIENT_ID = "INSERT INTO groups_by_client_id (creator_id, client_chat_id, chat_id)
        VALUES (?1, ?2, ?3)";
    MEMBERS_AMONG = concat!("SELECT ", member_columns!(), " FROM rarray(?2) AS wanted
        CROSS JOIN members ON chat_id = ?1 AND user_id = wanted.value AND left_seq IS NULL");
    COUNT_OWNERS = "SELECT count(*) FROM members
        WHERE chat_id = ?1 AND role = 0 AND left_seq IS NULL";
    /// The smaller role is the higher one.
    SUCCESSOR = "SELECT user_id FROM members
        WHERE chat_id = ?1 AND role > 0 AND left_seq IS NULL
        AND user_id NOT IN (SELECT value FROM rarray(?2))
        ORDER BY role, joined_seq, user_id LIMIT 1";
    ADVANCE = "UPDATE chats SET last_seq = ?2, applied_seq = ?2, active_at = max(active_at, ?3),
        member_count = ?4, title = coalesce(?5, title), title_key = coalesce(?6, title_key),
        metadata_seq = ?7, avatar_id = iif(?8, ?9, avatar_id)
        WHERE id = ?1";
    /// Rejoining uses the same row and replaces its range.
    JOIN = concat!("INSERT INTO members (", member_columns!(), ")
        VALUES (?1, ?2, ?3, ?4, ?5, NULL, ?5, ?6, 0, 1, NULL, 0)
        ON CONFLICT (chat_id, user_id) DO UPDATE SET role = ?3, joined_at = ?4, last_read_seq = ?5,
        last_read_at = NULL, joined_seq = ?5, visible_from_seq = ?6, left_seq = NULL,
        is_muted = 0, version = version + 1, unread_from_seq = NULL");
    SET_ROLE = "UPDATE members SET role = ?3, version = version + 1
        WHERE chat_id = ?1 AND user_id = ?2";
    NOTICE = concat!("SELECT ", message_columns!(), " FROM messages WHERE chat_id = ?1 AND seq = ?2");
    IS_THERE = "SELECT true FROM messages WHERE id = ?1 AND chat_id = ?2";
    FORGET_CLIENT_IDS = "DELETE FROM groups_by_client_id WHERE creator_id = ?1 AND client_chat_id IN
        (SELECT client_chat_id FROM groups_by_client_id WHERE creator_id = ?1 LIMIT ?2)";
    LEAVE = "UPDATE members SET left_seq = ?3, version = version + 1
        WHERE chat_id = ?1 AND user_id = ?2";
}

#[async_trait]
impl GroupStore for SqliteStore {
    async fn create_group(&self, group: &NewGroup) -> Result<GroupOutcome, PortError> {
        let group = group.clone();
        let work = move |conn: &Connection| create(conn, &group);
        self.write_announced(work, GroupOutcome::announcements)
            .await
    }

    async fn repeated_group(&self, group: &NewGroup) -> Result<Option<Chat>, PortError> {
        let Some(own_id) = group.client_chat_id.clone() else {
            return Ok(None);
        };
        let creator = id::bytes(group.creator_id);
        self.read(move |conn| {
            let values = (creator, own_id.as_str());
            one(conn, GROUP_OF_CLIENT_ID, values, rows::chat)
        })
        .await
    }

    async fn change_group(&self, change: &GroupChange) -> Result<GroupOutcome, PortError> {
        let change = change.clone();
        let work = move |conn: &Connection| change_group(conn, &change);
        self.write_announced(work, GroupOutcome::announcements)
            .await
    }

    async fn forget_client_ids(&self, user: UserId, limit: usize) -> Result<usize, PortError> {
        let values = (id::bytes(user), rows::limit(limit));
        self.upkeep(move |conn| change(conn, FORGET_CLIENT_IDS, values))
            .await
    }

    /// A change is one transaction here, so that whatever is there is complete.
    async fn complete_change(&self, chat: ChatId, message: MessageId) -> Result<bool, PortError> {
        let values = (id::bytes(message), id::bytes(chat));
        let found = self.look(move |conn| one(conn, IS_THERE, values, |row| Ok(row.get(0)?)));
        Ok(found.await?.unwrap_or(false))
    }
}

fn create(conn: &Connection, group: &NewGroup) -> Result<GroupOutcome, Fault> {
    let (chat_key, creator) = (id::bytes(group.chat_id), id::bytes(group.creator_id));
    if let Some(own_id) = &group.client_chat_id {
        let values = (creator, own_id.as_str());
        if let Some(chat) = one(conn, GROUP_OF_CLIENT_ID, values, rows::chat)? {
            return Ok(done(chat, None));
        }
    }
    let chat = group.chat();
    let (kind, at) = (rows::chat_kind(chat.kind), group.at.as_millis());
    change(conn, INSERT_GROUP, (chat_key, kind, at, at))?;
    if let Some(own_id) = &group.client_chat_id {
        let values = (creator, own_id.as_str(), chat_key);
        change(conn, INSERT_CLIENT_ID, values)?;
    }
    let message = Message::system(group.message_id, chat.id, group.notice(), group.at);
    let before = Chat {
        last_seq: 0,
        ..chat
    };
    append(conn, &before, message)
}

fn change_group(conn: &Connection, change: &GroupChange) -> Result<GroupOutcome, Fault> {
    let chat_key = id::bytes(change.chat_id);
    let Some(chat) = one(conn, CHAT, [chat_key], rows::chat)? else {
        let refusal = GroupRefusal::Denied(Denied::NoChat);
        return Ok(GroupOutcome::Refused(refusal));
    };
    let mut concerned = change.subjects();
    concerned.push(change.actor_id);
    let keys = rows::keys(&concerned, id::bytes);
    let values = (chat_key, rows::list(&keys));
    let found: Vec<Member> = all(conn, MEMBERS_AMONG, values, rows::member)?;
    let successor = if change.may_need_successor() {
        let subjects = rows::keys(&change.subjects(), id::bytes);
        let values = (chat_key, rows::list(&subjects));
        one(conn, SUCCESSOR, values, |row| {
            Ok(id::from_bytes(row.get(0)?))
        })?
    } else {
        None
    };
    let owners = one(conn, COUNT_OWNERS, [chat_key], |row| Ok(row.get(0)?))?;
    let metadata = if change.sets_metadata() && chat.metadata_seq > 0 {
        let said = one(conn, NOTICE, (chat_key, chat.metadata_seq), rows::message)?;
        said.and_then(|message| message.notice?.set_metadata().cloned())
    } else {
        None
    };
    let state = GroupState {
        chat: &chat,
        actor: found
            .iter()
            .find(|member| member.user_id == change.actor_id),
        subjects: &found,
        owners: owners.unwrap_or_default(),
        successor,
        metadata: metadata.as_ref(),
    };
    match change.decide(state) {
        Err(refusal) => Ok(GroupOutcome::Refused(refusal)),
        Ok(None) => Ok(done(chat, None)),
        Ok(Some(notice)) => {
            let message = Message::system(change.message_id, chat.id, notice, change.at);
            append(conn, &chat, message)
        }
    }
}

/// Gives the system message the chat's next number and carries out what it says.
fn append(conn: &Connection, chat: &Chat, message: Message) -> Result<GroupOutcome, Fault> {
    let number = chat.last_seq + 1;
    let message = Message {
        seq: number,
        mseq: number,
        ..message
    };
    rows::insert_message(conn, &message, None)?;
    let mut chat = Chat {
        last_seq: number,
        applied_seq: number,
        active_at: chat.active_at.max(message.created_at),
        ..chat.clone()
    };
    if let Some(notice) = &message.notice {
        chat.metadata_seq = notice.metadata_seq(number, chat.metadata_seq);
        apply(conn, &message, notice, chat.metadata_seq)?;
        chat.member_count = notice.member_count;
        chat.title = notice.title.clone().or(chat.title);
        if notice.sets_avatar() {
            chat.avatar_id = notice.avatar_id;
        }
    }
    Ok(done(chat, Some(message)))
}

fn apply(
    conn: &Connection,
    message: &Message,
    notice: &SystemNotice,
    metadata_seq: Seq,
) -> Result<(), Fault> {
    let chat_key = id::bytes(message.chat_id);
    let values = (
        chat_key,
        message.seq,
        message.created_at.as_millis(),
        notice.member_count,
        notice.title.as_ref().map(ChatTitle::as_str),
        notice.title.as_ref().map(ChatTitle::sort_key),
        metadata_seq,
        notice.sets_avatar(),
        notice.avatar_id.map(id::bytes),
    );
    change(conn, ADVANCE, values)?;
    for effect in &notice.effects {
        apply_to_member(conn, message, effect)?;
    }
    Ok(())
}

fn apply_to_member(
    conn: &Connection,
    message: &Message,
    effect: &MemberEffect,
) -> Result<(), Fault> {
    let key = |user: UserId| (id::bytes(message.chat_id), id::bytes(user));
    let (chat, user) = key(effect.user_id);
    match (effect.role, effect.joins) {
        (Some(role), Some(history)) => {
            let (at, from) = (
                message.created_at.as_millis(),
                history.first_visible(message.seq),
            );
            let role = rows::member_role(role);
            change(conn, JOIN, (chat, user, role, at, message.seq, from))?;
        }
        (Some(role), None) => {
            change(conn, SET_ROLE, (chat, user, rows::member_role(role)))?;
        }
        (None, _) => {
            change(conn, LEAVE, (chat, user, message.seq))?;
        }
    }
    Ok(())
}

fn done(chat: Chat, message: Option<Message>) -> GroupOutcome {
    GroupOutcome::Done {
        chat: Box::new(chat),
        message: message.map(Box::new),
    }
}
