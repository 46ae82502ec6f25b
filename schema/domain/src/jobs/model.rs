//! The kinds of jobs, and the steps of a job's life.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backoff::Backoff;
use crate::clock::Timestamp;
use crate::id::{self, AttachmentId, ChatId, JobId, MessageId, UserId};

/// The most characters that are kept of an error.
const LONGEST_ERROR: usize = 500;

/// What is to be done.
///
/// The serialised names are kept in stores and seen by instances of other versions. An instance
/// leaves jobs alone whose kind it does not know. So a payload that an older instance would
/// misread gets a new kind, with a higher number behind its name; a new field that it may ignore
/// has a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "payload", rename_all_fields = "camelCase")]
pub enum Task {
    /// Delete the sessions that have expired.
    #[serde(rename = "purgeSessions.1")]
    PurgeSessions {},
    /// Carry out what a system message says, where the instance that wrote it has died before it
    /// did. Written ahead of the message, which may come later, or never.
    #[serde(rename = "completeGroupChange.1")]
    CompleteGroupChange {
        /// The chat.
        chat_id: ChatId,
        /// The system message.
        message_id: MessageId,
    },
    /// Erase the reactions to a message that is deleted. Where it is written ahead of the deletion,
    /// that may come later, or never.
    #[serde(rename = "eraseReactions.1")]
    EraseReactions {
        /// The chat.
        chat_id: ChatId,
        /// The deleted message.
        message_id: MessageId,
    },
    /// Erase the attachments of a message that was deleted. Written ahead of the deletion, which may
    /// come later, or never.
    #[serde(rename = "eraseAttachments.1")]
    EraseAttachments {
        /// The message.
        message_id: MessageId,
        /// What it had attached.
        attachment_ids: Vec<AttachmentId>,
    },
    /// Carry out what follows from a block, or from its end, where the instance that has set it has
    /// died before it did. Written ahead of it, which may come later, or never.
    #[serde(rename = "completeBlock.1")]
    CompleteBlock {
        /// Who has blocked.
        blocker_id: UserId,
        /// Whom.
        blocked_id: UserId,
    },
    /// Erase the attachments that nobody uses.
    #[serde(rename = "sweepAttachments.1")]
    SweepAttachments {},
    /// End the sessions of a user who is suspended, where the instance that suspends them has died
    /// before it did. Written ahead of the suspension, which may come later, or never.
    #[serde(rename = "endSessions.1")]
    EndSessions {
        /// The user.
        user_id: UserId,
    },
    /// Index what was kept before there was a search.
    #[serde(rename = "fillSearchIndex.1")]
    FillSearchIndex {},
    /// Erase what there is of an account that was deleted. Where it is written ahead of the deletion,
    /// that may come later, or never. It names the account by its id alone.
    #[serde(rename = "eraseAccount.1")]
    EraseAccount {
        /// The account.
        user_id: UserId,
    },
}

/// A task as stores keep it.
#[derive(Serialize, Deserialize)]
struct Encoded {
    kind: String,
    payload: serde_json::Value,
}

impl Task {
    /// The kinds that this version knows.
    pub const KINDS: &'static [&'static str] = &[
        "purgeSessions.1",
        "completeGroupChange.1",
        "eraseReactions.1",
        "eraseAttachments.1",
        "sweepAttachments.1",
        "completeBlock.1",
        "endSessions.1",
        "fillSearchIndex.1",
        "eraseAccount.1",
    ];

    /// The tasks that are done again and again. Each has a number of its own.
    pub fn periodic() -> [Periodic; 2] {
        let hour = Duration::from_hours(1);
        [
            Periodic::new(1, Self::PurgeSessions {}, hour),
            Periodic::new(2, Self::SweepAttachments {}, hour),
        ]
    }

    /// The task that a stored job asks for.
    ///
    /// # Errors
    /// Where the kind is not known or the payload does not parse.
    pub fn parse(kind: &str, payload: &str) -> Result<Self, serde_json::Error> {
        let encoded = Encoded {
            kind: kind.to_owned(),
            payload: serde_json::from_str(payload)?,
        };
        serde_json::from_value(serde_json::to_value(encoded)?)
    }

    /// The job of this id that does the task at `due_at` or soon after.
    ///
    /// # Errors
    /// Where the task cannot be written as JSON, which none of today's can not.
    pub fn job(
        &self,
        id: JobId,
        created_at: Timestamp,
        due_at: Timestamp,
    ) -> Result<NewJob, serde_json::Error> {
        let encoded: Encoded = serde_json::from_value(serde_json::to_value(self)?)?;
        Ok(NewJob {
            id,
            kind: encoded.kind,
            payload: encoded.payload.to_string(),
            created_at,
            due_at,
        })
    }
}

