//! From what a request says of its document to the document that is run: the text itself, an
//! automatic persisted query (a hash of a text that was sent before), or a trusted document (the
//! name of a text that the operator has registered). Whichever it is, the guard checks it.
//!
//! Automatic persisted queries follow Apollo's protocol, whose clients look for the code of a
//! refusal, and urql's, which look for its message. Trusted documents are named by `documentId`, as
//! the GraphQL-over-HTTP draft has it, or in the form of an automatic persisted query.

mod registry;

use std::sync::Arc;

use async_graphql::{ServerError, Value};
use moka::sync::Cache;
use sha2::{Digest as _, Sha256};
use talksy_domain::error::{ApiError, ErrorCode};

pub use registry::DocumentsError;

use super::errors::server_error;
use super::guard::{CheckedDocument, Guard};
use super::operation::{NO_QUERY, Params};
use crate::config::DocumentsConfig;
use registry::Registry;

/// The extension in which clients send a hash.
pub(super) const EXTENSION: &str = "persistedQuery";

/// The one version of that extension.
const VERSION: u64 = 1;

/// What an entry of the cache takes besides its text, in bytes, about.
const ENTRY: usize = 128;

/// Longest part of a name that is told back, in characters.
const SHOWN: usize = 80;

type Sha = [u8; 32];

/// Finds and checks the documents of requests.
#[derive(Debug)]
pub struct Documents {
    guard: Guard,
    registry: Option<Registry>,
    /// Whether nothing runs but what is registered.
    trusted_only: bool,
    /// The texts that clients have sent with their hash. `None` where the server keeps none.
    automatic: Option<Cache<Sha, Arc<str>>>,
}

impl Documents {
    /// Reads the registry, where the configuration names one.
    ///
    /// # Errors
    /// Where it cannot be read, or has a document that could never run.
    pub fn open(guard: Guard, config: &DocumentsConfig) -> Result<Self, DocumentsError> {
        let registry = match &config.trusted {
            None => None,
            Some(path) => Some(Registry::open(path, &guard, config.trusted_only)?),
        };
        let automatic = (config.automatic_bytes > 0 && !config.trusted_only).then(|| {
            Cache::builder()
                .max_capacity(config.automatic_bytes)
                .weigher(|_: &Sha, text: &Arc<str>| {
                    u32::try_from(text.len().saturating_add(ENTRY)).unwrap_or(u32::MAX)
                })
                .build()
        });
        Ok(Self {
            guard,
            registry,
            trusted_only: config.trusted_only,
            automatic,
        })
    }

    /// What every document has to pass.
    pub const fn guard(&self) -> &Guard {
        &self.guard
    }

    /// The document that a request runs.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` where it says nothing of one, `BAD_REQUEST` where it contradicts itself,
    /// `PERSISTED_QUERY_NOT_FOUND`, `PERSISTED_QUERY_NOT_SUPPORTED`, `PERSISTED_QUERY_ONLY`, and all
    /// of [`Guard::check`].
    pub(super) fn find(&self, params: &Params) -> Result<Arc<CheckedDocument>, Box<ServerError>> {
        let refused = |refusal: ApiError| Box::new(server_error(&refusal));
        let id = params.document_id.as_deref();
        let hash = hash_of(params).map_err(refused)?;
        // Some clients send an empty text where they send a name.
        let named = id.is_some() || hash.is_some();
        let query = params.query.as_deref();
        let Some(query) = query.filter(|query| !named || !query.is_empty()) else {
            let text = self.named(id, hash).map_err(refused)?;
            return self.guard.check(&text);
        };
        let sha = self.agreed(query, id, hash).map_err(refused)?;
        if self.trusted_only && !self.registry.as_ref().is_some_and(|r| r.holds(query)) {
            return Err(refused(ApiError::new(
                ErrorCode::PersistedQueryOnly,
                "This server runs registered documents only, and this is none of them.",
            )));
        }
        let checked = self.guard.check(query)?;
        if let (Some(automatic), Some(sha)) = (&self.automatic, sha)
            && !automatic.contains_key(&sha)
        {
            automatic.insert(sha, Arc::clone(checked.text()));
        }
        Ok(checked)
    }

