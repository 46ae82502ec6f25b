//! How an error of the domain becomes one of GraphQL: the one place where both meet.

use std::sync::Arc;

use async_graphql::Enum;
use talksy_domain::error::{ApiError, PortError};

/// Why a field was refused. Made from any error of the domain by `?`.
#[derive(Clone, Debug)]
pub struct ResolverError(pub ApiError);

/// What a resolver answers.
pub type Result<T, E = ResolverError> = std::result::Result<T, E>;

impl<E: Into<ApiError>> From<E> for ResolverError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

/// The error keeps the domain's as its source: whoever writes the answer makes the extensions of
/// it, and logs its fault.
impl From<ResolverError> for async_graphql::Error {
    fn from(ResolverError(error): ResolverError) -> Self {
        Self {
            message: error.message.clone(),
            source: Some(Arc::new(error)),
            extensions: None,
        }
    }
}

/// Stable values of `errors[].extensions.code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(name = "ErrorCode", remote = "talksy_domain::error::ErrorCode")]
pub enum ErrorCodeEnum {
    /// No valid access token was sent. Sign in.
    Unauthenticated,
    /// The viewer may not do this.
    Forbidden,
    /// There is no such object, or the viewer may not know of it.
    NotFound,
    /// An argument breaks a rule; `extensions.field` names it.
    BadUserInput,
    /// The request contradicts itself: the hash of a persisted query is not that of its text.
    BadRequest,
    /// The request contradicts the present state.
    Conflict,
    /// Too many requests; `extensions.retryAfter` says in how many seconds to try again.
    RateLimited,
    /// The mailed code is wrong.
    OtpInvalid,
    /// The mailed code is no longer valid: it has expired, was used or withdrawn, or was tried too often.
    /// Ask for another.
    OtpExpired,
    /// The access or refresh token has expired. Refresh the session, or sign in.
    TokenExpired,
    /// A refresh token was used a second time. Its session is revoked.
    TokenReused,
    /// The account is suspended. Told to its user alone, once they have proved who they are.
    Suspended,
    /// Too much was missed to replay. Refetch, then subscribe without `after`.
    ResyncRequired,
    /// The client did not read fast enough. Resume with `after`.
    SlowConsumer,
    /// The operation asks for too much.
    QueryTooComplex,
    /// The request or message is larger than allowed.
    PayloadTooLarge,
    /// The answer would be larger than allowed. Ask for smaller pages or fewer fields.
    ResponseTooLarge,
    /// It took longer than the server allows. A query has changed nothing; a mutation runs on.
    Timeout,
    /// The document is not GraphQL.
    GraphqlParseFailed,
    /// The document does not fit the schema.
    GraphqlValidationFailed,
    /// No document is known by this hash or id. Send it as `query`, with the hash.
    PersistedQueryNotFound,
    /// The server keeps no documents. Send each as `query`, without a hash.
    PersistedQueryNotSupported,
    /// The server runs registered documents only, and this is none of them.
    PersistedQueryOnly,
    /// A backend is down. Try again later; `sendMessage` is safe to repeat with the same
    /// `clientMessageId`.
    Unavailable,
    /// A fault of the server. It has been logged.
    Internal,
}

/// A record refers to an object that does not exist.
pub(crate) fn dangling(id: String) -> PortError {
    PortError::corrupt(id, "a record refers to it, but it does not exist")
}
