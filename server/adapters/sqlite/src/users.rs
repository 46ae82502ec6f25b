//! Users, by id, address and name.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use rusqlite::types::Value;
use rusqlite::{Connection, Row};
use talksy_domain::clock::Timestamp;
use talksy_domain::cursor::UserCursor;
use talksy_domain::error::PortError;
use talksy_domain::events::Announcement;
use talksy_domain::id::{self, SessionId, UserId};
use talksy_domain::jobs::Task;
use talksy_domain::mail::EmailAddress;
use talksy_domain::metadata::Metadata;
use talksy_domain::page::{Page, Window};
use talksy_domain::search::fold_key;
use talksy_domain::users::{About, DisplayName, MAX_KNOWN, ProfileChange, User, UserStore};

use super::SqliteStore;
use super::fault::Fault;
use super::names;
use super::rows::{self, all, change, filled, one, statements, user_columns};
use super::{jobs, sessions};

statements! {
    USERS = concat!("SELECT ", user_columns!(), " FROM rarray(?1) AS wanted
        CROSS JOIN users ON id = wanted.value");
    USER_OF_EMAIL = concat!("SELECT ", user_columns!(), " FROM users WHERE email = ?1");
    INSERT_USER = "INSERT INTO users (id, email, name, name_key, about, created_at, last_seen_at, metadata)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    UPDATE_PROFILE = concat!("UPDATE users SET name = coalesce(?2, name),
        name_key = coalesce(?3, name_key), about = iif(?4, ?5, about),
        metadata = iif(?6, ?7, metadata), avatar_id = iif(?8, ?9, avatar_id)
        WHERE id = ?1 AND deleted_at IS NULL RETURNING ", user_columns!());
    USERS_BY_NAME = concat!("SELECT ", user_columns!(), " FROM users
        WHERE (name_key, id) > (?1, ?2) AND name_key < ?3 AND id <> ?4 AND deleted_at IS NULL
        AND NOT EXISTS (SELECT 1 FROM blocks AS mine
            WHERE mine.blocker_id = ?4 AND mine.blocked_id = users.id)
        AND NOT EXISTS (SELECT 1 FROM blocks AS theirs
            WHERE theirs.blocker_id = users.id AND theirs.blocked_id = ?4)
        ORDER BY name_key, id LIMIT ?5");
    // In the order of an index that has the members of the present alone: nothing is sorted, and no more
    // of it is read than the limit says.
    KNOWN_USERS = "SELECT theirs.user_id FROM members AS mine
        CROSS JOIN members AS theirs INDEXED BY members_by_role
            ON theirs.chat_id = mine.chat_id AND theirs.left_seq IS NULL
        WHERE mine.user_id = ?1 AND mine.left_seq IS NULL AND theirs.user_id <> ?1
        ORDER BY mine.chat_id LIMIT ?2";
    THESE_USERS_BY_NAME = concat!("SELECT ", user_columns!(), " FROM rarray(?1) AS known
        CROSS JOIN users ON id = known.value
        WHERE (name_key, id) > (?2, ?3) AND name_key < ?4 AND deleted_at IS NULL
        AND NOT EXISTS (SELECT 1 FROM blocks AS mine
            WHERE mine.blocker_id = ?6 AND mine.blocked_id = users.id)
        AND NOT EXISTS (SELECT 1 FROM blocks AS theirs
            WHERE theirs.blocker_id = users.id AND theirs.blocked_id = ?6)
        ORDER BY name_key, id LIMIT ?5");
    NEXT_NAMES = "SELECT id, name, name_key FROM users WHERE id > ?1 AND deleted_at IS NULL
        ORDER BY id LIMIT ?2";
    // Where the name is still the one that was folded.
    SET_NAME_KEY = "UPDATE users SET name_key = ?3
        WHERE id = ?1 AND name = ?2 AND deleted_at IS NULL";
    SET_LAST_SEEN = "UPDATE users SET last_seen_at = ?2
        WHERE id IN (SELECT value FROM rarray(?1)) AND coalesce(last_seen_at < ?2, TRUE)
        AND deleted_at IS NULL";
    DELETE_USER = "UPDATE users SET email = ?2, name = ?3, name_key = ?4, about = NULL,
        metadata = NULL, avatar_id = NULL, last_seen_at = NULL, deleted_at = ?5
        WHERE id = ?1 AND deleted_at IS NULL";
}

#[async_trait]
impl UserStore for SqliteStore {
    async fn users(&self, ids: &[UserId]) -> Result<Vec<User>, PortError> {
        let keys = rows::keys(ids, id::bytes);
        self.read(move |conn| all(conn, USERS, [rows::list(&keys)], rows::user))
            .await
    }

    async fn find_or_create_user(&self, candidate: &User) -> Result<(User, bool), PortError> {
        let user = candidate.clone();
        self.write(move |conn| {
            if let Some(found) = one(conn, USER_OF_EMAIL, [user.email.as_str()], rows::user)? {
                return Ok((found, false));
            }
            let values = (
                id::bytes(user.id),
                user.email.as_str(),
                user.name.as_str(),
                user.name.sort_key(),
                user.about.as_ref().map(About::as_str),
                user.created_at.as_millis(),
                user.last_seen_at.map(Timestamp::as_millis),
                user.metadata.as_ref().map(Metadata::as_str),
            );
            change(conn, INSERT_USER, values)?;
            Ok((user.clone(), true))
        })
        .await
    }

    async fn user_of_email(&self, email: &EmailAddress) -> Result<Option<User>, PortError> {
        let email = email.clone();
        self.read(move |conn| one(conn, USER_OF_EMAIL, [email.as_str()], rows::user))
            .await
    }

    async fn update_profile(
        &self,
        id: UserId,
        change: &ProfileChange,
    ) -> Result<Option<User>, PortError> {
        let change = change.clone();
        let work = move |conn: &Connection| {
            let about = change.about.as_ref();
            let metadata = change.metadata.as_ref();
            let values = (
                id::bytes(id),
                change.name.as_ref().map(DisplayName::as_str),
                change.name.as_ref().map(DisplayName::sort_key),
                about.is_some(),
                about.and_then(|about| about.as_ref()).map(About::as_str),
                metadata.is_some(),
                metadata
                    .and_then(|metadata| metadata.as_ref())
                    .map(Metadata::as_str),
                change.avatar.is_some(),
                change.avatar.flatten().map(id::bytes),
            );
            one(conn, UPDATE_PROFILE, values, rows::user)
        };
        self.write_announced(work, |user| {
            let changed = |user: &User| vec![Announcement::viewer_changed(user.id)];
            user.as_ref().map_or_else(Vec::new, changed)
        })
        .await
    }

    async fn users_by_name(
        &self,
        prefix: &str,
        viewer: UserId,
        window: &Window<UserCursor>,
    ) -> Result<Page<User>, PortError> {
        let (name, key, end) = range(prefix, window);
        let wanted = rows::overread(window);
        let users = self
            .read(move |conn| {
                let viewer = id::bytes(viewer);
                let values = |limit| (&name, &key, &end, viewer, limit);
                filled(conn, USERS_BY_NAME, wanted, values, rows::user)
            })
            .await?;
        Ok(Page::from_overread(users, window))
    }

    async fn known_users_by_name(
        &self,
        prefix: &str,
        viewer: UserId,
        window: &Window<UserCursor>,
    ) -> Result<Page<User>, PortError> {
        let (name, key, end) = range(prefix, window);
        let wanted = rows::overread(window);
        let users = self
            .read(move |conn| {
                let viewer = id::bytes(viewer);
                let values = (viewer, MAX_KNOWN);
                let read = |row: &Row<'_>| Ok(id::from_bytes(row.get(0)?));
                let known: Vec<UserId> = all(conn, KNOWN_USERS, values, read)?;
                let known = rows::keys(&known, id::bytes);
                let values = |limit| (rows::list(&known), &name, &key, &end, limit, viewer);
                filled(conn, THESE_USERS_BY_NAME, wanted, values, rows::user)
            })
            .await?;
        Ok(Page::from_overread(users, window))
    }

    async fn fold_names(
        &self,
        after: Option<UserId>,
        most: usize,
    ) -> Result<Option<UserId>, PortError> {
        let after = after.map_or_else(Vec::new, |after| id::bytes(after).to_vec());
        let names = self
            .look(move |conn| {
                let values = (after, rows::limit(most));
                all(conn, NEXT_NAMES, values, names::named)
            })
            .await?;
        let last = names.last().map(|name| id::from_bytes(name.key));
        self.set_folded(names, SET_NAME_KEY).await?;
        Ok(last)
    }

    async fn set_last_seen(&self, users: &[UserId], at: Timestamp) -> Result<(), PortError> {
        let keys = rows::keys(users, id::bytes);
        self.write(move |conn| {
            change(conn, SET_LAST_SEEN, (rows::list(&keys), at.as_millis()))?;
            Ok(())
        })
        .await
    }

    /// Mark, sessions and job are one transaction.
    async fn delete_user(&self, id: UserId, at: Timestamp) -> Result<bool, PortError> {
        let work = move |conn: &Connection| delete(conn, id, at);
        let deleted = self.write_announced(work, move |ended| {
            let ended = ended.iter().flatten();
            ended
                .map(|session| Announcement::session_revoked(id, *session))
                .collect()
        });
        Ok(deleted.await?.is_some())
    }

    async fn flush_erased(&self) -> Result<(), PortError> {
        self.inner.empty_log.store(true, Ordering::Release);
        // The writer looks behind its next commit.
        self.upkeep(|_| Ok(())).await
    }
}

/// Marks an account as deleted, and ends its sessions, which are returned; `None` where there is no
/// such account.
fn delete(conn: &Connection, user: UserId, at: Timestamp) -> Result<Option<Vec<SessionId>>, Fault> {
    let name = DisplayName::of_deleted();
    let values = (
        id::bytes(user),
        User::email_of_deleted(user).as_str().to_owned(),
        name.as_str(),
        name.sort_key(),
        at.as_millis(),
    );
    if change(conn, DELETE_USER, values)? == 0 {
        return Ok(None);
    }
    // An account is deleted once.
    let job = Task::EraseAccount { user_id: user };
    let job = job.job(id::from_bytes(id::bytes(user)), at, at);
    jobs::insert(conn, &job.map_err(Fault::json)?)?;
    sessions::end_all_of(conn, user, usize::MAX).map(Some)
}

/// The place behind which a page of users whose name starts with the prefix begins, as name and id,
/// and where all of them end.
fn range(prefix: &str, window: &Window<UserCursor>) -> (String, Vec<u8>, Value) {
    let prefix = fold_key(prefix);
    let end = prefix_end(&prefix);
    // Sorts ahead of every user whose name starts with the prefix.
    let start = (prefix, Vec::new());
    let (name, key) = match &window.after {
        Some(after) => start.max((after.name_key.clone(), id::bytes(after.user_id).to_vec())),
        None => start,
    };
    (name, key, end)
}

/// The least value that sorts behind every text with the prefix. UTF-8 sorts as its scalar values
/// do, so it is the prefix with its last character raised; where none can be, it is a blob, which
/// SQLite sorts behind all text.
pub(super) fn prefix_end(prefix: &str) -> Value {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        // The range steps over the surrogates, which are no characters.
        if let Some(next) = (last..=char::MAX).nth(1) {
            end.push(next);
            return Value::Text(end);
        }
    }
    Value::Blob(Vec::new())
}
