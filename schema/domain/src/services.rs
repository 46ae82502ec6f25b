//! Puts the services together over the ports.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use moka::future::Cache;
use parking_lot::Mutex;
use secrecy::SecretSlice;

use crate::access::Access;
use crate::attachments::images::ImageCodec;
use crate::attachments::objects::ObjectStore;
use crate::attachments::service::{AttachmentPolicy, AttachmentService};
use crate::attachments::store::AttachmentStore;
use crate::auth::codes::CodeStore;
use crate::auth::service::{AuthPolicy, AuthService, SESSION_CACHE};
use crate::auth::store::SessionStore;
use crate::auth::tokens::AccessTokens;
use crate::blocks::service::BlockService;
use crate::blocks::store::BlockStore;
use crate::chats::service::ChatService;
use crate::chats::store::ChatStore;
use crate::clock::{Clock, Entropy};
use crate::deletion::erasing::AccountEraser;
use crate::deletion::service::DeletionService;
use crate::events::bus::Bus;
use crate::exports::service::ExportService;
use crate::exports::{OwnAttachments, OwnChats, OwnProfile, OwnSessions};
use crate::feeds::policy::FeedPolicy;
use crate::feeds::service::FeedService;
use crate::groups::service::GroupService;
use crate::groups::store::GroupStore;
use crate::id::IdGenerator;
use crate::jobs::model::JobPolicy;
use crate::jobs::runner::JobRunner;
use crate::jobs::service::JobService;
use crate::jobs::store::JobStore;
use crate::keyed_hash::{KeyedHash, SecretSource};
use crate::limits::{RateLimiter, Rule};
use crate::mail::MailQueue;
use crate::messages::service::MessageService;
use crate::messages::store::MessageStore;
use crate::moderation::model::Operators;
use crate::moderation::service::{ModerationPolicy, ModerationService};
use crate::moderation::store::ModerationStore;
use crate::presence::service::{PresencePolicy, PresenceService};
use crate::presence::store::PresenceStore;
use crate::search::limit::{SearchLimit, SearchPolicy};
use crate::users::service::{UserPolicy, UserService};
use crate::users::store::UserStore;

/// All that the domain needs of the outside.
#[derive(Clone)]
pub struct Ports {
    /// Users.
    pub users: Arc<dyn UserStore>,
    /// Sessions.
    pub sessions: Arc<dyn SessionStore>,
    /// Chats and members.
    pub chats: Arc<dyn ChatStore>,
    /// Messages.
    pub messages: Arc<dyn MessageStore>,
    /// Groups.
    pub groups: Arc<dyn GroupStore>,
    /// Who has blocked whom.
    pub blocks: Arc<dyn BlockStore>,
    /// What attachments are.
    pub attachments: Arc<dyn AttachmentStore>,
    /// Their bytes.
    pub objects: Arc<dyn ObjectStore>,
    /// Images among them.
    pub images: Arc<dyn ImageCodec>,
    /// Durable jobs.
    pub jobs: Arc<dyn JobStore>,
    /// Reports, suspensions, and what operators did.
    pub moderation: Arc<dyn ModerationStore>,
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
    /// Keys the hashes of addresses and codes, and the seals of what clients hold.
    pub secret: Arc<dyn SecretSource>,
    /// Keys the fingerprints that stores keep: 32 bytes that are never replaced, the same on all
    /// instances.
    pub lasting_secret: SecretSlice<u8>,
}