/// A task that is done again and again, as one job that is never done with.
#[derive(Clone, Debug)]
pub struct Periodic {
    /// The job's id, the same on all instances.
    pub id: JobId,
    /// What is to be done.
    pub task: Task,
    /// The time from one end to the next start.
    pub period: Duration,
}

impl Periodic {
    fn new(number: u8, task: Task, period: Duration) -> Self {
        let mut bytes = [0; 16];
        bytes[15] = number;
        let id = id::from_bytes(bytes);
        Self { id, task, period }
    }
}

/// A job to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// Its id. A cause that may be written twice gives the same id twice: one job comes of it.
    pub id: JobId,
    /// The kind of its task.
    pub kind: String,
    /// The task's values, as JSON.
    pub payload: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Not before when it is to be done.
    pub due_at: Timestamp,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobState {
    /// It waits for its time, or for somebody to take it.
    Waiting,
    /// An instance does it, or died over it.
    Running,
    /// It was tried too often, or trying again cannot help.
    Failed,
}

/// A job as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// The kind of its task, which may be unknown to this version.
    pub kind: String,
    /// The task's values, as JSON.
    pub payload: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Where it stands.
    pub state: JobState,
    /// Waiting: not before when it is to be done. Running: when it was due. Failed: when it failed.
    pub due_at: Timestamp,
    /// Rises with each change: who changes a job names the version that they have seen.
    pub version: u32,
    /// How often it was begun since it was asked for, last retried by an operator, or, of a
    /// periodic one, last done.
    pub attempts: u32,
    /// What the last failure was.
    pub last_error: Option<String>,
}

/// What becomes of a job that is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobChange {
    /// As in [`Job`].
    pub state: JobState,
    /// As in [`Job`].
    pub due_at: Timestamp,
    /// As in [`Job`].
    pub attempts: u32,
    /// As in [`Job`].
    pub last_error: Option<String>,
}

/// How jobs are tried again and held.
#[derive(Clone, Copy, Debug)]
pub struct JobPolicy {
    /// How often due jobs are looked for.
    pub poll: Duration,
    /// How long a job's version has to stand still before the instance that runs it is taken for
    /// dead. The instance renews it every third of it.
    pub lease: Duration,
    /// How often a job is tried before it is set aside.
    pub attempts: u32,
    /// How many jobs a process runs at the same time.
    pub concurrency: usize,
    /// The wait after the first failure, which each further one doubles.
    pub first_wait: Duration,
    /// The longest wait between two tries.
    pub longest_wait: Duration,
}

impl Job {
    /// As it is, for a change that leaves most of it.
    fn unchanged(&self) -> JobChange {
        JobChange {
            state: self.state,
            due_at: self.due_at,
            attempts: self.attempts,
            last_error: self.last_error.clone(),
        }
    }

    /// Somebody begins it. A beginning counts as a try, so that a job which ends its process each
    /// time is set aside too.
    pub fn begun(&self) -> JobChange {
        JobChange {
            state: JobState::Running,
            attempts: self.attempts.saturating_add(1),
            ..self.unchanged()
        }
    }

    /// Its instance still works on it.
    pub fn renewed(&self) -> JobChange {
        self.unchanged()
    }

    /// It is to be begun again at `due_at`, and the last beginning was no try.
    pub fn put_off(&self, due_at: Timestamp) -> JobChange {
        JobChange {
            state: JobState::Waiting,
            due_at,
            attempts: self.attempts.saturating_sub(1),
            ..self.unchanged()
        }
    }

    /// It was done, and is to be done again at `due_at`.
    pub fn scheduled(&self, due_at: Timestamp) -> JobChange {
        JobChange {
            state: JobState::Waiting,
            due_at,
            attempts: 0,
            last_error: None,
        }
    }

