//! Ports that are watched: each call is timed, a failure counted, and both seen in traces. What
//! stands behind a port does not know of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use metrics::{counter, histogram};
use talksy_domain::auth::{Attempt, CodeDigest, CodeKey, CodeStore, Issue, IssuedCode};
use talksy_domain::auth::{Rotation, Session, SessionStore, TokenHash};
use talksy_domain::chats::{Chat, ChatStore, Member, ReadMark};
use talksy_domain::clock::Timestamp;
use talksy_domain::cursor::{ChatCursor, MemberCursor, UserCursor};
use talksy_domain::error::PortError;
use talksy_domain::events::{Bus, Event, Interest, Receiver, Topic};
use talksy_domain::id::{ChatId, MessageId, SessionId, UserId};
use talksy_domain::limits::{Decision, RateLimiter, Rule};
use talksy_domain::mail::{MailJob, MailQueue};
use talksy_domain::messages::{Append, Head, Message, MessageStore};
use talksy_domain::page::{Page, Window};
use talksy_domain::presence::{ConnectionId, PresenceStore};
use talksy_domain::seq::Seq;
use talksy_domain::services::Ports;
use talksy_domain::users::{ProfileChange, User, UserStore};
use tracing::{Instrument as _, trace_span};

use crate::metrics::{
    BUS_DURATION, BUS_FAILURES, CODE_ATTEMPTS, CODES, MAIL_DURATION, MAIL_FAILURES, RATE_LIMITED,
    STORE_DURATION, STORE_ERRORS,
};

/// The same ports, watched.
pub fn observed(ports: Ports) -> Ports {
    Ports {
        users: Arc::new(Observed(ports.users)),
        sessions: Arc::new(Observed(ports.sessions)),
        chats: Arc::new(Observed(ports.chats)),
        messages: Arc::new(Observed(ports.messages)),
        codes: Arc::new(Observed(ports.codes)),
        limiter: Arc::new(Observed(ports.limiter)),
        presence: Arc::new(Observed(ports.presence)),
        bus: Arc::new(Observed(ports.bus)),
        mail: Arc::new(Observed(ports.mail)),
        ..ports
    }
}

/// A port that is watched.
struct Observed<P: ?Sized>(Arc<P>);