/// The domain's tunables.
#[derive(Clone, Debug)]
pub struct Policies {
    /// Signing in.
    pub auth: AuthPolicy,
    /// Users.
    pub users: UserPolicy,
    /// The live feeds.
    pub feeds: FeedPolicy,
    /// Presence.
    pub presence: PresencePolicy,
    /// Durable jobs.
    pub jobs: JobPolicy,
    /// Attachments.
    pub attachments: AttachmentPolicy,
    /// How often may be searched.
    pub search: SearchPolicy,
    /// How quickly a user may send messages.
    pub send: Rule,
    /// How quickly a user may react to messages.
    pub react: Rule,
    /// How quickly a user may start chats.
    pub start_chat: Rule,
    /// How quickly a user may change groups, and what is their own of chats.
    pub change_chats: Rule,
    /// How quickly a user may block others, and end that.
    pub block: Rule,
    /// How quickly a user may move read marks.
    pub mark_read: Rule,
    /// The most members that a group may have.
    pub max_members: u32,
    /// How quickly a user may change their typing state.
    pub typing: Rule,
    /// How quickly one may report, and act as an operator.
    pub moderation: ModerationPolicy,
    /// Who operates the server.
    pub operators: Operators,
    /// How often a user may have what is their own given out.
    pub export: Rule,
    /// How often a user may ask for a code to delete their account with.
    pub delete_account: Rule,
}

/// The domain's services.
#[derive(Clone)]
pub struct Services {
    /// Who may do what.
    pub access: Arc<Access>,
    /// Signing in and sessions.
    pub auth: Arc<AuthService>,
    /// Users.
    pub users: Arc<UserService>,
    /// Deleting accounts.
    pub deletion: Arc<DeletionService>,
    /// Chats.
    pub chats: Arc<ChatService>,
    /// Messages.
    pub messages: Arc<MessageService>,
    /// Groups.
    pub groups: Arc<GroupService>,
    /// Whom users have blocked.
    pub blocks: Arc<BlockService>,
    /// Attachments.
    pub attachments: Arc<AttachmentService>,
    /// Reports, and what operators do.
    pub moderation: Arc<ModerationService>,
    /// Archives of what is a user's own.
    pub exports: Arc<ExportService>,
    /// Presence and typing.
    pub presence: Arc<PresenceService>,
    /// Live feeds.
    pub feeds: FeedService,
    /// Durable jobs.
    pub jobs: JobRunner,
}

impl Services {
    /// The services over these ports. Must be called on a Tokio runtime.
    pub fn new(ports: Ports, policies: Policies) -> Self {
        let ids = IdGenerator::new(Arc::clone(&ports.clock), Arc::clone(&ports.entropy));
        let hash = KeyedHash::new(Arc::clone(&ports.secret));
        let access = Arc::new(access(&ports, &policies));
        let attachments = attachments(&ports, &policies, &access, &ids, &hash);
        let search_limit = Arc::new(SearchLimit {
            limiter: Arc::clone(&ports.limiter),
            policy: policies.search,
        });
        let groups = groups(&ports, &policies, &access, &attachments, &ids);
        let chats = chats(&ports, &policies, &access, &ids);
        let blocks = blocks(&ports, policies.block);
        let work = work(&ports, &attachments, &ids);
        let exports = Arc::new(exports(&ports, &policies, &access));
        let presence = Arc::new(presence(&ports, &policies, &access));
        let clock = Arc::clone(&ports.clock);
        let jobs = JobRunner::new(
            Arc::clone(&ports.jobs),
            Arc::new(work),
            clock,
            policies.jobs,
        );
        let messages = MessageService {
            store: Arc::clone(&ports.messages),
            access: Arc::clone(&access),
            limiter: Arc::clone(&ports.limiter),
            send_rule: policies.send,
            react_rule: policies.react,
            pin_rule: policies.change_chats,
            search_limit: Arc::clone(&search_limit),
            clock: Arc::clone(&ports.clock),
            ids: ids.clone(),
            hash: KeyedHash::new(Arc::new(ports.lasting_secret.clone())),
            attachments: Arc::clone(&attachments),
            jobs: jobs.clone(),
        };
        let messages = Arc::new(messages);
        let moderation = moderation(&ports, &policies, &access, &messages, ids.clone());
        let auth = AuthService {
            sessions: ports.sessions,
            users: Arc::clone(&ports.users),
            moderation: Arc::clone(&ports.moderation),
            codes: ports.codes,
            limiter: Arc::clone(&ports.limiter),
            mail: ports.mail,
            tokens: ports.tokens,
            clock: Arc::clone(&ports.clock),
            entropy: Arc::clone(&ports.entropy),
            ids: ids.clone(),
            hash,
            policy: policies.auth,
            live_sessions: Cache::builder()
                .max_capacity(100_000)
                .time_to_live(SESSION_CACHE)
                .build(),
        };
        let auth = Arc::new(auth);
        let users = UserService::new(
            Arc::clone(&ports.users),
            ports.limiter,
            Arc::clone(&access),
            Arc::clone(&attachments),
            search_limit,
            policies.users,
        );
        let users = Arc::new(users);
        let deletion = DeletionService {
            store: ports.users,
            auth: Arc::clone(&auth),
            users: Arc::clone(&users),
            jobs: jobs.clone(),
            rule: policies.delete_account,
        };
        let feeds = FeedService::new(
            Arc::clone(&access),
            ports.bus,
            ports.chats,
            ports.messages,
            Arc::clone(&presence),
            Arc::clone(&auth),
            policies.feeds,
        );
        Self {
            access,
            auth,
            users,
            deletion: Arc::new(deletion),
            chats: Arc::new(chats),
            messages,
            groups: Arc::new(groups),
            blocks: Arc::new(blocks),
            attachments,
            moderation: Arc::new(moderation),
            exports,
            presence,
            feeds,
            jobs,
        }
    }
}

