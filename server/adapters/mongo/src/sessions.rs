//! Sessions and their refresh tokens, one document each, so that every change of one is atomic.

use std::collections::HashSet;

use async_trait::async_trait;
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use talksy_domain::auth::{
    Exchange, Rotation, Session, SessionStore, SessionTokens, TokenHash, judge, rotated,
};
use talksy_domain::clock::Timestamp;
use talksy_domain::cursor::SessionCursor;
use talksy_domain::error::PortError;
use talksy_domain::events::Announcement;
use talksy_domain::id::{self, SessionId, UserId};
use talksy_domain::page::{Page, Window};

use super::MongoStore;
use super::call::Call;
use super::commands::{Inserted, Shape};
use super::documents::{self, SESSIONS, SessionDocument, binary, date, key, keys, overread};
use super::fault::Fault;

fn by_id(id: SessionId) -> Document {
    doc! { "_id": key(id::bytes(id)) }
}

#[async_trait]
impl SessionStore for MongoStore {
    async fn create_session(&self, session: &Session, token: TokenHash) -> Result<(), PortError> {
        Ok(create(&self.call(), session, token).await?)
    }

    /// 1 command.
    async fn session(&self, id: SessionId) -> Result<Option<Session>, PortError> {
        Ok(one(&self.call(), id).await?)
    }

    /// 1 command.
    async fn sessions(&self, ids: &[SessionId]) -> Result<Vec<Session>, PortError> {
        Ok(many(&self.call(), ids).await?)
    }

    /// 1 command, answered from the index.
    async fn existing_sessions(&self, ids: &[SessionId]) -> Result<Vec<SessionId>, PortError> {
        Ok(existing(&self.call(), ids).await?)
    }

    /// 1 command.
    async fn sessions_of(
        &self,
        user: UserId,
        now: Timestamp,
        window: &Window<SessionCursor>,
    ) -> Result<Page<Session>, PortError> {
        Ok(of_user(&self.call(), user, now, window).await?)
    }

    /// 2 commands, of which the second is left out where the token is not replaced.
    async fn rotate_session(&self, exchange: &Exchange) -> Result<Rotation, PortError> {
        Ok(rotate(&self.call(), exchange).await?)
    }

    async fn delete_session(&self, id: SessionId, user: UserId) -> Result<bool, PortError> {
        Ok(delete(&self.call(), id, user).await?)
    }

    /// 2 commands, of which the second is left out where there are none.
    async fn end_sessions_of(&self, user: UserId, limit: usize) -> Result<usize, PortError> {
        Ok(end_of(&Call::of_store(&self.inner), user, limit).await?)
    }

    /// 2 commands, of which the second is left out where nothing has expired.
    async fn purge_expired(&self, now: Timestamp, limit: usize) -> Result<usize, PortError> {
        Ok(purge(&Call::of_store(&self.inner), now, limit).await?)
    }
}

async fn create(call: &Call, session: &Session, first: TokenHash) -> Result<(), Fault> {
    let document = SessionDocument::new(session, first);
    match call.insert(SESSIONS, document).await? {
        Inserted::Done => Ok(()),
        // What a lost answer hides: the same session is there.
        Inserted::Duplicate(index) => {
            let why = format!("its id is taken in `{index}`").into();
            Err(Fault::document(format_args!("session {}", session.id), why))
        }
    }
}

async fn one(call: &Call, id: SessionId) -> Result<Option<Session>, Fault> {
    let found = call
        .find_one::<SessionDocument>(by_id(id), Shape::default())
        .await?;
    Ok(found.map(|(session, _)| session))
}

async fn many(call: &Call, ids: &[SessionId]) -> Result<Vec<Session>, Fault> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let filter = doc! { "_id": { "$in": keys(ids, id::bytes) } };
    let found = call
        .find::<SessionDocument>(filter, Shape::default())
        .await?;
    Ok(found.into_iter().map(|(session, _)| session).collect())
}

async fn existing(call: &Call, ids: &[SessionId]) -> Result<Vec<SessionId>, Fault> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let filter = doc! { "_id": { "$in": keys(ids, id::bytes) } };
    let shape = Shape {
        fields: Some(doc! { "_id": 1 }),
        ..Shape::default()
    };
    let found = call.find_raw(SESSIONS, filter, shape).await?;
    let found: HashSet<Vec<u8>> = found
        .iter()
        .filter_map(|session| Some(session.get_binary("_id").ok()?.bytes.to_vec()))
        .collect();
    let exists = |id: &SessionId| found.contains(id::bytes(*id).as_slice());
    Ok(ids.iter().copied().filter(exists).collect())
}