    /// The text of a document that is named and not sent.
    fn named(&self, id: Option<&str>, hash: Option<&str>) -> Result<Arc<str>, ApiError> {
        if let Some(id) = id {
            let Some(registry) = &self.registry else {
                return Err(ApiError::new(
                    ErrorCode::PersistedQueryNotSupported,
                    "This server has no registered documents: send the document as `query`.",
                ));
            };
            return registry.get(id).ok_or_else(|| {
                let shown: String = id.chars().take(SHOWN).collect();
                ApiError::new(
                    ErrorCode::PersistedQueryNotFound,
                    format!("No document is registered as `{shown}`."),
                )
                .field("documentId")
            });
        }
        let hash = hash.ok_or_else(|| ApiError::new(ErrorCode::BadUserInput, NO_QUERY))?;
        let registered = self.registry.as_ref().and_then(|r| r.get(hash));
        let known = || self.automatic.as_ref()?.get(&sha_of(hash)?);
        registered.or_else(known).ok_or_else(|| {
            // urql looks for these very messages.
            if self.automatic.is_some() || self.registry.is_some() {
                ApiError::new(ErrorCode::PersistedQueryNotFound, "PersistedQueryNotFound")
            } else {
                ApiError::new(
                    ErrorCode::PersistedQueryNotSupported,
                    "PersistedQueryNotSupported",
                )
            }
        })
    }

    /// Compares a text with the names that came with it. The hash, where it is one of the text.
    fn agreed(
        &self,
        query: &str,
        id: Option<&str>,
        hash: Option<&str>,
    ) -> Result<Option<Sha>, ApiError> {
        let registered = |name: &str| self.registry.as_ref().and_then(|r| r.get(name));
        if let Some(text) = id.and_then(registered)
            && *text != *query.trim()
        {
            return Err(contradiction(
                "`documentId` names another document than `query` is.",
                "documentId",
            ));
        }
        let Some(hash) = hash else {
            return Ok(None);
        };
        let sha: Sha = Sha256::digest(query).into();
        if sha_of(hash) == Some(sha) {
            return Ok(Some(sha));
        }
        // The operator may have registered it under another name than its hash.
        if registered(hash).is_some_and(|text| *text == *query.trim()) {
            return Ok(None);
        }
        Err(contradiction(
            "`extensions.persistedQuery.sha256Hash` is not the SHA-256 of `query`.",
            "extensions.persistedQuery.sha256Hash",
        ))
    }
}

/// The hash in a request's extensions.
fn hash_of(params: &Params) -> Result<Option<&str>, ApiError> {
    let Some(extension) = params.persisted_query() else {
        return Ok(None);
    };
    let member = |name| match extension {
        Value::Object(members) => members.get(name),
        _ => None,
    };
    let version = match member("version") {
        Some(Value::Number(version)) => version.as_u64(),
        _ => None,
    };
    if version != Some(VERSION) {
        return Err(contradiction(
            "`extensions.persistedQuery.version` must be 1.",
            "extensions.persistedQuery.version",
        ));
    }
    match member("sha256Hash") {
        Some(Value::String(hash)) if !hash.is_empty() => Ok(Some(hash)),
        _ => Err(contradiction(
            "`extensions.persistedQuery.sha256Hash` must be a string, and not empty.",
            "extensions.persistedQuery.sha256Hash",
        )),
    }
}

fn contradiction(message: &str, field: &'static str) -> ApiError {
    ApiError::new(ErrorCode::BadRequest, message).field(field)
}

/// The bytes of a SHA-256 in hexadecimal digits.
fn sha_of(hash: &str) -> Option<Sha> {
    let mut sha = Sha::default();
    hex::decode_to_slice(hash, &mut sha).ok()?;
    Some(sha)
}

#[cfg(test)]
mod tests;
