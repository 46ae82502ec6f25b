//! Why signing in was refused.

use std::time::Duration;

use super::tokens::TokenProblem;
use crate::clock::Timestamp;
use crate::error::{ApiError, ErrorCode, Invalid, PortError, service_error};

/// Why signing in or a token was refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuthError {
    /// An argument breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A code was sent to the address a moment ago.
    #[error("A code was sent to this address a moment ago. Wait before you ask for another.")]
    CodeJustSent(Duration),
    /// Too many requests from one place or for one address.
    #[error("Too many attempts. Wait before you try again.")]
    TooMany(Duration),
    /// The code could not be sent. It has been withdrawn.
    #[error("The code could not be sent. Try again shortly.")]
    MailDown(#[source] PortError),
    /// The code is wrong; it survives so many more.
    #[error("The code is not right. {}", tries(*.0))]
    WrongCode(u8),
    /// The code is no longer valid.
    #[error("The code is no longer valid. Ask for another.")]
    CodeExpired,
    /// An access token was refused.
    #[error(transparent)]
    Token(#[from] TokenProblem),
    /// The session was ended.
    #[error("The session has ended. Sign in again.")]
    SessionEnded,
    /// The refresh token was never valid, or its session was ended.
    #[error("The refresh token is not valid. Sign in again.")]
    RefreshInvalid,
    /// The session has expired.
    #[error("The session has expired. Sign in again.")]
    RefreshExpired,
    /// The session has reached its longest life.
    #[error("The session has reached its longest life. Sign in again.")]
    RefreshOutlived,
    /// The refresh token was used before.
    #[error("The refresh token was used before, so its session was ended. Sign in again.")]
    RefreshReused,
    /// There is no account of the address, and none is made.
    #[error("This server makes no account for the address.")]
    SignUpRefused,
    /// The account is suspended, until then or until an operator ends it.
    #[error("This account is suspended{}.", until(*.0))]
    Suspended(Option<Timestamp>),
    /// There is no such session of the viewer.
    #[error("There is no such session.")]
    NoSession,
    /// The account is gone.
    #[error("The account no longer exists.")]
    NoAccount,
    /// A port failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl AuthError {
    fn api_error(&self) -> ApiError {
        let refuse = |code| ApiError::new(code, self.to_string());
        match self {
            Self::Invalid(invalid) => invalid.into(),
            Self::CodeJustSent(wait) | Self::TooMany(wait) => {
                refuse(ErrorCode::RateLimited).retry_after(*wait)
            }
            Self::MailDown(error) => refuse(ErrorCode::Unavailable).fault(error),
            Self::WrongCode(_) => refuse(ErrorCode::OtpInvalid).field("code"),
            Self::CodeExpired => refuse(ErrorCode::OtpExpired).field("code"),
            Self::Token(TokenProblem::Expired) => refuse(ErrorCode::TokenExpired),
            Self::Token(TokenProblem::Invalid) | Self::SessionEnded | Self::NoAccount => {
                refuse(ErrorCode::Unauthenticated)
            }
            Self::RefreshInvalid | Self::RefreshOutlived => {
                refuse(ErrorCode::Unauthenticated).field("refreshToken")
            }
            Self::RefreshExpired => refuse(ErrorCode::TokenExpired).field("refreshToken"),
            Self::RefreshReused => refuse(ErrorCode::TokenReused).field("refreshToken"),
            Self::SignUpRefused => refuse(ErrorCode::Forbidden),
            Self::Suspended(_) => refuse(ErrorCode::Suspended),
            Self::NoSession => refuse(ErrorCode::NotFound).field("sessionId"),
            Self::Port(error) => error.into(),
        }
    }
}

service_error!(AuthError);

/// What is left to do after a wrong code.
fn tries(left: u8) -> String {
    match left {
        0 => "It is void now: ask for another.".to_owned(),
        1 => "Check it: there is one more try.".to_owned(),
        left => format!("Check it: there are {left} more tries."),
    }
}

/// Until when an account is suspended, where that is known.
fn until(until: Option<Timestamp>) -> String {
    until.map_or_else(String::new, |until| format!(" until {until}"))
}
