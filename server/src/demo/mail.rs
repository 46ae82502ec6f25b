//! The mail of a demo: who is signed in by one click needs no letter. What else is mailed goes the usual
//! way, so that a third person can sign in by the code on the terminal.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use talksy_domain::auth::{AuthError, AuthService, CodeSent};
use talksy_domain::error::PortError;
use talksy_domain::mail::{EmailAddress, MailContent, MailJob, MailQueue};
use talksy_domain::viewer::ClientInfo;
use tokio::sync::Mutex as Turn;

/// Takes the letters that a click has asked for.
pub(super) struct Mailbox {
    behind: Arc<dyn MailQueue>,
    /// Whose letter is taken, and the code in it.
    awaited: Mutex<Option<(EmailAddress, Option<String>)>>,
    /// One click after the other.
    turn: Turn<()>,
}

/// What signs in once: the same as a letter brings.
pub(super) struct Ticket {
    pub(super) sent: CodeSent,
    pub(super) code: String,
}

impl Mailbox {
    pub(super) fn in_front_of(behind: Arc<dyn MailQueue>) -> Arc<Self> {
        Arc::new(Self {
            behind,
            awaited: Mutex::new(None),
            turn: Turn::new(()),
        })
    }

    /// Asks for a code, and keeps the letter: it is good for one sign-in, as any.
    ///
    /// # Errors
    /// Where no code is sent.
    pub(super) async fn ticket(
        &self,
        auth: &AuthService,
        address: EmailAddress,
        client: &ClientInfo,
    ) -> Result<Ticket, AuthError> {
        let _turn = self.turn.lock().await;
        *self.awaited.lock() = Some((address.clone(), None));
        let sent = auth.request_code(address, None, client).await;
        let taken = self.awaited.lock().take();
        let code = taken.and_then(|(_, code)| code);
        let code = code.ok_or_else(|| {
            AuthError::MailDown(PortError::unavailable("mail queue", "there was no letter"))
        });
        Ok(Ticket {
            sent: sent?,
            code: code?,
        })
    }
}

impl Mailbox {
    /// Keeps the letter where a click waits for it.
    fn keeps(&self, job: &MailJob) -> bool {
        let MailContent::SignInCode { code: digits, .. } = &job.content else {
            return false;
        };
        let mut awaited = self.awaited.lock();
        match &mut *awaited {
            Some((address, code)) if *address == job.to && code.is_none() => {
                *code = Some(digits.clone());
                true
            }
            _ => false,
        }
    }
}

#[async_trait]
impl MailQueue for Mailbox {
    async fn enqueue(&self, job: &MailJob) -> Result<(), PortError> {
        if self.keeps(job) {
            return Ok(());
        }
        self.behind.enqueue(job).await
    }
}
