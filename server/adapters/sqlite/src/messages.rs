//! Messages.

use async_trait::async_trait;
use rusqlite::Connection;
use talksy_domain::access::Denied;
use talksy_domain::chats::Chat;
use talksy_domain::clock::Timestamp;
use talksy_domain::error::PortError;
use talksy_domain::id::{self, ChatId, MessageId, UserId};
use talksy_domain::incarnation::Incarnation;
use talksy_domain::messages::{
    Append, Appended, ChangeRefusal, Changed, ChangedMessage, Emoji, Head, Message, MessageAt,
    MessageChange, MessageStore, MessageText, Reaction, ReactionOf, ReactionPage, ReplyPage,
};
use talksy_domain::metadata::Metadata;
use talksy_domain::page::{Page, Window};
use talksy_domain::search::{MessageSearch, SearchPage};
use talksy_domain::seq::Seq;

use super::SqliteStore;
use super::fault::Fault;
use super::reactions;
use super::rows::{
    self, Key, all, chat_columns, each, filled, member_columns, message_columns, one, statements,
};
use super::{authors, mentions, moderation, replies, search};

statements! {
    MESSAGE_OF_CLIENT_ID = concat!("SELECT ", message_columns!(), " FROM messages
        WHERE chat_id = ?1 AND sender_id = ?2 AND client_message_id = ?3");
    /// Takes the chat's next number, if the sender is a member whom no block keeps from writing: one
    /// statement for all.
    ADVANCE = concat!("UPDATE chats SET last_seq = last_seq + 1, active_at = max(active_at, ?3)
        WHERE id = ?1
        AND last_seq < 2147483647 AND is_closed = 0
        AND EXISTS (SELECT 1 FROM members AS m
            WHERE m.chat_id = ?1 AND m.user_id = ?2 AND m.left_seq IS NULL AND NOT m.is_blocked)
        RETURNING ", chat_columns!());
    CHAT = concat!("SELECT ", chat_columns!(), " FROM chats WHERE id = ?1");
    MEMBER = concat!("SELECT ", member_columns!(), " FROM members
        WHERE chat_id = ?1 AND user_id = ?2 AND left_seq IS NULL");
    MESSAGE = concat!("SELECT ", message_columns!(), " FROM messages WHERE id = ?1");
    CHANGE_MESSAGE = "UPDATE messages SET text = ?3, edited_at = ?4, deleted_at = ?5,
        change_seq = ?6, content_seq = ?7, metadata = ?8, reply_to = ?9,
        mentions = ?10, reactions = ?11, pinned_seq = ?12, attachment_ids = ?13
        WHERE chat_id = ?1 AND seq = ?2";
    ADVANCE_CHANGES = "UPDATE chats SET last_change_seq = ?2 WHERE id = ?1";
    CHANGES = concat!("SELECT ", message_columns!(), " FROM messages
        WHERE chat_id = ?1 AND change_seq > 0 AND change_seq > ?2 AND seq >= ?3
        ORDER BY change_seq LIMIT ?4");
    PINNED = concat!("SELECT ", message_columns!(), " FROM messages
        WHERE chat_id = ?1 AND pinned_seq > 0 AND pinned_seq < ?2 AND seq >= ?3
        ORDER BY pinned_seq DESC LIMIT ?4");
    MESSAGES = concat!("SELECT ", message_columns!(), " FROM rarray(?1) AS wanted
        CROSS JOIN messages ON id = wanted.value");
    PAGE_FROM_START = concat!("SELECT ", message_columns!(), " FROM messages
        WHERE chat_id = ?1 AND seq > ?2 AND seq < ?3 ORDER BY seq LIMIT ?4");
    PAGE_FROM_END = concat!("SELECT ", message_columns!(), " FROM messages
        WHERE chat_id = ?1 AND seq > ?2 AND seq < ?3 ORDER BY seq DESC LIMIT ?4");
    LAST_MESSAGE = concat!("SELECT ", message_columns!(), " FROM messages
        WHERE chat_id = ?1 ORDER BY seq DESC LIMIT 1");
    HEADS = "SELECT id, last_seq, last_change_seq, applied_seq, member_count FROM rarray(?1) AS wanted
        CROSS JOIN chats ON id = wanted.value";
}

#[async_trait]
impl MessageStore for SqliteStore {
    async fn append(&self, draft: &Message) -> Result<Append, PortError> {
        let draft = draft.clone();
        let words = search::words_of(&draft);
        let work = move |conn: &Connection| append(conn, &draft, words.as_deref());
        self.write_announced(work, Append::announcements).await
    }

    async fn repeated(&self, draft: &Message) -> Result<Option<Message>, PortError> {
        let (Some(sender), Some(own_id)) = (draft.sender_id, draft.client_message_id.clone())
        else {
            return Ok(None);
        };
        let (chat, sender) = (id::bytes(draft.chat_id), id::bytes(sender));
        self.read(move |conn| {
            let values = (chat, sender, own_id.as_str());
            one(conn, MESSAGE_OF_CLIENT_ID, values, rows::message)
        })
        .await
    }

    async fn messages(&self, ids: &[MessageId]) -> Result<Vec<Message>, PortError> {
        let keys = rows::keys(ids, id::bytes);
        self.read(move |conn| all(conn, MESSAGES, [rows::list(&keys)], rows::message))
            .await
    }

    async fn page(&self, chat: ChatId, window: &Window<Seq>) -> Result<Page<Message>, PortError> {
        let window = window.clone();
        self.read(move |conn| page(conn, chat, &window)).await
    }

    async fn pages(
        &self,
        wanted: &[(ChatId, Window<Seq>)],
    ) -> Result<Vec<Page<Message>>, PortError> {
        let wanted = wanted.to_vec();
        self.read(move |conn| {
            let page = |(chat, window): &(_, _)| page(conn, *chat, window);
            rows::snapshot(conn, || wanted.iter().map(page).collect())
        })
        .await
    }

    async fn change(&self, change: &MessageChange) -> Result<Changed, PortError> {
        let change = change.clone();
        let work = move |conn: &Connection| change_message(conn, &change, false);
        self.write_announced(work, Changed::announcements).await
    }

    async fn erase(&self, change: &MessageChange) -> Result<Changed, PortError> {
        let change = change.clone();
        let work = move |conn: &Connection| change_message(conn, &change, true);
        self.write_announced(work, Changed::announcements).await
    }

    async fn sent_by(
        &self,
        chat: ChatId,
        user: UserId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Message>, PortError> {
        let (chat, user) = (id::bytes(chat), id::bytes(user));
        self.read(move |conn| authors::sent_by(conn, chat, user, after, limit))
            .await
    }

    async fn reacted_by(
        &self,
        user: UserId,
        after: Option<&ReactionOf>,
        limit: usize,
    ) -> Result<Vec<ReactionOf>, PortError> {
        let (user, after) = (id::bytes(user), after.cloned());
        self.read(move |conn| authors::reacted_by(conn, user, after.as_ref(), limit))
            .await
    }

    async fn changes(
        &self,
        chat: ChatId,
        from: Seq,
        window: &Window<Seq>,
    ) -> Result<Page<Message>, PortError> {
        let window = window.clone();
        self.read(move |conn| changes(conn, chat, from, &window))
            .await
    }

    async fn change_pages(
        &self,
        wanted: &[(ChatId, Seq, Window<Seq>)],
    ) -> Result<Vec<Page<Message>>, PortError> {
        let wanted = wanted.to_vec();
        self.read(move |conn| {
            let page = |(chat, from, window): &(_, _, _)| changes(conn, *chat, *from, window);
            rows::snapshot(conn, || wanted.iter().map(page).collect())
        })
        .await
    }

    async fn reply_counts(
        &self,
        messages: &[MessageAt],
    ) -> Result<Vec<(MessageAt, u32)>, PortError> {
        let messages = messages.to_vec();
        self.read(move |conn| replies::counts(conn, &messages))
            .await
    }

    async fn reply_pages(&self, wanted: &[ReplyPage]) -> Result<Vec<Page<Message>>, PortError> {
        let wanted = wanted.to_vec();
        self.read(move |conn| replies::pages(conn, &wanted)).await
    }

    async fn last_messages(&self, chats: &[ChatId]) -> Result<Vec<Message>, PortError> {
        let keys = rows::keys(chats, id::bytes);
        self.read(move |conn| each(conn, LAST_MESSAGE, &keys, |key| [key], rows::message))
            .await
    }

    async fn incarnation(&self) -> Result<Incarnation, PortError> {
        self.read_incarnation().await
    }

    async fn reactions_of(
        &self,
        user: UserId,
        messages: &[(ChatId, MessageId)],
    ) -> Result<Vec<(MessageId, Emoji)>, PortError> {
        let keys = rows::keys(messages, |(_, message)| id::bytes(message));
        let user = id::bytes(user);
        self.read(move |conn| reactions::of_user(conn, user, &keys))
            .await
    }

    async fn reactions_among(
        &self,
        message: (ChatId, MessageId),
        users: &[UserId],
    ) -> Result<Vec<(UserId, Emoji)>, PortError> {
        let keys = rows::keys(users, id::bytes);
        let message = id::bytes(message.1);
        self.read(move |conn| reactions::among_users(conn, message, &keys))
            .await
    }

    async fn reaction_pages(
        &self,
        wanted: &[ReactionPage],
    ) -> Result<Vec<Page<Reaction>>, PortError> {
        let wanted = wanted.to_vec();
        self.read(move |conn| reactions::pages(conn, &wanted)).await
    }

    async fn erase_reactions(
        &self,
        _: ChatId,
        message: MessageId,
        most: usize,
    ) -> Result<Option<usize>, PortError> {
        let message = id::bytes(message);
        self.upkeep(move |conn| reactions::erase(conn, message, most))
            .await
    }

    async fn pinned_pages(
        &self,
        wanted: &[(ChatId, Seq, Window<Seq>)],
    ) -> Result<Vec<Page<Message>>, PortError> {
        let wanted = wanted.to_vec();
        self.read(move |conn| {
            let page = |(chat, from, window): &(_, _, _)| pinned(conn, *chat, *from, window);
            rows::snapshot(conn, || wanted.iter().map(page).collect())
        })
        .await
    }

    async fn search(&self, search: &MessageSearch) -> Result<SearchPage, PortError> {
        let search = search.clone();
        self.read(move |conn| search::find(conn, &search)).await
    }

    async fn index_messages(
        &self,
        after: Option<MessageId>,
        most: usize,
    ) -> Result<Option<MessageId>, PortError> {
        let next = self.look(move |conn| search::next_unindexed(conn, after, most));
        let (last, lacking) = next.await?;
        if !lacking.is_empty() {
            self.upkeep(move |conn| search::index(conn, &lacking))
                .await?;
        }
        Ok(last)
    }

    async fn heads(&self, chats: &[ChatId]) -> Result<Vec<Head>, PortError> {
        let keys = rows::keys(chats, id::bytes);
        self.read(move |conn| {
            all(conn, HEADS, [rows::list(&keys)], |row| {
                Ok(Head {
                    chat_id: id::from_bytes(row.get(0)?),
                    last_seq: row.get(1)?,
                    last_change_seq: row.get(2)?,
                    applied_seq: row.get(3)?,
                    member_count: row.get(4)?,
                })
            })
        })
        .await
    }
}

fn page(conn: &Connection, chat: ChatId, window: &Window<Seq>) -> Result<Page<Message>, Fault> {
    let sql = if window.from_end {
        PAGE_FROM_END
    } else {
        PAGE_FROM_START
    };
    let chat = id::bytes(chat);
    let after = window.after.unwrap_or(0);
    let before = window.before.map_or(i64::MAX, i64::from);
    let values = |limit| (chat, after, before, limit);
    let messages = filled(conn, sql, rows::overread(window), values, rows::message)?;
    Ok(Page::from_overread(messages, window))
}

fn changes(
    conn: &Connection,
    chat: ChatId,
    from: Seq,
    window: &Window<Seq>,
) -> Result<Page<Message>, Fault> {
    let (chat, after) = (id::bytes(chat), window.after.unwrap_or(0));
    let values = |limit| (chat, after, from, limit);
    let messages = filled(conn, CHANGES, rows::overread(window), values, rows::message)?;
    Ok(Page::from_overread(messages, window))
}

fn pinned(
    conn: &Connection,
    chat: ChatId,
    from: Seq,
    window: &Window<Seq>,
) -> Result<Page<Message>, Fault> {
    let (chat, behind) = (id::bytes(chat), window.after.map_or(i64::MAX, i64::from));
    let values = |limit| (chat, behind, from, limit);
    let messages = filled(conn, PINNED, rows::overread(window), values, rows::message)?;
    Ok(Page::from_overread(messages, window))
}

/// The hot path: up to three statements, each a descent of one or two B-trees.
pub(super) fn append(
    conn: &Connection,
    draft: &Message,
    words: Option<&str>,
) -> Result<Append, Fault> {
    let chat_key = id::bytes(draft.chat_id);
    // System messages are made where groups are changed.
    let Some(sender) = draft.sender_id.map(id::bytes) else {
        return Ok(Append::Denied(Denied::NotMember));
    };
    if let Some(own_id) = &draft.client_message_id {
        let values = (chat_key, sender, own_id.as_str());
        if let Some(message) = one(conn, MESSAGE_OF_CLIENT_ID, values, rows::message)? {
            return repeat(conn, chat_key, message);
        }
    }
    if let Some(refused) = judge_content(conn, draft, (chat_key, sender))? {
        return Ok(refused);
    }
    let values = (chat_key, sender, draft.created_at.as_millis());
    let Some(chat) = one(conn, ADVANCE, values, rows::chat)? else {
        let Some(chat) = one(conn, CHAT, [chat_key], rows::chat)? else {
            return Ok(Append::Denied(Denied::NoChat));
        };
        let member = one(conn, MEMBER, (chat_key, sender), rows::member)?;
        return Ok(match member {
            None => Append::Denied(Denied::NotMember),
            Some(member) if member.is_blocked => Append::Denied(Denied::NotWritable),
            Some(_) if chat.is_closed => Append::Denied(Denied::Closed),
            Some(_) => Append::Full,
        });
    };
    let message = Message {
        seq: chat.last_seq,
        mseq: chat.applied_seq,
        ..draft.clone()
    };
    rows::insert_message(conn, &message, words)?;
    Ok(Append::Done(Box::new(Appended {
        message,
        chat,
        is_duplicate: false,
    })))
}

/// Why a member may not say what the draft does; `None` where it says nothing of the kind.
fn judge_content(
    conn: &Connection,
    draft: &Message,
    sender: (Key, Key),
) -> Result<Option<Append>, Fault> {
    if draft.reply_to.is_none() && draft.mention_ids.is_empty() {
        return Ok(None);
    }
    let Some(member) = one(conn, MEMBER, sender, rows::member)? else {
        // Who is no member is told that first.
        return Ok(None);
    };
    if member.is_blocked {
        return Ok(Some(Append::Denied(Denied::NotWritable)));
    }
    if draft
        .reply_to
        .is_some_and(|seq| seq < member.visible_from_seq)
    {
        return Ok(Some(Append::NoReplyTarget));
    }
    let members = mentions::members(conn, sender.0, &draft.mention_ids)?;
    let mut mentioned = draft.mention_ids.iter();
    let stranger = mentioned.position(|user| !members.contains(user));
    Ok(stranger.map(Append::NotMentionable))
}

/// Answers a retry with the message that the first attempt has made, also where the sender is no
/// member any more.
fn repeat(conn: &Connection, chat_key: Key, message: Message) -> Result<Append, Fault> {
    let Some(chat) = one(conn, CHAT, [chat_key], rows::chat)? else {
        return Ok(Append::Denied(Denied::NoChat));
    };
    Ok(Append::Done(Box::new(Appended {
        message,
        chat,
        is_duplicate: true,
    })))
}

/// Changes a message; `is_erasure` says whether that is of an account that is erased.
fn change_message(
    conn: &Connection,
    change: &MessageChange,
    is_erasure: bool,
) -> Result<Changed, Fault> {
    let chat_key = id::bytes(change.chat_id);
    let Some(chat) = one(conn, CHAT, [chat_key], rows::chat)? else {
        return Ok(Changed::Refused(Denied::NoChat.into()));
    };
    let who = (chat_key, id::bytes(change.actor_id));
    let member = one(conn, MEMBER, who, rows::member)?;
    let right = match change.right(is_erasure, member.as_ref()) {
        Ok(right) => right,
        Err(denied) => return Ok(Changed::Refused(denied.into())),
    };
    let Some(message) = one(conn, MESSAGE, [id::bytes(change.message_id)], rows::message)? else {
        return Ok(Changed::Refused(ChangeRefusal::NoMessage));
    };
    let number = chat.last_change_seq.saturating_add(1);
    let beside = reactions::beside(conn, change)?;
    let changed = match change.apply(&message, chat.kind, right, number, beside) {
        Err(refusal) => return Ok(Changed::Refused(refusal)),
        Ok(None) => {
            let (is_new, chat) = (false, chat);
            return Ok(Changed::Done(Box::new(ChangedMessage {
                message,
                chat,
                is_new,
            })));
        }
        Ok(Some(changed)) => changed,
    };
    let members = mentions::members(conn, chat_key, change.mentioned())?;
    if let Err(refusal) = change.check_mentions(&message, |user| members.contains(&user)) {
        return Ok(Changed::Refused(refusal));
    }
    let values = (
        chat_key,
        changed.seq,
        changed.text.as_ref().map(MessageText::as_str),
        changed.edited_at.map(Timestamp::as_millis),
        changed.deleted_at.map(Timestamp::as_millis),
        changed.change_seq,
        changed.content_seq,
        changed.metadata.as_ref().map(Metadata::as_str),
        changed.reply_to,
        mentions::column(&changed.mention_ids),
        rows::reactions(&changed.reactions)?,
        changed.pinned_seq,
        rows::attachment_keys(&changed),
    );
    rows::change(conn, CHANGE_MESSAGE, values)?;
    mentions::changed(conn, &message.mention_ids, &changed)?;
    if changed.text != message.text {
        search::text_changed(conn, &changed, chat.last_seq)?;
    }
    reactions::follow(conn, change, &message, &changed)?;
    rows::change(conn, ADVANCE_CHANGES, (chat_key, number))?;
    if let Some(entry) = change.audit_entry() {
        moderation::log(conn, entry)?;
    }
    Ok(Changed::Done(Box::new(ChangedMessage {
        message: changed,
        chat: Chat {
            last_change_seq: number,
            ..chat
        },
        is_new: true,
    })))
}