fn access(ports: &Ports, policies: &Policies) -> Access {
    Access {
        chats: Arc::clone(&ports.chats),
        users: Arc::clone(&ports.users),
        blocks: Arc::clone(&ports.blocks),
        directory: policies.users.directory,
        operators: policies.operators.clone(),
    }
}

fn moderation(
    ports: &Ports,
    policies: &Policies,
    access: &Arc<Access>,
    messages: &Arc<MessageService>,
    ids: IdGenerator,
) -> ModerationService {
    ModerationService {
        store: Arc::clone(&ports.moderation),
        users: Arc::clone(&ports.users),
        messages: Arc::clone(messages),
        access: Arc::clone(access),
        limiter: Arc::clone(&ports.limiter),
        policy: policies.moderation,
        clock: Arc::clone(&ports.clock),
        ids,
    }
}

fn presence(ports: &Ports, policies: &Policies, access: &Arc<Access>) -> PresenceService {
    PresenceService {
        store: Arc::clone(&ports.presence),
        users: Arc::clone(&ports.users),
        access: Arc::clone(access),
        bus: Arc::clone(&ports.bus),
        limiter: Arc::clone(&ports.limiter),
        typing_rule: policies.typing,
        large_groups: policies.feeds.large_groups,
        clock: Arc::clone(&ports.clock),
        entropy: Arc::clone(&ports.entropy),
        policy: policies.presence,
        connections: Mutex::new(HashSet::new()),
        is_unrenewed: AtomicBool::new(false),
    }
}

fn work(ports: &Ports, attachments: &Arc<AttachmentService>, ids: &IdGenerator) -> JobService {
    JobService {
        sessions: Arc::clone(&ports.sessions),
        users: Arc::clone(&ports.users),
        chats: Arc::clone(&ports.chats),
        groups: Arc::clone(&ports.groups),
        messages: Arc::clone(&ports.messages),
        attachments: Arc::clone(attachments) as _,
        blocks: Arc::clone(&ports.blocks),
        moderation: Arc::clone(&ports.moderation),
        accounts: Arc::new(eraser(ports, attachments, ids)),
        clock: Arc::clone(&ports.clock),
    }
}

