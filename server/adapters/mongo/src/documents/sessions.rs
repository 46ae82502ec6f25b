//! Sessions.

use std::net::IpAddr;

use mongodb::bson::raw::RawDocument;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, DateTime, Uuid};
use serde::{Deserialize, Serialize};
use talksy_domain::auth::{ReplacedToken, Session, SessionTokens, TokenHash, TokenSalt};
use talksy_domain::id::{self, SessionId};

use super::{SESSIONS, Stored, date, id_text, instant, key};
use crate::fault::Why;

/// A session with the hashes of its refresh token and of the one before.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    user_id: Uuid,
    token: Binary,
    generation: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced: Option<ReplacedDocument>,
    created_at: DateTime,
    last_used_at: DateTime,
    expires_at: DateTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_address: Option<String>,
}

/// The token before the current one, and what that was made of.
#[derive(Serialize, Deserialize)]
struct ReplacedDocument {
    token: Binary,
    salt: Binary,
    at: DateTime,
}

/// A token's hash, or a salt, as documents keep it.
pub(crate) fn binary(bytes: &[u8; 32]) -> Binary {
    Binary {
        subtype: BinarySubtype::Generic,
        bytes: bytes.to_vec(),
    }
}

fn bytes(binary: &Binary) -> Result<[u8; 32], Why> {
    let bytes = binary.bytes.as_slice();
    bytes
        .try_into()
        .map_err(|_| "a token or salt has no 32 bytes".into())
}

impl SessionDocument {
    /// The session with the hash of its first token.
    pub(crate) fn new(session: &Session, token: TokenHash) -> Self {
        Self {
            id: key(id::bytes(session.id)),
            user_id: key(id::bytes(session.user_id)),
            token: binary(&token.0),
            generation: 0,
            replaced: None,
            created_at: date(session.created_at),
            last_used_at: date(session.last_used_at),
            expires_at: date(session.expires_at),
            user_agent: session.user_agent.clone(),
            ip_address: session.ip_address.map(|address| address.to_string()),
        }
    }
}

impl Stored for SessionDocument {
    type Value = (Session, SessionTokens);
    const COLLECTION: &'static str = SESSIONS;

    fn name(raw: &RawDocument) -> String {
        let id = id_text(raw, "_id", |bytes| {
            let id: SessionId = id::from_bytes(bytes);
            id.to_string()
        });
        format!("session {id}")
    }

    fn value(self) -> Result<(Session, SessionTokens), Why> {
        let replaced = self.replaced.map(|replaced| -> Result<ReplacedToken, Why> {
            Ok(ReplacedToken {
                hash: TokenHash(bytes(&replaced.token)?),
                salt: TokenSalt(bytes(&replaced.salt)?),
                at: instant(replaced.at),
            })
        });
        let tokens = SessionTokens {
            current: TokenHash(bytes(&self.token)?),
            generation: self.generation.try_into()?,
            replaced: replaced.transpose()?,
        };
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
        Ok((session, tokens))
    }
}