    /// A try has failed at `now`. It is tried again later, unless it was tried too often.
    pub fn tried_in_vain(&self, error: &str, now: Timestamp, policy: &JobPolicy) -> JobChange {
        if self.attempts >= policy.attempts && self.period().is_none() {
            return self.set_aside(error, now);
        }
        let longest = self.period().map_or(policy.longest_wait, |period| {
            period.min(policy.longest_wait)
        });
        let mut backoff = Backoff::new(policy.first_wait.min(longest), longest);
        for _ in 1..self.attempts.min(policy.attempts) {
            backoff.next_wait();
        }
        JobChange {
            state: JobState::Waiting,
            due_at: now + backoff.next_wait(),
            attempts: self.attempts,
            last_error: Some(shortened(error)),
        }
    }

    /// Trying again cannot help. A periodic job is tried again all the same, when its time comes:
    /// what has failed today may succeed after a repair, and nobody would ask for it again.
    pub fn failed(&self, error: &str, now: Timestamp) -> JobChange {
        match self.period() {
            Some(period) => JobChange {
                last_error: Some(shortened(error)),
                attempts: self.attempts,
                ..self.scheduled(now + period)
            },
            None => self.set_aside(error, now),
        }
    }

    fn set_aside(&self, error: &str, now: Timestamp) -> JobChange {
        JobChange {
            state: JobState::Failed,
            due_at: now,
            attempts: self.attempts,
            last_error: Some(shortened(error)),
        }
    }

    /// An operator wants a job tried again that was set aside.
    pub fn retried(&self, now: Timestamp) -> JobChange {
        JobChange {
            state: JobState::Waiting,
            due_at: now,
            attempts: 0,
            ..self.unchanged()
        }
    }

    /// The time from its end to its next start, where it is periodic.
    pub fn period(&self) -> Option<Duration> {
        let mut periodic = Task::periodic().into_iter();
        let found = periodic.find(|periodic| periodic.id == self.id);
        found.map(|periodic| periodic.period)
    }

    /// The job with this change, and with it the next version.
    #[must_use]
    pub fn with(self, change: JobChange) -> Self {
        Self {
            state: change.state,
            due_at: change.due_at,
            attempts: change.attempts,
            last_error: change.last_error,
            version: self.version.saturating_add(1),
            ..self
        }
    }
}

impl From<NewJob> for Job {
    fn from(new: NewJob) -> Self {
        Self {
            id: new.id,
            kind: new.kind,
            payload: new.payload,
            created_at: new.created_at,
            state: JobState::Waiting,
            due_at: new.due_at,
            version: 0,
            attempts: 0,
            last_error: None,
        }
    }
}

