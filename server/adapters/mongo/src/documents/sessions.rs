//! Sessions.

use std::net::IpAddr;

use mongodb::bson::raw::RawDocument;
use mongodb::bson::{DateTime, Uuid};
use serde::{Deserialize, Serialize};
use talksy_domain::auth::{Session, TokenHash};
use talksy_domain::id::{self, SessionId};

use super::{SESSIONS, Stored, date, id_text, instant, key};
use crate::fault::Why;

/// A session with the hash of its current refresh token. Those of earlier ones stand in `retired`,
/// which is never read as a whole.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    user_id: Uuid,
    token: mongodb::bson::Binary,
    created_at: DateTime,
    last_used_at: DateTime,
    expires_at: DateTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_address: Option<String>,
}

impl SessionDocument {
    /// The session with the hash of its first token.
    pub(crate) fn new(session: &Session, token: mongodb::bson::Binary) -> Self {
        Self {
            id: key(id::bytes(session.id)),
            user_id: key(id::bytes(session.user_id)),
            token,
            created_at: date(session.created_at),
            last_used_at: date(session.last_used_at),
            expires_at: date(session.expires_at),
            user_agent: session.user_agent.clone(),
            ip_address: session.ip_address.map(|address| address.to_string()),
        }
    }
}

impl Stored for SessionDocument {
    type Value = (Session, TokenHash);
    const COLLECTION: &'static str = SESSIONS;

    fn name(raw: &RawDocument) -> String {
        let id = id_text(raw, "_id", |bytes| {
            let id: SessionId = id::from_bytes(bytes);
            id.to_string()
        });
        format!("session {id}")
    }

    fn value(self) -> Result<(Session, TokenHash), Why> {
        let token = self.token.bytes.as_slice();
        let token = token.try_into().map_err(|_| "its token has no 32 bytes")?;
        // Where the client was is told to the user alone, as far as it is known.
        let ip_address: Option<IpAddr> = self.ip_address.and_then(|text| text.parse().ok());
        let session = Session {
            id: id::from_bytes(self.id.bytes()),
            user_id: id::from_bytes(self.user_id.bytes()),
            created_at: instant(self.created_at),
            last_used_at: instant(self.last_used_at),
            expires_at: instant(self.expires_at),
            user_agent: self.user_agent,
            ip_address,
        };
        Ok((session, TokenHash(token)))
    }
}
