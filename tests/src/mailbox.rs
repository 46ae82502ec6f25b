//! Every mail job the server hands out, as its recipient would see it. The job still goes to
//! the real queue behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use talksy_domain::clock::{Clock as _, SystemClock, SystemEntropy};
use talksy_domain::error::PortError;
use talksy_domain::id::IdGenerator;
use talksy_domain::mail::{EmailAddress, MAIL_JOB_VERSION, MailContent, MailJob, MailQueue};

use crate::app::must;

/// Reads along with a mail queue, and can make it fail.
pub struct Mailbox {
    behind: Arc<dyn MailQueue>,
    jobs: Mutex<Vec<MailJob>>,
    broken: AtomicBool,
}

impl Mailbox {
    /// Reads along with this queue.
    pub fn new(behind: Arc<dyn MailQueue>) -> Arc<Self> {
        Arc::new(Self {
            behind,
            jobs: Mutex::new(Vec::new()),
            broken: AtomicBool::new(false),
        })
    }

    /// Has the queue refuse jobs, or take them again.
    pub fn set_broken(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
    }

    /// The sign-in code in the newest mail to the address.
    pub fn code(&self, address: &str) -> Option<String> {
        match self.newest(address)? {
            MailContent::SignInCode { code, .. } => Some(code),
            MailContent::AccountDeletionCode { .. } | MailContent::NoAccount { .. } => None,
        }
    }

    /// The code that deletes an account in the newest mail to the address.
    pub fn deletion_code(&self, address: &str) -> Option<String> {
        match self.newest(address)? {
            MailContent::AccountDeletionCode { code, .. } => Some(code),
            MailContent::SignInCode { .. } | MailContent::NoAccount { .. } => None,
        }
    }

    /// What the newest mail to the address says.
    pub fn newest(&self, address: &str) -> Option<MailContent> {
        let jobs = self.jobs.lock();
        let mut newest_first = jobs.iter().rev();
        let job = newest_first.find(|job| job.to.as_str().eq_ignore_ascii_case(address))?;
        Some(job.content.clone())
    }

    /// How many jobs were taken.
    pub fn count(&self) -> usize {
        self.jobs.lock().len()
    }
}

#[async_trait]
impl MailQueue for Mailbox {
    async fn enqueue(&self, job: &MailJob) -> Result<(), PortError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(PortError::unavailable("mail queue", "broken by the test"));
        }
        self.behind.enqueue(job).await?;
        self.jobs.lock().push(job.clone());
        Ok(())
    }
}

/// A mail job with a sign-in code, as the server makes it.
///
/// # Panics
/// Where `to` is no address.
pub fn sign_in_job(to: &str) -> MailJob {
    let ids = IdGenerator::new(Arc::new(SystemClock), Arc::new(SystemEntropy));
    MailJob {
        version: MAIL_JOB_VERSION,
        id: ids.next(),
        to: must(EmailAddress::parse(to)),
        content: MailContent::SignInCode {
            code: "042137".to_owned(),
            expires_in: 300,
        },
        created_at: SystemClock.now(),
    }
}
