//! Why something of an attachment was refused.

use std::time::Duration;

use super::images::ImageRefusal;
use crate::error::{ApiError, ErrorCode, Invalid, PortError, service_error};

/// Why something of an attachment was refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AttachmentError {
    /// An argument breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// There is no such attachment of the viewer: the argument, with the place in it.
    #[error("There is no such attachment.")]
    Unknown(String),
    /// Its bytes have not been received.
    #[error("The attachment's content has not been uploaded.")]
    Awaited(String),
    /// Another message, or something else, uses it.
    #[error("The attachment is in use. Upload it again.")]
    InUse(String),
    /// The URL is none that this server has made.
    #[error("The URL is not valid. Ask for a new one.")]
    Forged,
    /// The URL was good once.
    #[error("The URL has expired. Ask for a new one.")]
    Expired,
    /// Nothing is there any more.
    #[error("There is no such attachment.")]
    Gone,
    /// The upload was received before.
    #[error("The content was uploaded before.")]
    Received,
    /// More came than was announced, or than may come.
    #[error("The content is larger than {0} bytes.")]
    TooLarge(u64),
    /// The content came too slowly.
    #[error("The content did not arrive in time.")]
    TooSlow,
    /// The image was refused.
    #[error("The file {0}.")]
    Image(#[from] ImageRefusal),
    /// Too many uploads.
    #[error("You upload too much. Wait a little.")]
    TooFast(Duration),
    /// All that the user has uploaded, and has not been deleted, would be more than it may.
    #[error(
        "You may keep {most} bytes of attachments, of which {left} are left. Delete messages with \
         attachments, or upload less."
    )]
    Full {
        /// The most bytes.
        most: u64,
        /// How many of them are left.
        left: u64,
    },
    /// A port failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl AttachmentError {
    fn api_error(&self) -> ApiError {
        let (code, field) = match self {
            Self::Invalid(invalid) => return invalid.into(),
            Self::Port(error) => return error.into(),
            Self::TooFast(wait) => {
                let refused = ApiError::new(ErrorCode::RateLimited, self.to_string());
                return refused.retry_after(*wait);
            }
            Self::Full { left, .. } => {
                return ApiError::new(ErrorCode::Conflict, self.to_string()).left(*left);
            }
            Self::Unknown(field) => (ErrorCode::NotFound, Some(field.clone())),
            Self::Awaited(field) | Self::InUse(field) => (ErrorCode::Conflict, Some(field.clone())),
            Self::Forged | Self::Expired => (ErrorCode::Forbidden, None),
            Self::Gone => (ErrorCode::NotFound, None),
            Self::Received => (ErrorCode::Conflict, None),
            Self::TooLarge(_) => (ErrorCode::PayloadTooLarge, None),
            Self::TooSlow => (ErrorCode::Timeout, None),
            Self::Image(_) => (ErrorCode::BadUserInput, Some("file".to_owned())),
        };
        let refused = ApiError::new(code, self.to_string());
        match field {
            Some(field) => refused.field(field),
            None => refused,
        }
    }
}

service_error!(AttachmentError);