/// An error on one line, of bounded length.
fn shortened(error: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    error.chars().take(LONGEST_ERROR).map(printable).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::{SystemClock, SystemEntropy};
    use crate::id::IdGenerator;

    const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);
    const POLICY: JobPolicy = JobPolicy {
        poll: Duration::from_secs(5),
        lease: Duration::from_secs(30),
        attempts: 4,
        concurrency: 4,
        first_wait: Duration::from_secs(2),
        longest_wait: Duration::from_secs(5),
    };

    fn ids() -> IdGenerator {
        IdGenerator::new(Arc::new(SystemClock), Arc::new(SystemEntropy))
    }

    fn every_task() -> Vec<Task> {
        vec![
            Task::PurgeSessions {},
            Task::CompleteGroupChange {
                chat_id: ids().next(),
                message_id: ids().next(),
            },
            Task::EraseReactions {
                chat_id: ids().next(),
                message_id: ids().next(),
            },
            Task::EraseAttachments {
                message_id: ids().next(),
                attachment_ids: vec![ids().next(), ids().next()],
            },
            Task::SweepAttachments {},
            Task::CompleteBlock {
                blocker_id: id::from_bytes([5; 16]),
                blocked_id: id::from_bytes([6; 16]),
            },
            Task::EndSessions {
                user_id: ids().next(),
            },
            Task::FillSearchIndex {},
            Task::EraseAccount {
                user_id: ids().next(),
            },
        ]
    }

    fn job(id: JobId, task: &Task) -> Job {
        Job::from(task.job(id, NOW, NOW).unwrap())
    }

    #[test]
    fn every_task_survives_its_stored_form_and_is_of_a_known_kind() {
        let mut kinds = Vec::new();
        for task in every_task() {
            let job = task.job(ids().next(), NOW, NOW).unwrap();
            assert_eq!(Task::parse(&job.kind, &job.payload).unwrap(), task);
            kinds.push(job.kind);
        }
        assert_eq!(kinds, Task::KINDS);
        assert!(Task::parse("completeGroupChange.1", "{}").is_err());
        assert!(Task::parse("completeGroupChange.2", "{}").is_err());
    }

    /// Other versions read it.
    #[test]
    fn the_stored_form_is_as_it_was() {
        let [chat, message] = [1, 2].map(|n| {
            let mut bytes = [0; 16];
            bytes[15] = n;
            bytes
        });
        let task = Task::CompleteGroupChange {
            chat_id: id::from_bytes(chat),
            message_id: id::from_bytes(message),
        };
        let job = task.job(ids().next(), NOW, NOW).unwrap();
        assert_eq!(job.kind, "completeGroupChange.1");
        assert_eq!(
            job.payload,
            "{\"chatId\":\"cht_00000000000000000000000001\",\
             \"messageId\":\"msg_00000000000000000000000002\"}"
        );
        let newer = "{\"chatId\":\"cht_00000000000000000000000001\",\
             \"messageId\":\"msg_00000000000000000000000002\",\"since\":7}";
        assert_eq!(Task::parse(&job.kind, newer).unwrap(), task);
        let purge = Task::PurgeSessions {}
            .job(Task::periodic()[0].id, NOW, NOW)
            .unwrap();
        assert_eq!((&*purge.kind, &*purge.payload), ("purgeSessions.1", "{}"));
        assert_eq!(purge.id.to_string(), "job_00000000000000000000000001");
    }

    #[test]
    fn waits_grow_and_a_job_that_was_tried_too_often_is_set_aside() {
        let mut job = job(ids().next(), &every_task()[1]);
        for (attempt, longest) in [(1, 2), (2, 4), (3, 5)] {
            job = job.clone().with(job.begun());
            assert_eq!((job.state, job.attempts), (JobState::Running, attempt));
            job = job.clone().with(job.tried_in_vain("no", NOW, &POLICY));
            assert_eq!(job.state, JobState::Waiting);
            let (wait, longest) = (job.due_at.since(NOW), Duration::from_secs(longest));
            assert!(wait >= longest / 2 && wait <= longest, "{wait:?}");
        }
        job = job.clone().with(job.begun());
        job = job.clone().with(job.tried_in_vain("no", NOW, &POLICY));
        assert_eq!((job.state, job.attempts), (JobState::Failed, 4));
        assert_eq!(job.last_error.as_deref(), Some("no"));
        assert_eq!(job.version, 8);
        job = job.clone().with(job.retried(NOW));
        assert_eq!((job.state, job.attempts), (JobState::Waiting, 0));
        assert_eq!(job.last_error.as_deref(), Some("no"));
    }

    #[test]
    fn what_is_put_off_was_not_tried_and_what_cannot_help_is_not_tried_again() {
        let mut job = job(ids().next(), &every_task()[1]);
        job = job.clone().with(job.begun());
        job = job.clone().with(job.put_off(NOW + Duration::from_secs(10)));
        assert_eq!((job.state, job.attempts), (JobState::Waiting, 0));
        assert_eq!(job.due_at, NOW + Duration::from_secs(10));
        job = job.clone().with(job.begun());
        let error = "x".repeat(2 * LONGEST_ERROR);
        job = job.clone().with(job.failed(&error, NOW));
        assert_eq!((job.state, job.attempts), (JobState::Failed, 1));
        assert_eq!(job.last_error.unwrap().len(), LONGEST_ERROR);
    }

    #[test]
    fn a_periodic_job_is_never_set_aside() {
        let [Periodic { id, task, period }, _] = Task::periodic();
        let mut job = job(id, &task);
        for _ in 0..10 {
            job = job.clone().with(job.begun());
            job = job.clone().with(job.tried_in_vain("no", NOW, &POLICY));
            assert_eq!(job.state, JobState::Waiting);
            assert!(job.due_at.since(NOW) <= POLICY.longest_wait);
        }
        job = job.clone().with(job.failed("never", NOW));
        assert_eq!((job.state, job.due_at), (JobState::Waiting, NOW + period));
        assert_eq!(job.last_error.as_deref(), Some("never"));
        job = job.clone().with(job.scheduled(NOW + period));
        assert_eq!((job.attempts, job.last_error), (0, None));
    }
}
