//! Watches ports: times each call, counts failures, and shows both in traces. The ports behind do
//! not know of it.

use std::sync::Arc;
use std::time::Instant;

use metrics::{counter, histogram};
use talksy_domain::attachments::{
    AttachmentStore, AttachmentStoreLayer, ImageCodec, ImageCodecLayer, ObjectStore,
    ObjectStoreLayer,
};
use talksy_domain::auth::{
    Attempt, ChallengeKey, CodeDigest, CodeStore, CodeStoreLayer, IssuedCode, SessionStore,
    SessionStoreLayer,
};
use talksy_domain::blocks::{BlockStore, BlockStoreLayer};
use talksy_domain::chats::{ChatStore, ChatStoreLayer};
use talksy_domain::clock::Timestamp;
use talksy_domain::error::PortError;
use talksy_domain::events::{Bus, BusLayer, Event, Topic};
use talksy_domain::groups::{GroupStore, GroupStoreLayer};
use talksy_domain::jobs::{JobStore, JobStoreLayer};
use talksy_domain::limits::{Decision, RateLimiter, RateLimiterLayer, Rule, Spending};
use talksy_domain::mail::{MailJob, MailQueue, MailQueueLayer};
use talksy_domain::messages::{MessageStore, MessageStoreLayer};
use talksy_domain::moderation::{ModerationStore, ModerationStoreLayer};
use talksy_domain::port::{Call, Layer, Layered};
use talksy_domain::presence::{PresenceStore, PresenceStoreLayer};
use talksy_domain::services::Ports;
use talksy_domain::users::{UserStore, UserStoreLayer};
use tracing::{Instrument as _, trace_span};

use crate::metrics::{
    BUS_DURATION, BUS_FAILURES, CODE_ATTEMPTS, CODES, MAIL_DURATION, MAIL_FAILURES, RATE_LIMITED,
    STORE_DURATION, STORE_ERRORS,
};

/// The same ports, watched.
pub fn observed(ports: Ports) -> Ports {
    Ports {
        users: Arc::new(Layered(Observed(ports.users))),
        sessions: Arc::new(Layered(Observed(ports.sessions))),
        chats: Arc::new(Layered(Observed(ports.chats))),
        messages: Arc::new(Layered(Observed(ports.messages))),
        groups: Arc::new(Layered(Observed(ports.groups))),
        attachments: Arc::new(Layered(Observed(ports.attachments))),
        blocks: Arc::new(Layered(Observed(ports.blocks))),
        objects: Arc::new(Layered(Observed(ports.objects))),
        images: Arc::new(Layered(Observed(ports.images))),
        jobs: Arc::new(Layered(Observed(ports.jobs))),
        moderation: Arc::new(Layered(Observed(ports.moderation))),
        codes: Arc::new(Layered(Counted(Observed(ports.codes)))),
        limiter: Arc::new(Layered(Counted(Observed(ports.limiter)))),
        presence: Arc::new(Layered(Observed(ports.presence))),
        bus: Arc::new(Layered(ObservedBus(ports.bus))),
        mail: Arc::new(Layered(ObservedMail(ports.mail))),
        ..ports
    }
}

/// A store that is watched: each call is timed under the names of its port and method.
struct Observed<P: ?Sized>(Arc<P>);

impl<P: Send + Sync + ?Sized> Layer<P> for Observed<P> {
    fn inner(&self) -> &Arc<P> {
        &self.0
    }

    async fn around<T: Send>(
        &self,
        Call { port, method }: Call,
        answer: impl Future<Output = Result<T, PortError>> + Send,
    ) -> Result<T, PortError> {
        // Of the finest level: told to traces alone, where they are on.
        let span = trace_span!("store", otel.name = method, otel.kind = "client", port);
        let started = Instant::now();
        let outcome = answer.instrument(span).await;
        histogram!(STORE_DURATION, "port" => port, "method" => method).record(started.elapsed());
        if let Err(error) = &outcome {
            let kind = match error {
                PortError::Unavailable { .. } => "unavailable",
                PortError::Corrupt { .. } => "corrupt",
            };
            counter!(STORE_ERRORS, "port" => port, "kind" => kind).increment(1);
        }
        outcome
    }
}

