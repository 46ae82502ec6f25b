//! Mail as jobs: what should be sent, versioned, and the port of the queue that carries it to
//! the mail worker. How a mail looks and travels is the worker's business.

mod address;

use serde::{Deserialize, Serialize};

pub use address::EmailAddress;

use crate::clock::Timestamp;
use crate::error::PortError;
use crate::id::MailJobId;
use crate::port::port;

/// The version of the [`MailJob`] format. Consumers set aside jobs of a version they do not know.
pub const MAIL_JOB_VERSION: u16 = 1;

/// One mail to send. Its JSON form is the queue's message body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MailJob {
    /// The format's version, [`MAIL_JOB_VERSION`] when written.
    pub version: u16,
    /// Identifies the job: a consumer that has done it once does not do it again.
    pub id: MailJobId,
    /// To whom.
    pub to: EmailAddress,
    /// What to say.
    pub content: MailContent,
    /// When it was asked for.
    pub created_at: Timestamp,
}

/// What a mail says.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum MailContent {
    /// A code to sign in with.
    SignInCode {
        /// The decimal digits.
        code: String,
        /// For how many seconds from the job's creation the code is valid.
        expires_in: u32,
    },
    /// A code to delete the account with.
    AccountDeletionCode {
        /// The decimal digits.
        code: String,
        /// For how many seconds from the job's creation the code is valid.
        expires_in: u32,
    },
    /// Somebody asked for a code, there is no account of this address, and none is made.
    NoAccount {
        /// For how many seconds from the job's creation it is worth saying.
        expires_in: u32,
    },
}

impl MailContent {
    /// For how many seconds from the job's creation the mail is worth sending.
    pub const fn expires_in(&self) -> u32 {
        match self {
            Self::SignInCode { expires_in, .. }
            | Self::AccountDeletionCode { expires_in, .. }
            | Self::NoAccount { expires_in } => *expires_in,
        }
    }
}

/// Leaves the code out: a job may be logged.
impl std::fmt::Debug for MailContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SignInCode { expires_in, .. } => f
                .debug_struct("SignInCode")
                .field("code", &"[redacted]")
                .field("expires_in", expires_in)
                .finish(),
            Self::AccountDeletionCode { expires_in, .. } => f
                .debug_struct("AccountDeletionCode")
                .field("code", &"[redacted]")
                .field("expires_in", expires_in)
                .finish(),
            Self::NoAccount { expires_in } => f
                .debug_struct("NoAccount")
                .field("expires_in", expires_in)
                .finish(),
        }
    }
}

port! {
    /// The queue between the server and the mail worker.
    pub trait MailQueue as "mail" with MailQueueLayer {
        /// Puts a job in the queue. When it returns, the queue has taken charge of the job.
        ///
        /// # Errors
        /// [`PortError::Unavailable`] where the queue did not confirm; the job will not be done.
        async fn enqueue(&self, job: &MailJob) -> Result<(), PortError>;
    }
}
