//! Sessions and their refresh tokens, one document each, so that every change of one is atomic.

use std::collections::HashSet;

use async_trait::async_trait;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, doc};
use talksy_domain::auth::{Rotation, Session, SessionStore, TokenHash};
use talksy_domain::clock::Timestamp;
use talksy_domain::cursor::SessionCursor;
use talksy_domain::error::PortError;
use talksy_domain::events::Announcement;
use talksy_domain::id::{self, SessionId, UserId};
use talksy_domain::page::{Page, Window};

use super::MongoStore;
use super::call::Call;
use super::commands::{Inserted, Shape};
use super::documents::{self, SESSIONS, SessionDocument, date, key, keys, overread};
use super::fault::Fault;

/// How many replaced tokens of a session are remembered. With tokens that live for a quarter of
/// an hour that is a year and a half of unbroken use; a document stays below 2 MiB.
const RETIRED: i32 = 50_000;

/// How much of a replaced token's hash is remembered: enough that nobody finds another like it.
const RETIRED_BYTES: usize = 16;

/// Without the tokens that were replaced, which may be many.
fn fields() -> Shape {
    Shape {
        fields: Some(doc! { "retired": 0 }),
        ..Shape::default()
    }
}

fn token(hash: TokenHash) -> Binary {
    binary(&hash.0)
}

fn retired(hash: TokenHash) -> Binary {
    binary(hash.0.get(..RETIRED_BYTES).unwrap_or_default())
}

fn binary(bytes: &[u8]) -> Binary {
    Binary {
        subtype: BinarySubtype::Generic,
        bytes: bytes.to_vec(),
    }
}

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

    /// 2 commands.
    async fn rotate_session(
        &self,
        id: SessionId,
        presented: TokenHash,
        replacement: TokenHash,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<Rotation, PortError> {
        let tokens = (presented, replacement);
        Ok(rotate(&self.call(), id, tokens, now, expires_at).await?)
    }

    async fn delete_session(&self, id: SessionId, user: UserId) -> Result<bool, PortError> {
        Ok(delete(&self.call(), id, user).await?)
    }

    /// 2 commands, of which the second is left out where nothing has expired.
    async fn purge_expired(&self, now: Timestamp, limit: usize) -> Result<usize, PortError> {
        Ok(purge(&Call::of_store(&self.inner), now, limit).await?)
    }
}

async fn create(call: &Call, session: &Session, first: TokenHash) -> Result<(), Fault> {
    let document = SessionDocument::new(session, token(first));
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
        .find_one::<SessionDocument>(by_id(id), fields())
        .await?;
    Ok(found.map(|(session, _)| session))
}

async fn many(call: &Call, ids: &[SessionId]) -> Result<Vec<Session>, Fault> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let filter = doc! { "_id": { "$in": keys(ids, id::bytes) } };
    let found = call.find::<SessionDocument>(filter, fields()).await?;
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
        ..fields()
    };
    let found = call.find_first::<SessionDocument>(filter, shape, overread(window));
    let found = found.await?.into_iter().map(|(session, _)| session);
    Ok(Page::from_overread(found.collect(), window))
}

/// Compares and sets in one update, of which one of many callers' can match.
async fn rotate(
    call: &Call,
    id: SessionId,
    (presented, replacement): (TokenHash, TokenHash),
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<Rotation, Fault> {
    let mut filter = by_id(id);
    filter.insert("token", token(presented));
    filter.insert("expiresAt", doc! { "$gt": date(now) });
    let update = doc! {
        "$set": {
            "token": token(replacement),
            "lastUsedAt": date(now),
            "expiresAt": date(expires_at),
        },
        "$push": { "retired": { "$each": [retired(presented)], "$slice": -RETIRED } },
    };
    if call.update_one(SESSIONS, filter, update).await? {
        let session = one(call, id).await?;
        return Ok(session.map_or(Rotation::Unknown, Rotation::Rotated));
    }
    let mut filter = by_id(id);
    let tokens = [
        doc! { "token": token(presented) },
        doc! { "retired": retired(presented) },
    ];
    filter.insert("$or", tokens.to_vec());
    let found = call.find_one::<SessionDocument>(filter, fields()).await?;
    Ok(match found {
        Some((_, current)) if current == presented => Rotation::Expired,
        Some((session, _)) => Rotation::Reused(session),
        None => Rotation::Unknown,
    })
}

async fn delete(call: &Call, id: SessionId, user: UserId) -> Result<bool, Fault> {
    let mut filter = by_id(id);
    filter.insert("userId", key(id::bytes(user)));
    let announce = call.announcing(vec![Announcement::session_revoked(user, id)]);
    Ok(call.delete_then(SESSIONS, filter, announce).await? > 0)
}

/// Deletes a part, as one command over all would not end in time where there are many. What was
/// prolonged since it was read is left.
async fn purge(call: &Call, now: Timestamp, limit: usize) -> Result<usize, Fault> {
    let expired = doc! { "expiresAt": { "$lte": date(now) } };
    let shape = Shape {
        sort: Some(doc! { "expiresAt": 1 }),
        limit: Some(documents::limit(limit)),
        fields: Some(doc! { "_id": 1 }),
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