impl UserStoreLayer for Observed<dyn UserStore> {}
impl SessionStoreLayer for Observed<dyn SessionStore> {}
impl ChatStoreLayer for Observed<dyn ChatStore> {}
impl MessageStoreLayer for Observed<dyn MessageStore> {}
impl GroupStoreLayer for Observed<dyn GroupStore> {}
impl AttachmentStoreLayer for Observed<dyn AttachmentStore> {}
impl BlockStoreLayer for Observed<dyn BlockStore> {}
impl ObjectStoreLayer for Observed<dyn ObjectStore> {}
impl ImageCodecLayer for Observed<dyn ImageCodec> {}
impl JobStoreLayer for Observed<dyn JobStore> {}
impl ModerationStoreLayer for Observed<dyn ModerationStore> {}
impl PresenceStoreLayer for Observed<dyn PresenceStore> {}
impl CodeStoreLayer for Observed<dyn CodeStore> {}
impl RateLimiterLayer for Observed<dyn RateLimiter> {}

/// A store that is watched, and whose answers are counted too.
struct Counted<P: ?Sized>(Observed<P>);

impl<P: Send + Sync + ?Sized> Layer<P> for Counted<P> {
    fn inner(&self) -> &Arc<P> {
        self.0.inner()
    }

    async fn around<T: Send>(
        &self,
        call: Call,
        answer: impl Future<Output = Result<T, PortError>> + Send,
    ) -> Result<T, PortError> {
        self.0.around(call, answer).await
    }
}

impl CodeStoreLayer for Counted<dyn CodeStore> {
    async fn issue(&self, challenge: ChallengeKey, code: &IssuedCode) -> Result<(), PortError> {
        self.0.issue(challenge, code).await?;
        counter!(CODES, "outcome" => "issued").increment(1);
        Ok(())
    }

    async fn withdraw(&self, challenge: ChallengeKey) -> Result<(), PortError> {
        counter!(CODES, "outcome" => "withdrawn").increment(1);
        self.0.withdraw(challenge).await
    }

    async fn attempt(
        &self,
        challenge: ChallengeKey,
        presented: CodeDigest,
        now: Timestamp,
    ) -> Result<Attempt, PortError> {
        let attempt = self.0.attempt(challenge, presented, now).await?;
        let outcome = match attempt {
            Attempt::Accepted => "accepted",
            Attempt::Wrong(_) => "wrong",
            Attempt::Void => "void",
        };
        counter!(CODE_ATTEMPTS, "outcome" => outcome).increment(1);
        Ok(attempt)
    }
}

impl RateLimiterLayer for Counted<dyn RateLimiter> {
    async fn check(&self, rule: Rule, key: &str) -> Result<Decision, PortError> {
        let decision = self.0.check(rule, key).await?;
        if let Decision::Denied(_) = decision {
            counter!(RATE_LIMITED, "rule" => rule.name).increment(1);
        }
        Ok(decision)
    }

    async fn spend(&self, rule: Rule, key: &str, amount: u32) -> Result<Spending, PortError> {
        let spending = self.0.spend(rule, key, amount).await?;
        if let Spending::Denied(_) = spending {
            counter!(RATE_LIMITED, "rule" => rule.name).increment(1);
        }
        Ok(spending)
    }
}

/// A bus that is watched as it publishes.
struct ObservedBus(Arc<dyn Bus>);

impl Layer<dyn Bus> for ObservedBus {
    fn inner(&self) -> &Arc<dyn Bus> {
        &self.0
    }
}

impl BusLayer for ObservedBus {
    async fn publish(&self, topic: Topic, event: Event) -> Result<(), PortError> {
        let span = trace_span!("publish", otel.kind = "producer");
        let started = Instant::now();
        let outcome = self.0.publish(topic, event).instrument(span).await;
        histogram!(BUS_DURATION).record(started.elapsed());
        if outcome.is_err() {
            counter!(BUS_FAILURES).increment(1);
        }
        outcome
    }
}

/// A mail queue that is watched.
struct ObservedMail(Arc<dyn MailQueue>);

impl Layer<dyn MailQueue> for ObservedMail {
    fn inner(&self) -> &Arc<dyn MailQueue> {
        &self.0
    }
}

impl MailQueueLayer for ObservedMail {
    async fn enqueue(&self, job: &MailJob) -> Result<(), PortError> {
        let span = trace_span!("enqueue", otel.kind = "producer", job = %job.id);
        let started = Instant::now();
        let outcome = self.0.enqueue(job).instrument(span).await;
        histogram!(MAIL_DURATION).record(started.elapsed());
        if outcome.is_err() {
            counter!(MAIL_FAILURES).increment(1);
        }
        outcome
    }
}