fn eraser(ports: &Ports, attachments: &Arc<AttachmentService>, ids: &IdGenerator) -> AccountEraser {
    AccountEraser {
        users: Arc::clone(&ports.users),
        sessions: Arc::clone(&ports.sessions),
        chats: Arc::clone(&ports.chats),
        groups: Arc::clone(&ports.groups),
        messages: Arc::clone(&ports.messages),
        blocks: Arc::clone(&ports.blocks),
        moderation: Arc::clone(&ports.moderation),
        attachments: Arc::clone(attachments) as _,
        clock: Arc::clone(&ports.clock),
        ids: ids.clone(),
    }
}

fn chats(
    ports: &Ports,
    policies: &Policies,
    access: &Arc<Access>,
    ids: &IdGenerator,
) -> ChatService {
    ChatService {
        store: Arc::clone(&ports.chats),
        access: Arc::clone(access),
        limiter: Arc::clone(&ports.limiter),
        start_rule: policies.start_chat,
        change_rule: policies.change_chats,
        read_rule: policies.mark_read,
        large_groups: policies.feeds.large_groups,
        clock: Arc::clone(&ports.clock),
        ids: ids.clone(),
    }
}

fn blocks(ports: &Ports, rule: Rule) -> BlockService {
    BlockService {
        store: Arc::clone(&ports.blocks),
        users: Arc::clone(&ports.users),
        limiter: Arc::clone(&ports.limiter),
        rule,
    }
}

fn attachments(
    ports: &Ports,
    policies: &Policies,
    access: &Arc<Access>,
    ids: &IdGenerator,
    hash: &KeyedHash,
) -> Arc<AttachmentService> {
    Arc::new(AttachmentService {
        store: Arc::clone(&ports.attachments),
        objects: Arc::clone(&ports.objects),
        images: Arc::clone(&ports.images),
        messages: Arc::clone(&ports.messages),
        users: Arc::clone(&ports.users),
        access: Arc::clone(access),
        limiter: Arc::clone(&ports.limiter),
        policy: policies.attachments.clone(),
        clock: Arc::clone(&ports.clock),
        entropy: Arc::clone(&ports.entropy),
        ids: ids.clone(),
        hash: hash.clone(),
    })
}

/// The archive of a user. A further part of it is added to this list, and nowhere else.
fn exports(ports: &Ports, policies: &Policies, access: &Arc<Access>) -> ExportService {
    ExportService {
        parts: vec![
            Box::new(OwnProfile {
                users: Arc::clone(&ports.users),
            }),
            Box::new(OwnSessions {
                sessions: Arc::clone(&ports.sessions),
                clock: Arc::clone(&ports.clock),
            }),
            Box::new(OwnChats {
                access: Arc::clone(access),
                chats: Arc::clone(&ports.chats),
                messages: Arc::clone(&ports.messages),
                users: Arc::clone(&ports.users),
                attachments: Arc::clone(&ports.attachments),
                objects: Arc::clone(&ports.objects),
            }),
            // Behind the chats: what a message there has attached is older than this list.
            Box::new(OwnAttachments {
                attachments: Arc::clone(&ports.attachments),
                objects: Arc::clone(&ports.objects),
            }),
        ],
        users: Arc::clone(&ports.users),
        sessions: Arc::clone(&ports.sessions),
        limiter: Arc::clone(&ports.limiter),
        rule: policies.export,
        clock: Arc::clone(&ports.clock),
    }
}

fn groups(
    ports: &Ports,
    policies: &Policies,
    access: &Arc<Access>,
    attachments: &Arc<AttachmentService>,
    ids: &IdGenerator,
) -> GroupService {
    GroupService {
        store: Arc::clone(&ports.groups),
        access: Arc::clone(access),
        attachments: Arc::clone(attachments),
        limiter: Arc::clone(&ports.limiter),
        start_rule: policies.start_chat,
        change_rule: policies.change_chats,
        max_members: policies.max_members,
        clock: Arc::clone(&ports.clock),
        ids: ids.clone(),
    }
}
