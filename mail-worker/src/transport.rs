//! The ways a mail leaves: SMTP, or a file in an outbox folder.

mod file;
mod smtp;

use async_trait::async_trait;
use lettre::Message;
use talksy_domain::id::MailJobId;

pub use file::FileTransport;
pub use smtp::{SmtpOptions, SmtpSettingsError, SmtpTransport, shows_credentials};

/// Why a mail was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Trying again may succeed: no connection, or a 4xx reply.
    #[error("the mail could not be sent now")]
    Transient(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Trying again is in vain: a 5xx reply, or an address that cannot be.
    #[error("the mail was refused")]
    Permanent(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Sends mail.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends one mail. Sending the same job again is harmless to the recipient where the
    /// transport can tell.
    async fn send(&self, job: MailJobId, mail: &Message) -> Result<(), SendError>;
}
