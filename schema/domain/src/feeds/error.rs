//! Why a feed is refused or ends.

use crate::access::AccessError;
use crate::cursor::CursorError;
use crate::error::{ApiError, ErrorCode, Invalid, PortError, service_error};
use crate::id::UserId;

/// Why a feed was refused or has ended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FeedError {
    /// An argument breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The viewer may not, or no longer.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// A user to subscription shares no chat with the viewer.
    #[error("The presence of users with whom you share no chat is not shown: {0}.")]
    NotShared(UserId),
    /// More was missed than is replayed.
    #[error("More than {0} messages were missed. Refetch the chat, then subscribe again.")]
    ResyncRequired(u32),
    /// The client's place lies beyond the line's end: the store was set back.
    #[error(
        "The server does not have what came before `after`. Refetch the chat, then subscribe again."
    )]
    Ahead,
    /// The client's place is of another incarnation of the store.
    #[error(transparent)]
    OtherPast(CursorError),
    /// The store was restored while the feed was open.
    #[error(
        "The server was restored from a backup. Refetch what you have of it, then subscribe again."
    )]
    Restored,
    /// The store does not have what it has told.
    #[error("The server has lost a part of the chat. Refetch the chat, then subscribe again.")]
    LineBroken,
    /// A port failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl FeedError {
    /// The error of a backend that may be back when it is asked again.
    pub(super) fn unavailable(&self) -> Option<&PortError> {
        match self {
            Self::Port(error) | Self::Access(AccessError::Port(error)) => {
                matches!(error, PortError::Unavailable { .. }).then_some(error)
            }
            _ => None,
        }
    }

    fn api_error(&self) -> ApiError {
        match self {
            Self::Invalid(invalid) => invalid.into(),
            Self::Access(error) => error.clone().into(),
            Self::NotShared(_) => {
                ApiError::new(ErrorCode::Forbidden, self.to_string()).field("userIds")
            }
            Self::OtherPast(error) => error.clone().into(),
            Self::ResyncRequired(_) | Self::Ahead | Self::LineBroken | Self::Restored => {
                ApiError::new(ErrorCode::ResyncRequired, self.to_string())
            }
            Self::Port(error) => error.into(),
        }
    }
}

impl From<CursorError> for FeedError {
    fn from(error: CursorError) -> Self {
        match error {
            CursorError::Invalid(invalid) => invalid.into(),
            other @ CursorError::OtherIncarnation(_) => Self::OtherPast(other),
        }
    }
}

service_error!(FeedError);
