//! Does one job: renders it and sends it.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lettre::Message;
use lettre::message::{Mailbox, MultiPart, header};
use metrics::{counter, histogram};
use talksy_domain::clock::{Clock, Timestamp};
use talksy_domain::mail::{MAIL_JOB_VERSION, MailContent, MailJob};

use crate::metrics::{ATTEMPT_DURATION, ATTEMPTS};
use crate::templates::Templates;
use crate::transport::{SendError, Transport};

/// The last second that a mail's date can name, of the year 9999. Who can write to the queue can
/// name later ones.
const LAST_SECOND: u64 = 253_402_300_799;

/// Why a job was not done.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Trying again may succeed.
    #[error(transparent)]
    Transient(SendError),
    /// Trying again is in vain.
    #[error(transparent)]
    Permanent(SendError),
    /// The job is of a version that this worker does not know.
    #[error("the mail job has version {0}, which this worker does not know")]
    UnknownVersion(u16),
    /// What the mail says is no longer true.
    #[error("the mail's code has expired")]
    Expired,
    /// The mail could not be composed.
    #[error("the mail could not be composed")]
    Compose(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Says a code where people look: a terminal is shown it apart from the lines of the log. `what` says
/// what it is, up to the address.
fn tell_code(what: &str, address: &str, code: &str) {
    let mut stderr = io::stderr();
    let is_shown = stderr.is_terminal()
        && stderr
            .write_all(boxed(what, address, code).as_bytes())
            .is_ok();
    if !is_shown {
        tracing::info!("{what} {address} is {code}");
    }
}

/// The code in a frame. The digits stand together, so that a double click takes them.
fn boxed(what: &str, address: &str, code: &str) -> String {
    let line = format!("  {code}  is {what} {address}  ");
    let edge = "─".repeat(line.chars().count());
    format!("\n  ┌{edge}┐\n  │{line}│\n  └{edge}┘\n\n")
}

impl JobError {
    /// Whether the job should be tried again.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Transient(_))
    }

    /// What it counts as.
    const fn label(&self) -> &'static str {
        match self {
            Self::Transient(_) => "transient",
            Self::Permanent(_) => "permanent",
            Self::UnknownVersion(_) => "unknown_version",
            Self::Expired => "expired",
            Self::Compose(_) => "compose",
        }
    }
}

/// Does mail jobs.
pub struct MailWorker {
    transport: Arc<dyn Transport>,
    templates: Templates,
    from: Mailbox,
    clock: Arc<dyn Clock>,
    logs_codes: bool,
}

impl MailWorker {
    /// A worker that sends as `from`, a mailbox like `Talksy <no-reply@example.org>`.
    ///
    /// # Errors
    /// Where `from` is no mailbox.
    pub fn new(
        transport: Arc<dyn Transport>,
        from: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, JobError> {
        let from = from
            .parse()
            .map_err(|error| JobError::Compose(Box::new(error)))?;
        let templates = Templates::new().map_err(|error| JobError::Compose(error.into()))?;
        Ok(Self {
            transport,
            templates,
            from,
            clock,
            logs_codes: false,
        })
    }

    /// Also writes sign-in codes to the terminal, or to the log where there is none: for who tries Talksy out on their own machine. Whoever
    /// reads the log then signs in as anybody.
    #[must_use]
    pub fn logging_codes(self) -> Self {
        Self {
            logs_codes: true,
            ..self
        }
    }

    /// Renders and sends the job's mail. Doing a job twice sends a mail with the same
    /// `Message-ID` twice.
    ///
    /// # Errors
    /// See [`JobError`].
    pub async fn handle(&self, job: &MailJob) -> Result<(), JobError> {
        let started = Instant::now();
        let outcome = self.attempt(job).await;
        histogram!(ATTEMPT_DURATION).record(started.elapsed());
        let label = outcome.as_ref().map_or_else(JobError::label, |()| "sent");
        counter!(ATTEMPTS, "outcome" => label).increment(1);
        outcome
    }

    async fn attempt(&self, job: &MailJob) -> Result<(), JobError> {
        if job.version != MAIL_JOB_VERSION {
            return Err(JobError::UnknownVersion(job.version));
        }
        if self.clock.now() >= expiry(job) {
            return Err(JobError::Expired);
        }
        let mail = self.compose(job).map_err(JobError::Compose)?;
        self.transport
            .send(job.id, &mail)
            .await
            .map_err(|error| match error {
                error @ SendError::Transient(_) => JobError::Transient(error),
                error @ SendError::Permanent(_) => JobError::Permanent(error),
            })?;
        tracing::info!(job = %job.id, "mail sent");
        if self.logs_codes {
            match &job.content {
                MailContent::SignInCode { code, .. } => {
                    tell_code("the sign-in code for", job.to.as_str(), code);
                }
                MailContent::AccountDeletionCode { code, .. } => {
                    let what = "the code that deletes the account of";
                    tell_code(what, job.to.as_str(), code);
                }
                MailContent::NoAccount { .. } => {}
            }
        }
        Ok(())
    }

    fn compose(&self, job: &MailJob) -> Result<Message, Box<dyn std::error::Error + Send + Sync>> {
        let rendered = self.templates.render(&job.content)?;
        let to: Mailbox = job.to.as_str().parse()?;
        let domain = self.from.email.domain();
        let seconds = u64::try_from(job.created_at.as_secs()).unwrap_or_default();
        let seconds = seconds.min(LAST_SECOND);
        let mail = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(rendered.subject)
            .date(std::time::UNIX_EPOCH + Duration::from_secs(seconds))
            .message_id(Some(format!("<{}@{domain}>", job.id)))
            .raw_header(header::HeaderValue::new(
                header::HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ))
            .multipart(MultiPart::alternative_plain_html(
                rendered.text,
                rendered.html,
            ))?;
        Ok(mail)
    }
}

/// When the job is no longer worth doing.
pub(crate) fn expiry(job: &MailJob) -> Timestamp {
    job.created_at + Duration::from_secs(u64::from(job.content.expires_in()))
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_stands_in_a_frame_as_wide_as_the_address_is_long() {
        let shown = boxed("the sign-in code for", "ada@example.org", "042117");
        let widths: Vec<_> = shown
            .trim()
            .lines()
            .map(|line| line.trim().chars().count())
            .collect();
        assert_eq!(widths.len(), 3);
        assert!(widths.iter().all(|width| *width == widths[0]), "{shown}");
        assert!(shown.contains(" 042117 ") && shown.contains("ada@example.org"));
    }
}
