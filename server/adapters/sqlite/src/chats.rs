//! Chats and members.

use async_trait::async_trait;
use rusqlite::Connection;
use talksy_domain::chats::{
    Chat, ChatStore, LargeGroups, Member, MemberPage, MemberRole, Participation, ReadMark,
    UnreadMentions,
};
use talksy_domain::clock::Timestamp;
use talksy_domain::cursor::ChatCursor;
use talksy_domain::error::PortError;
use talksy_domain::events::Announcement;
use talksy_domain::id::{self, ChatId, UserId};
use talksy_domain::page::{Page, Window};
use talksy_domain::search::fold_key;
use talksy_domain::seq::Seq;

use super::SqliteStore;
use super::fault::Fault;
use super::rows::{
    self, Key, LAST_KEY, all, change, chat_columns, each, filled, member_columns, one, statements,
};
use super::{blocks, mentions, names, unread};

/// Sorts ahead of every id.
const FIRST_KEY: [u8; 0] = [];

statements! {
    CLOSE_DIRECT = "UPDATE chats SET is_closed = 1 WHERE id = ?1 AND kind = 0 AND is_closed = 0";
    RAISE_VERSIONS = "UPDATE members SET version = version + 1 WHERE chat_id = ?1 RETURNING user_id";
    ERASE_OWN_FACTS = "UPDATE members SET last_read_at = NULL, is_muted = 0, unread_from_seq = NULL,
        last_read_seq = iif(left_seq IS NULL, last_read_seq, 0), version = version + 1
        WHERE chat_id = ?1 AND user_id = ?2 AND (last_read_at IS NOT NULL OR is_muted <> 0
            OR unread_from_seq IS NOT NULL OR (left_seq IS NOT NULL AND last_read_seq > 0))";
    CHATS = concat!("SELECT ", chat_columns!(), " FROM rarray(?1) AS wanted
        CROSS JOIN chats ON id = wanted.value");
    CHAT = concat!("SELECT ", chat_columns!(), " FROM chats WHERE id = ?1");
    CHAT_OF_PAIR = concat!("SELECT ", chat_columns!(), " FROM chats WHERE id =
        (SELECT chat_id FROM direct_chats WHERE low_user_id = ?1 AND high_user_id = ?2)");
    INSERT_CHAT = concat!("INSERT INTO chats (", chat_columns!(), ")
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, NULL, 0)");
    INSERT_PAIR = "INSERT INTO direct_chats (low_user_id, high_user_id, chat_id)
        VALUES (?1, ?2, ?3)";
    INSERT_MEMBER = concat!("INSERT INTO members (", member_columns!(), ")
        VALUES (?1, ?2, ?3, ?4, 0, NULL, 0, 1, 0, 1, NULL, ?5)");
    CHATS_OF = concat!("SELECT ", chat_columns!(), " FROM members AS mine
        CROSS JOIN chats ON id = mine.chat_id
        WHERE mine.user_id = ?1 AND mine.left_seq IS NULL AND (active_at, id) < (?2, ?3)
        ORDER BY active_at DESC, id DESC LIMIT ?4");
    CHATS_OF_TITLED = concat!("SELECT ", chat_columns!(), " FROM members AS mine
        CROSS JOIN chats ON id = mine.chat_id
        WHERE mine.user_id = ?1 AND mine.left_seq IS NULL AND (active_at, id) < (?2, ?3)
        AND CASE kind WHEN 0 THEN EXISTS (SELECT 1 FROM members AS other
                CROSS JOIN users ON users.id = other.user_id
                WHERE other.chat_id = mine.chat_id AND other.user_id <> ?1
                AND instr(users.name_key, ?5) > 0)
            ELSE instr(title_key, ?5) > 0 END
        ORDER BY active_at DESC, id DESC LIMIT ?4");
    NEXT_TITLES = "SELECT id, coalesce(title, ''), coalesce(title_key, '') FROM chats
        WHERE id > ?1 ORDER BY id LIMIT ?2";
    SET_TITLE_KEY = "UPDATE chats SET title_key = ?3 WHERE id = ?1 AND title = ?2";
    CHAT_IDS_OF = "SELECT chat_id FROM members WHERE user_id = ?1 AND left_seq IS NULL";
    LEFT_CHATS_OF = "SELECT chat_id, left_seq FROM members
        WHERE user_id = ?1 AND left_seq IS NOT NULL";
    CHATS_EVER_OF = "SELECT chat_id FROM members WHERE user_id = ?1 AND chat_id > ?2
        ORDER BY chat_id LIMIT ?3";
    PARTICIPATIONS = concat!("SELECT ", member_columns!(), ", left_seq FROM rarray(?2) AS wanted
        CROSS JOIN members ON chat_id = wanted.value AND user_id = ?1");
    MEMBERSHIP_VERSIONS = "SELECT user_id, sum(version) FROM rarray(?1) AS wanted
        CROSS JOIN members ON user_id = wanted.value GROUP BY user_id";
    MEMBERSHIPS = concat!("SELECT ", member_columns!(), " FROM rarray(?2) AS wanted
        CROSS JOIN members ON chat_id = wanted.value AND user_id = ?1 AND left_seq IS NULL");
    MEMBER = concat!("SELECT ", member_columns!(), " FROM members
        WHERE chat_id = ?1 AND user_id = ?2 AND left_seq IS NULL");
    MEMBERS = concat!("SELECT ", member_columns!(), " FROM members
        WHERE chat_id = ?1 AND user_id > ?2 AND left_seq IS NULL
        AND (?3 IS NULL OR (joined_seq < ?3 AND last_read_seq >= ?3))
        AND (?5 IS NULL OR EXISTS (SELECT 1 FROM users
            WHERE users.id = members.user_id AND instr(name_key, ?5) > 0))
        ORDER BY user_id LIMIT ?4");
    FIRST_MEMBERS = concat!("SELECT ", member_columns!(), " FROM members
        WHERE chat_id = ?1 AND left_seq IS NULL ORDER BY user_id LIMIT ?2");
    LOWEST_READ_MARKS = concat!("SELECT ", member_columns!(), " FROM members
        INDEXED BY members_by_read
        WHERE chat_id = ?1 AND left_seq IS NULL ORDER BY last_read_seq, user_id LIMIT 2");
    SHARING = "SELECT wanted.value FROM rarray(?2) AS wanted
        WHERE EXISTS (SELECT 1 FROM members AS theirs
            CROSS JOIN members AS mine ON mine.chat_id = theirs.chat_id AND mine.user_id = ?1
                AND mine.left_seq IS NULL
            WHERE theirs.user_id = wanted.value AND theirs.left_seq IS NULL)";
    MARK_READ = concat!("UPDATE members SET version = version + 1, unread_from_seq = NULL,
        last_read_seq = max(last_read_seq, ?3), last_read_at = iif(?5, ?4, last_read_at)
        WHERE chat_id = ?1 AND user_id = ?2
        RETURNING ", member_columns!());
    MARK_UNREAD = concat!("UPDATE members
        SET version = version + (unread_from_seq IS NOT ?3), unread_from_seq = ?3
        WHERE chat_id = ?1 AND user_id = ?2 AND left_seq IS NULL
        RETURNING ", member_columns!());
    SET_MUTED = concat!("UPDATE members
        SET version = version + (is_muted <> ?3), is_muted = ?3
        WHERE chat_id = ?1 AND user_id = ?2 AND left_seq IS NULL
        RETURNING ", member_columns!());
}

#[async_trait]
impl ChatStore for SqliteStore {
    async fn close_direct(&self, chat: ChatId) -> Result<(), PortError> {
        let key = [id::bytes(chat)];
        let work = move |conn: &Connection| {
            if change(conn, CLOSE_DIRECT, key)? == 0 {
                return Ok(Vec::new());
            }
            all(conn, RAISE_VERSIONS, key, |row| {
                Ok(id::from_bytes(row.get(0)?))
            })
        };
        let told = move |members: &Vec<UserId>| {
            let told = members.iter();
            told.map(|user| Announcement::viewer_chat_changed(*user, chat))
                .collect()
        };
        self.write_announced(work, told).await.map(drop)
    }

    async fn erase_own_facts(&self, chat: ChatId, user: UserId) -> Result<(), PortError> {
        let member = (id::bytes(chat), id::bytes(user));
        self.upkeep(move |conn| change(conn, ERASE_OWN_FACTS, member).map(drop))
            .await
    }

    async fn chats(&self, ids: &[ChatId]) -> Result<Vec<Chat>, PortError> {
        let keys = rows::keys(ids, id::bytes);
        self.read(move |conn| all(conn, CHATS, [rows::list(&keys)], rows::chat))
            .await
    }

    async fn open_direct(
        &self,
        candidate: &Chat,
        users: [UserId; 2],
    ) -> Result<(Chat, bool), PortError> {
        let chat = Chat {
            member_count: 2,
            ..candidate.clone()
        };
        let mut pair = users.map(id::bytes);
        pair.sort_unstable();
        let work = move |conn: &Connection| open_direct(conn, &chat, pair);
        self.write_announced(work, move |(chat, made)| {
            if *made {
                Announcement::direct_chat(chat.id, users)
            } else {
                Vec::new()
            }
        })
        .await
    }

    async fn fold_titles(
        &self,
        after: Option<ChatId>,
        most: usize,
    ) -> Result<Option<ChatId>, PortError> {
        let after = after.map_or_else(Vec::new, |after| id::bytes(after).to_vec());
        let titles = self
            .look(move |conn| {
                let values = (after, rows::limit(most));
                all(conn, NEXT_TITLES, values, names::named)
            })
            .await?;
        let last = titles.last().map(|title| id::from_bytes(title.key));
        self.set_folded(titles, SET_TITLE_KEY).await?;
        Ok(last)
    }

    async fn chats_of(
        &self,
        user: UserId,
        search: Option<&str>,
        window: &Window<ChatCursor>,
    ) -> Result<Page<Chat>, PortError> {
        let search = search.map(fold_key);
        let (active_at, key) = match &window.after {
            Some(after) => (
                after.active_at.as_millis(),
                id::bytes(after.chat_id).to_vec(),
            ),
            None => (i64::MAX, LAST_KEY.to_vec()),
        };
        let (user, wanted) = (id::bytes(user), rows::overread(window));
        let chats = self
            .read(move |conn| match search {
                Some(text) if !text.is_empty() => {
                    let values = |limit| (user, active_at, &key, limit, &text);
                    filled(conn, CHATS_OF_TITLED, wanted, values, rows::chat)
                }
                _ => {
                    let values = |limit| (user, active_at, &key, limit);
                    filled(conn, CHATS_OF, wanted, values, rows::chat)
                }
            })
            .await?;
        Ok(Page::from_overread(chats, window))
    }

    async fn chat_ids_of(&self, user: UserId) -> Result<Vec<ChatId>, PortError> {
        self.read(move |conn| {
            all(conn, CHAT_IDS_OF, [id::bytes(user)], |row| {
                Ok(id::from_bytes(row.get(0)?))
            })
        })
        .await
    }

    async fn left_chats_of(&self, user: UserId) -> Result<Vec<(ChatId, Seq)>, PortError> {
        self.read(move |conn| {
            all(conn, LEFT_CHATS_OF, [id::bytes(user)], |row| {
                Ok((id::from_bytes(row.get(0)?), row.get(1)?))
            })
        })
        .await
    }

    async fn chats_ever_of(
        &self,
        user: UserId,
        after: Option<ChatId>,
        limit: usize,
    ) -> Result<Vec<ChatId>, PortError> {
        let after = after.map_or_else(|| FIRST_KEY.to_vec(), |id| id::bytes(id).to_vec());
        let user = id::bytes(user);
        self.read(move |conn| {
            let values = |limit| (user, &after, limit);
            filled(conn, CHATS_EVER_OF, limit, values, |row| {
                Ok(id::from_bytes(row.get(0)?))
            })
        })
        .await
    }

    async fn participations(
        &self,
        user: UserId,
        chats: &[ChatId],
    ) -> Result<Vec<Participation>, PortError> {
        let keys = rows::keys(chats, id::bytes);
        self.read(move |conn| {
            let values = (id::bytes(user), rows::list(&keys));
            all(conn, PARTICIPATIONS, values, |row| {
                Ok(Participation {
                    member: rows::member(row)?,
                    left_seq: row.get("left_seq")?,
                })
            })
        })
        .await
    }

    async fn membership_versions(&self, users: &[UserId]) -> Result<Vec<(UserId, u64)>, PortError> {
        let keys = rows::keys(users, id::bytes);
        self.read(move |conn| {
            all(conn, MEMBERSHIP_VERSIONS, [rows::list(&keys)], |row| {
                let sum: i64 = row.get(1)?;
                Ok((id::from_bytes(row.get(0)?), sum.unsigned_abs()))
            })
        })
        .await
    }

    async fn memberships(&self, user: UserId, chats: &[ChatId]) -> Result<Vec<Member>, PortError> {
        let keys = rows::keys(chats, id::bytes);
        self.read(move |conn| {
            let values = (id::bytes(user), rows::list(&keys));
            all(conn, MEMBERSHIPS, values, rows::member)
        })
        .await
    }

    async fn member_pages(&self, wanted: &[MemberPage]) -> Result<Vec<Page<Member>>, PortError> {
        let wanted = wanted.to_vec();
        self.read(move |conn| {
            let page = |wanted| members(conn, wanted);
            rows::snapshot(conn, || wanted.iter().map(page).collect())
        })
        .await
    }

    async fn first_members(
        &self,
        chats: &[ChatId],
        limit: usize,
    ) -> Result<Vec<Member>, PortError> {
        let keys = rows::keys(chats, id::bytes);
        let limit = rows::limit(limit);
        self.read(move |conn| {
            each(
                conn,
                FIRST_MEMBERS,
                &keys,
                |chat| (chat, limit),
                rows::member,
            )
        })
        .await
    }

    async fn lowest_read_marks(&self, chats: &[ChatId]) -> Result<Vec<Member>, PortError> {
        let keys = rows::keys(chats, id::bytes);
        self.read(move |conn| each(conn, LOWEST_READ_MARKS, &keys, |key| [key], rows::member))
            .await
    }

    async fn sharing(&self, user: UserId, others: &[UserId]) -> Result<Vec<UserId>, PortError> {
        let keys = rows::keys(others, id::bytes);
        self.read(move |conn| {
            let values = (id::bytes(user), rows::list(&keys));
            all(conn, SHARING, values, |row| Ok(id::from_bytes(row.get(0)?)))
        })
        .await
    }

    async fn mark_read(
        &self,
        chat: ChatId,
        user: UserId,
        seq: Seq,
        now: Timestamp,
        large: LargeGroups,
    ) -> Result<Option<ReadMark>, PortError> {
        let (chat, user) = (id::bytes(chat), id::bytes(user));
        let work = move |conn: &Connection| mark_read(conn, chat, user, seq, now, large);
        self.write_announced(work, |mark| {
            mark.as_ref().map_or_else(Vec::new, ReadMark::announcements)
        })
        .await
    }

    async fn mark_unread(
        &self,
        chat: ChatId,
        user: UserId,
        from_seq: Seq,
    ) -> Result<Option<Member>, PortError> {
        let values = (id::bytes(chat), id::bytes(user), from_seq);
        let work = move |conn: &Connection| one(conn, MARK_UNREAD, values, rows::member);
        self.write_announced(work, move |member| match member {
            Some(_) => vec![Announcement::viewer_chat_changed(user, chat)],
            None => Vec::new(),
        })
        .await
    }

    async fn set_muted(
        &self,
        chat: ChatId,
        user: UserId,
        is_muted: bool,
    ) -> Result<Option<Member>, PortError> {
        let values = (id::bytes(chat), id::bytes(user), is_muted);
        let work = move |conn: &Connection| one(conn, SET_MUTED, values, rows::member);
        self.write_announced(work, move |member| match member {
            Some(_) => vec![Announcement::viewer_chat_changed(user, chat)],
            None => Vec::new(),
        })
        .await
    }

    async fn unread_counts(
        &self,
        user: UserId,
        chats: &[ChatId],
    ) -> Result<Vec<(ChatId, u32)>, PortError> {
        let keys = rows::keys(chats, id::bytes);
        self.read(move |conn| unread::counts(conn, id::bytes(user), &keys))
            .await
    }

    async fn unread_mentions(
        &self,
        user: UserId,
        chats: &[ChatId],
    ) -> Result<Vec<(ChatId, u32)>, PortError> {
        let keys = rows::keys(chats, id::bytes);
        self.read(move |conn| mentions::counts(conn, id::bytes(user), &keys))
            .await
    }

    async fn unread_mentions_among(
        &self,
        chat: ChatId,
        users: &[UserId],
    ) -> Result<Vec<UnreadMentions>, PortError> {
        let keys = rows::keys(users, id::bytes);
        self.read(move |conn| mentions::counts_among(conn, id::bytes(chat), &keys))
            .await
    }
}

fn mark_read(
    conn: &Connection,
    chat: Key,
    user: Key,
    seq: Seq,
    now: Timestamp,
    large: LargeGroups,
) -> Result<Option<ReadMark>, Fault> {
    let member = one(conn, MEMBER, (chat, user), rows::member)?;
    let found = one(conn, CHAT, [chat], rows::chat)?;
    let Some((member, found)) = member.zip(found) else {
        return Ok(None);
    };
    let seq = seq.min(found.last_seq);
    let moved = member.last_read_seq < seq;
    let ended_unread = member.unread_from_seq.is_some();
    let member = if moved || ended_unread {
        let values = (chat, user, seq, now.as_millis(), moved);
        one(conn, MARK_READ, values, rows::member)?.unwrap_or(member)
    } else {
        member
    };
    let what = [moved, ended_unread];
    Ok(Some(ReadMark::new(member, found, what, large)))
}

fn members(conn: &Connection, wanted: &MemberPage) -> Result<Page<Member>, Fault> {
    let MemberPage {
        chat,
        filter,
        window,
    } = wanted;
    let after = match &window.after {
        Some(after) => id::bytes(after.user_id).to_vec(),
        None => FIRST_KEY.to_vec(),
    };
    let name = filter.name.as_deref().map(fold_key);
    let chat = id::bytes(*chat);
    let values = |limit| (chat, &after, filter.has_read, limit, &name);
    let members = filled(conn, MEMBERS, rows::overread(window), values, rows::member)?;
    Ok(Page::from_overread(members, window))
}

fn open_direct(conn: &Connection, chat: &Chat, pair: [Key; 2]) -> Result<(Chat, bool), Fault> {
    if let Some(found) = one(conn, CHAT_OF_PAIR, pair, rows::chat)? {
        return Ok((found, false));
    }
    let key = id::bytes(chat.id);
    let values = (
        key,
        rows::chat_kind(chat.kind),
        chat.created_at.as_millis(),
        chat.active_at.as_millis(),
        chat.last_seq,
        chat.member_count,
        // A title, changes, system messages, metadata and a picture are no direct chat's.
        None::<String>,
        0,
        0,
        0,
    );
    change(conn, INSERT_CHAT, values)?;
    change(conn, INSERT_PAIR, (pair[0], pair[1], key))?;
    let role = rows::member_role(MemberRole::Member);
    let is_blocked = blocks::is_between(conn, pair)?;
    for user in pair {
        let at = chat.created_at.as_millis();
        let values = (key, user, role, at, is_blocked);
        change(conn, INSERT_MEMBER, values)?;
    }
    Ok((chat.clone(), true))
}
