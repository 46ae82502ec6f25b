//! Users.

use mongodb::bson::raw::RawDocument;
use mongodb::bson::{DateTime, Uuid};
use serde::{Deserialize, Serialize};
use talksy_domain::id::{self, UserId};
use talksy_domain::mail::EmailAddress;
use talksy_domain::metadata::Metadata;
use talksy_domain::users::{About, DisplayName, User};

use super::{Stored, USERS, date, field, id_text, instant, key, some_instant};
use crate::fault::Why;

/// A user.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    email: String,
    name: DisplayName,
    /// The name as lists order and search it.
    #[serde(skip_deserializing)]
    name_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<About>,
    /// Its text: values of JSON are not all values of BSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar_id: Option<Uuid>,
    created_at: DateTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen_at: Option<DateTime>,
    /// The version of the user's blocks; see `blocks`.
    #[serde(default)]
    block_version: u32,
    /// When the account was deleted. It has no `nameKey` then, so that nobody finds it by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<DateTime>,
}

impl From<&User> for UserDocument {
    fn from(user: &User) -> Self {
        Self {
            id: key(id::bytes(user.id)),
            email: user.email.as_str().to_owned(),
            name: user.name.clone(),
            name_key: user.name.sort_key(),
            about: user.about.clone(),
            metadata: user.metadata.clone(),
            avatar_id: user.avatar_id.map(|one| key(id::bytes(one))),
            created_at: date(user.created_at),
            last_seen_at: user.last_seen_at.map(date),
            block_version: user.block_version,
            deleted_at: user.deleted_at.map(date),
        }
    }
}

fn user_name(raw: &RawDocument) -> String {
    let id = id_text(raw, "_id", |bytes| {
        let id: UserId = id::from_bytes(bytes);
        id.to_string()
    });
    format!("user {id}")
}

impl Stored for UserDocument {
    type Value = User;
    const COLLECTION: &'static str = USERS;

    fn name(raw: &RawDocument) -> String {
        user_name(raw)
    }

    fn value(self) -> Result<User, Why> {
        Ok(User {
            id: id::from_bytes(self.id.bytes()),
            email: EmailAddress::stored(self.email),
            name: self.name,
            about: self.about,
            metadata: self.metadata,
            avatar_id: self.avatar_id.map(|one| id::from_bytes(one.bytes())),
            created_at: instant(self.created_at),
            last_seen_at: self.last_seen_at.map(instant),
            block_version: self.block_version,
            deleted_at: self.deleted_at.map(instant),
        })
    }

    fn stand_in(raw: &RawDocument) -> Option<User> {
        let id: Uuid = field(raw, "_id")?;
        let name: String = field(raw, "name").unwrap_or_default();
        let key: String = field(raw, "nameKey").unwrap_or_default();
        Some(User {
            id: id::from_bytes(id.bytes()),
            email: EmailAddress::stored(field(raw, "email").unwrap_or_default()),
            name: DisplayName::parse(&name).unwrap_or_else(|_| DisplayName::stand_in(&name, &key)),
            about: field(raw, "about"),
            metadata: field(raw, "metadata"),
            avatar_id: field::<Uuid>(raw, "avatarId").map(|one| id::from_bytes(one.bytes())),
            created_at: some_instant(raw, "createdAt"),
            last_seen_at: field(raw, "lastSeenAt").map(instant),
            block_version: field(raw, "blockVersion").unwrap_or_default(),
            deleted_at: field(raw, "deletedAt").map(instant),
        })
    }
}

/// The id of a user.
#[derive(Deserialize)]
pub(crate) struct UserKey {
    #[serde(rename = "_id")]
    id: Uuid,
}

impl Stored for UserKey {
    type Value = [u8; 16];
    const COLLECTION: &'static str = USERS;

    fn name(raw: &RawDocument) -> String {
        user_name(raw)
    }

    fn value(self) -> Result<[u8; 16], Why> {
        Ok(self.id.bytes())
    }
}
