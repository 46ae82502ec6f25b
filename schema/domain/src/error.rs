//! The three layers of failure: a port's error, a service's error, and the one form that both
//! take for a client.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::sync::Arc;

/// Why a port could not do its work. The cause is for the log, never for a client.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PortError {
    /// The backend is down, overloaded or too slow. Trying again later may succeed.
    #[error("{backend} is not available")]
    Unavailable {
        /// Which backend: `store`, `bus`, `mail queue` …
        backend: &'static str,
        /// The driver's own error.
        #[source]
        source: Cause,
    },
    /// The backend holds something that does not parse.
    #[error("{what} is corrupt")]
    Corrupt {
        /// What is corrupt, with its id.
        what: String,
        /// What was wrong with it.
        #[source]
        source: Cause,
    },
}

/// A shareable error cause.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
pub struct Cause(Arc<dyn StdError + Send + Sync>);

impl Cause {
    /// Keeps any error as a cause.
    pub fn new(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self(error.into().into())
    }
}

impl PortError {
    /// The backend could not be reached or did not answer in time.
    pub fn unavailable(
        backend: &'static str,
        error: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self::Unavailable {
            backend,
            source: Cause::new(error),
        }
    }

    /// Something that was read does not parse.
    pub fn corrupt(
        what: impl Into<String>,
        error: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self::Corrupt {
            what: what.into(),
            source: Cause::new(error),
        }
    }
}

/// An argument breaks a rule. Reads as a sentence: "`field` rule".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {rule}.")]
pub struct Invalid {
    /// The argument's name as the schema spells it; of an item of a list with its index
    /// (`userIds.3`).
    pub field: Cow<'static, str>,
    /// The rule it breaks, as the end of a sentence: "must be …".
    pub rule: String,
}

impl Invalid {
    /// `field` breaks `rule`.
    pub fn new(field: impl Into<Cow<'static, str>>, rule: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            rule: rule.into(),
        }
    }
}

/// Stable values of `errors[].extensions.code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
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

impl ErrorCode {
    /// The code as it stands in `extensions.code`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::BadRequest => "BAD_REQUEST",
            Self::Conflict => "CONFLICT",
            Self::RateLimited => "RATE_LIMITED",
            Self::OtpInvalid => "OTP_INVALID",
            Self::OtpExpired => "OTP_EXPIRED",
            Self::TokenExpired => "TOKEN_EXPIRED",
            Self::TokenReused => "TOKEN_REUSED",
            Self::Suspended => "SUSPENDED",
            Self::ResyncRequired => "RESYNC_REQUIRED",
            Self::SlowConsumer => "SLOW_CONSUMER",
            Self::QueryTooComplex => "QUERY_TOO_COMPLEX",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::ResponseTooLarge => "RESPONSE_TOO_LARGE",
            Self::Timeout => "TIMEOUT",
            Self::GraphqlParseFailed => "GRAPHQL_PARSE_FAILED",
            Self::GraphqlValidationFailed => "GRAPHQL_VALIDATION_FAILED",
            Self::PersistedQueryNotFound => "PERSISTED_QUERY_NOT_FOUND",
            Self::PersistedQueryNotSupported => "PERSISTED_QUERY_NOT_SUPPORTED",
            Self::PersistedQueryOnly => "PERSISTED_QUERY_ONLY",
            Self::Unavailable => "UNAVAILABLE",
            Self::Internal => "INTERNAL",
        }
    }
}

/// What a client is told of a failure: the one form every service error and port error takes
/// before it leaves the domain.
#[derive(Debug, Clone)]
pub struct ApiError {
    /// The stable code.
    pub code: ErrorCode,
    /// A sentence a person can act on. Holds nothing internal.
    pub message: String,
    /// The argument concerned, as in [`Invalid::field`].
    pub field: Option<Cow<'static, str>>,
    /// Seconds until a retry may succeed, at least 1.
    pub retry_after: Option<u64>,
    /// How much is left of what the viewer may have, in bytes.
    pub left: Option<u64>,
    /// What failed, for the log alone. Whoever tells the client logs it, once.
    pub fault: Option<Arc<PortError>>,
}

/// Two errors are equal that a client cannot tell apart.
impl PartialEq for ApiError {
    fn eq(&self, other: &Self) -> bool {
        let told = |error: &Self| (error.code, error.retry_after, error.left);
        told(self) == told(other) && self.field == other.field && self.message == other.message
    }
}

impl Eq for ApiError {}

impl ApiError {
    /// An error with neither field nor retry time.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            field: None,
            retry_after: None,
            left: None,
            fault: None,
        }
    }

    /// Names the argument concerned.
    #[must_use]
    pub fn field(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Keeps what failed, for the log.
    #[must_use]
    pub fn fault(mut self, fault: &PortError) -> Self {
        self.fault = Some(Arc::new(fault.clone()));
        self
    }

    /// Says how many bytes are left of what the viewer may have.
    #[must_use]
    pub const fn left(mut self, bytes: u64) -> Self {
        self.left = Some(bytes);
        self
    }

    /// Says when to try again, rounded up to whole seconds.
    #[must_use]
    pub fn retry_after(mut self, wait: std::time::Duration) -> Self {
        self.retry_after = Some(
            u64::try_from(wait.as_millis().div_ceil(1000))
                .unwrap_or(u64::MAX)
                .max(1),
        );
        self
    }
}

impl From<&Invalid> for ApiError {
    fn from(invalid: &Invalid) -> Self {
        Self::new(ErrorCode::BadUserInput, invalid.to_string()).field(invalid.field.clone())
    }
}

/// The client is told no more than that it happened.
impl From<&PortError> for ApiError {
    fn from(error: &PortError) -> Self {
        let told = match error {
            PortError::Unavailable { .. } => Self::new(
                ErrorCode::Unavailable,
                "The service is not available at the moment. Try again shortly.",
            ),
            PortError::Corrupt { .. } => Self::new(
                ErrorCode::Internal,
                "The server failed to read a record. It has been logged.",
            ),
        };
        told.fault(error)
    }
}

/// An error and its causes on one line.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.ends_with(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        cause = error.source();
    }
    text
}

/// Implements what every service error has: its form for clients, through its method
/// `api_error(&self)`.
macro_rules! service_error {
    ($error:ty) => {
        impl From<$error> for $crate::error::ApiError {
            fn from(error: $error) -> Self {
                error.api_error()
            }
        }
    };
}

pub(crate) use service_error;

impl From<Invalid> for ApiError {
    fn from(invalid: Invalid) -> Self {
        Self::from(&invalid)
    }
}

impl From<PortError> for ApiError {
    fn from(error: PortError) -> Self {
        Self::from(&error)
    }
}