/// Watches one call of a store.
async fn call<T>(
    port: &'static str,
    method: &'static str,
    call: impl Future<Output = Result<T, PortError>>,
) -> Result<T, PortError> {
    // Of the finest level: told to traces alone, where they are on.
    let span = trace_span!("store", otel.name = method, otel.kind = "client", port);
    let started = Instant::now();
    let outcome = call.instrument(span).await;
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

/// Implements a port by passing its calls on, watched.
macro_rules! observed {
    ($port:ident, $name:literal; $(
        fn $method:ident(&self $(, $argument:ident: $type:ty)* $(,)?) -> $value:ty;
    )*) => {
        #[async_trait]
        impl $port for Observed<dyn $port> {
            $(async fn $method(&self $(, $argument: $type)*) -> Result<$value, PortError> {
                call($name, stringify!($method), self.0.$method($($argument),*)).await
            })*
        }
    };
}

observed! { UserStore, "users";
    fn users(&self, ids: &[UserId]) -> Vec<User>;
    fn find_or_create_user(&self, candidate: &User) -> (User, bool);
    fn update_profile(&self, id: UserId, change: &ProfileChange) -> Option<User>;
    fn users_by_name(
        &self, prefix: &str, except: UserId, window: &Window<UserCursor>,
    ) -> Page<User>;
    fn set_last_seen(&self, users: &[UserId], at: Timestamp) -> ();
}

observed! { SessionStore, "sessions";
    fn create_session(&self, session: &Session, token: TokenHash) -> ();
    fn session(&self, id: SessionId) -> Option<Session>;
    fn sessions_of(&self, user: UserId, now: Timestamp) -> Vec<Session>;
    fn rotate_session(
        &self, id: SessionId, presented: TokenHash, replacement: TokenHash, now: Timestamp,
        expires_at: Timestamp,
    ) -> Rotation;
    fn delete_session(&self, id: SessionId, user: UserId) -> bool;
}

observed! { ChatStore, "chats";
    fn chats(&self, ids: &[ChatId]) -> Vec<Chat>;
    fn open_direct(&self, candidate: &Chat, users: [UserId; 2]) -> (Chat, bool);
    fn chats_of(
        &self, user: UserId, search: Option<&str>, window: &Window<ChatCursor>,
    ) -> Page<Chat>;
    fn chat_ids_of(&self, user: UserId) -> Vec<ChatId>;
    fn memberships(&self, user: UserId, chats: &[ChatId]) -> Vec<Member>;
    fn members(
        &self, chat: ChatId, read_from: Option<Seq>, window: &Window<MemberCursor>,
    ) -> Page<Member>;
    fn first_members(&self, chats: &[ChatId], limit: usize) -> Vec<Member>;
    fn lowest_read_marks(&self, chats: &[ChatId]) -> Vec<Member>;
    fn sharing(&self, user: UserId, others: &[UserId]) -> Vec<UserId>;
    fn mark_read(&self, chat: ChatId, user: UserId, seq: Seq, now: Timestamp) -> Option<ReadMark>;
    fn unread_counts(&self, user: UserId, chats: &[ChatId]) -> Vec<(ChatId, u32)>;
}

observed! { MessageStore, "messages";
    fn append(&self, draft: &Message) -> Append;
    fn messages(&self, ids: &[MessageId]) -> Vec<Message>;
    fn page(&self, chat: ChatId, window: &Window<Seq>) -> Page<Message>;
    fn last_messages(&self, chats: &[ChatId]) -> Vec<Message>;
    fn heads(&self, chats: &[ChatId]) -> Vec<Head>;
}

observed! { PresenceStore, "presence";
    fn renew(
        &self, connections: &[(UserId, ConnectionId)], now: Timestamp, lease: Duration,
    ) -> Vec<UserId>;
    fn release(
        &self, user: UserId, connection: ConnectionId, now: Timestamp, grace: Duration,
    ) -> ();
    fn expire(&self, now: Timestamp) -> Vec<UserId>;
    fn online(&self, users: &[UserId], now: Timestamp) -> Vec<UserId>;
}

#[async_trait]
impl CodeStore for Observed<dyn CodeStore> {
    async fn issue(
        &self,
        key: CodeKey,
        code: &IssuedCode,
        resend_after: Duration,
    ) -> Result<Issue, PortError> {
        let issue = call("codes", "issue", self.0.issue(key, code, resend_after)).await?;
        let outcome = match issue {
            Issue::Issued => "issued",
            Issue::TooSoon(_) => "too_soon",
        };
        counter!(CODES, "outcome" => outcome).increment(1);
        Ok(issue)
    }

    async fn withdraw(&self, key: CodeKey, id: [u8; 16]) -> Result<(), PortError> {
        counter!(CODES, "outcome" => "withdrawn").increment(1);
        call("codes", "withdraw", self.0.withdraw(key, id)).await
    }

    async fn attempt(
        &self,
        key: CodeKey,
        presented: CodeDigest,
        now: Timestamp,
    ) -> Result<Attempt, PortError> {
        let attempt = call("codes", "attempt", self.0.attempt(key, presented, now)).await?;
        let outcome = match attempt {
            Attempt::Accepted => "accepted",
            Attempt::Wrong(_) => "wrong",
            Attempt::Expired => "expired",
            Attempt::NoCode => "no_code",
        };
        counter!(CODE_ATTEMPTS, "outcome" => outcome).increment(1);
        Ok(attempt)
    }
}

#[async_trait]
impl RateLimiter for Observed<dyn RateLimiter> {
    async fn check(&self, rule: Rule, key: &str) -> Result<Decision, PortError> {
        let decision = call("limits", "check", self.0.check(rule, key)).await?;
        if let Decision::Denied(_) = decision {
            counter!(RATE_LIMITED, "rule" => rule.name).increment(1);
        }
        Ok(decision)
    }
}

#[async_trait]
impl Bus for Observed<dyn Bus> {
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

    async fn subscribe(&self, interest: Interest, topics: &[Topic]) -> Result<Receiver, PortError> {
        self.0.subscribe(interest, topics).await
    }

    async fn follow(&self, receiver: &mut Receiver, topic: Topic) -> Result<(), PortError> {
        self.0.follow(receiver, topic).await
    }
}

#[async_trait]
impl MailQueue for Observed<dyn MailQueue> {
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
