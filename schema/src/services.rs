//! Puts the services together over the ports.

use std::collections::HashSet;
use std::sync::Arc;

use moka::future::Cache;
use parking_lot::Mutex;
use secrecy::SecretSlice;

use crate::accounts::codes::CodeStore;
use crate::accounts::tokens::AccessTokens;
use crate::accounts::{AccountService, AccountStore, AuthPolicy, SESSION_CACHE};
use crate::chats::{ChatService, ChatStore};
use crate::clock::{Clock, Entropy};
use crate::id::IdGenerator;
use crate::limits::{RateLimiter, Rule};
use crate::live::{Bus, LivePolicy, LiveService};
use crate::mail::MailQueue;
use crate::messages::{MessageService, MessageStore};
use crate::presence::{PresencePolicy, PresenceService, PresenceStore};

/// All that the domain needs of the outside.
#[derive(Clone)]
pub struct Ports {
    /// Users and sessions.
    pub accounts: Arc<dyn AccountStore>,
    /// Chats and members.
    pub chats: Arc<dyn ChatStore>,
    /// Messages.
    pub messages: Arc<dyn MessageStore>,
    /// Sign-in codes.
    pub codes: Arc<dyn CodeStore>,
    /// Rate limits.
    pub limiter: Arc<dyn RateLimiter>,
    /// Presence leases.
    pub presence: Arc<dyn PresenceStore>,
    /// The event bus.
    pub bus: Arc<dyn Bus>,
    /// The mail queue.
    pub mail: Arc<dyn MailQueue>,
    /// Access tokens.
    pub tokens: Arc<dyn AccessTokens>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Keys the hashes of addresses and codes; 32 bytes, the same on all instances.
    pub secret: SecretSlice<u8>,
}

/// The domain's tunables.
#[derive(Clone, Copy, Debug)]
pub struct Policies {
    /// Signing in.
    pub auth: AuthPolicy,
    /// The live stream.
    pub live: LivePolicy,
    /// Presence.
    pub presence: PresencePolicy,
    /// How quickly a user may send messages.
    pub send: Rule,
    /// How quickly a user may start chats.
    pub start_chat: Rule,
    /// How quickly a user may change their typing state.
    pub typing: Rule,
}

/// The domain's services.
#[derive(Clone)]
pub struct Services {
    /// Users and sessions.
    pub accounts: Arc<AccountService>,
    /// Chats.
    pub chats: Arc<ChatService>,
    /// Messages.
    pub messages: Arc<MessageService>,
    /// Presence and typing.
    pub presence: Arc<PresenceService>,
    /// Live feeds.
    pub live: LiveService,
}

impl Services {
    /// The services over these ports. Must be called on a Tokio runtime.
    pub fn new(ports: Ports, policies: Policies) -> Self {
        let ids = IdGenerator::new(Arc::clone(&ports.clock), Arc::clone(&ports.entropy));
        let accounts = AccountService {
            store: Arc::clone(&ports.accounts),
            codes: ports.codes,
            limiter: Arc::clone(&ports.limiter),
            mail: ports.mail,
            bus: Arc::clone(&ports.bus),
            tokens: ports.tokens,
            clock: Arc::clone(&ports.clock),
            entropy: Arc::clone(&ports.entropy),
            ids: ids.clone(),
            secret: ports.secret,
            policy: policies.auth,
            live_sessions: Cache::builder()
                .max_capacity(100_000)
                .time_to_live(SESSION_CACHE)
                .build(),
        };
        let chats = ChatService {
            store: Arc::clone(&ports.chats),
            accounts: Arc::clone(&ports.accounts),
            bus: Arc::clone(&ports.bus),
            limiter: Arc::clone(&ports.limiter),
            start_rule: policies.start_chat,
            clock: Arc::clone(&ports.clock),
            ids: ids.clone(),
        };
        let messages = MessageService {
            store: Arc::clone(&ports.messages),
            chats: Arc::clone(&ports.chats),
            bus: Arc::clone(&ports.bus),
            limiter: Arc::clone(&ports.limiter),
            send_rule: policies.send,
            clock: Arc::clone(&ports.clock),
            ids,
        };
        let presence = Arc::new(PresenceService {
            store: ports.presence,
            accounts: ports.accounts,
            chats: Arc::clone(&ports.chats),
            bus: Arc::clone(&ports.bus),
            limiter: ports.limiter,
            typing_rule: policies.typing,
            clock: ports.clock,
            entropy: ports.entropy,
            policy: policies.presence,
            connections: Mutex::new(HashSet::new()),
        });
        let accounts = Arc::new(accounts);
        let live = LiveService::new(
            ports.bus,
            ports.chats,
            ports.messages,
            Arc::clone(&presence),
            Arc::clone(&accounts),
            policies.live,
        );
        Self {
            accounts,
            chats: Arc::new(chats),
            messages: Arc::new(messages),
            presence,
            live,
        }
    }
}