async fn of_user(
    call: &Call,
    user: UserId,
    now: Timestamp,
    window: &Window<SessionCursor>,
) -> Result<Page<Session>, Fault> {
    let mut filter = doc! { "userId": key(id::bytes(user)), "expiresAt": { "$gt": date(now) } };
    if let Some(after) = &window.after {
        let last_used_at = date(after.last_used_at);
        let behind = [
            doc! { "lastUsedAt": { "$lt": last_used_at } },
            doc! {
                "lastUsedAt": last_used_at,
                "_id": { "$lt": key(id::bytes(after.session_id)) },
            },
        ];
        filter.insert("$or", behind.to_vec());
    }
    let shape = Shape {
        sort: Some(doc! { "lastUsedAt": -1, "_id": -1 }),
        ..Shape::default()
    };
    let found = call.find_first::<SessionDocument>(filter, shape, overread(window));
    let found = found.await?.into_iter().map(|(session, _)| session);
    Ok(Page::from_overread(found.collect(), window))
}

/// Judges by the document as the primary has it, and replaces the token only where the document still
/// has it: so what is answered follows from one state of it, whatever a secondary or a majority that is
/// behind would have told. Where another call replaces the token in between, it is judged anew, by then
/// with another verdict.
async fn rotate(call: &Call, exchange: &Exchange) -> Result<Rotation, Fault> {
    loop {
        let Some((session, tokens)) = newest(call, exchange.session_id).await? else {
            return Ok(Rotation::Unknown);
        };
        let rotation = judge(&session, &tokens, exchange);
        let Rotation::Rotated(renewed) = &rotation else {
            return Ok(rotation);
        };
        let mut filter = by_id(exchange.session_id);
        filter.insert("token", binary(&tokens.current.0));
        let update = rotating(renewed, &rotated(&tokens, exchange));
        if call.update_one(SESSIONS, filter, update).await? {
            return Ok(rotation);
        }
    }
}

/// A session and its tokens by a command of writing that changes nothing: the primary answers it with the
/// newest state, once the majority has that.
async fn newest(call: &Call, id: SessionId) -> Result<Option<(Session, SessionTokens)>, Fault> {
    let unchanged = doc! { "$max": { "generation": 0_i64 } };
    call.find_and_update::<SessionDocument>(by_id(id), unchanged, || {})
        .await
}

fn rotating(session: &Session, tokens: &SessionTokens) -> Document {
    let mut set = doc! {
        "token": binary(&tokens.current.0),
        "generation": i64::from(tokens.generation),
        "lastUsedAt": date(session.last_used_at),
        "expiresAt": date(session.expires_at),
    };
    if let Some(replaced) = tokens.replaced {
        let replaced = doc! {
            "token": binary(&replaced.hash.0),
            "salt": binary(&replaced.salt.0),
            "at": date(replaced.at),
        };
        set.insert("replaced", replaced);
    }
    doc! { "$set": set }
}

async fn delete(call: &Call, id: SessionId, user: UserId) -> Result<bool, Fault> {
    let mut filter = by_id(id);
    filter.insert("userId", key(id::bytes(user)));
    let announce = call.announcing(vec![Announcement::session_revoked(user, id)]);
    Ok(call.delete_then(SESSIONS, filter, announce).await? > 0)
}

/// Deletes some of the user's sessions, and tells of each.
pub(super) async fn end_of(call: &Call, user: UserId, limit: usize) -> Result<usize, Fault> {
    let of_user = doc! { "userId": key(id::bytes(user)) };
    let shape = Shape {
        limit: Some(documents::limit(limit)),
        fields: Some(doc! { "_id": 1 }),
        ..Shape::default()
    };
    let found = call.find_raw(SESSIONS, of_user.clone(), shape).await?;
    let id = |raw: &RawDocumentBuf| -> Option<SessionId> {
        let bytes = raw.get_binary("_id").ok()?.bytes;
        Some(id::from_bytes(bytes.try_into().ok()?))
    };
    let ids: Vec<SessionId> = found.iter().filter_map(id).collect();
    if ids.is_empty() {
        return Ok(0);
    }
    let mut these = of_user;
    these.insert("_id", doc! { "$in": keys(&ids, id::bytes) });
    let told = ids
        .iter()
        .map(|id| Announcement::session_revoked(user, *id));
    let announce = call.announcing(told.collect());
    call.delete_then(SESSIONS, these, announce).await?;
    Ok(found.len())
}

/// Deletes a part, as one command over all would not end in time where there are many. What was
/// prolonged since it was read is left.
async fn purge(call: &Call, now: Timestamp, limit: usize) -> Result<usize, Fault> {
    let expired = doc! { "expiresAt": { "$lte": date(now) } };
    let shape = Shape {
        sort: Some(doc! { "expiresAt": 1 }),
        limit: Some(documents::limit(limit)),
        fields: Some(doc! { "_id": 1 }),
        ..Shape::default()
    };
    let found = call.find_raw(SESSIONS, expired.clone(), shape).await?;
    let ids: Vec<_> = found
        .iter()
        .filter_map(|raw| raw.get("_id").ok()?)
        .collect();
    let ids: Result<Vec<Bson>, _> = ids.into_iter().map(Bson::try_from).collect();
    let ids = ids.map_err(|error| Fault::document("a session's id", error.into()))?;
    if ids.is_empty() {
        return Ok(0);
    }
    let mut filter = expired;
    filter.insert("_id", doc! { "$in": ids });
    call.delete(SESSIONS, filter).await?;
    Ok(found.len())
}
