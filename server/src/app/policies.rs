//! The configuration in the domain's own terms: which setting is which of its tunables.

use std::sync::Arc;
use std::time::Duration;

use talksy_domain::attachments::AttachmentPolicy;
use talksy_domain::auth::{AuthPolicy, SessionLife, SignUp};
use talksy_domain::chats::LargeGroups;
use talksy_domain::feeds::FeedPolicy;
use talksy_domain::jobs::JobPolicy;
use talksy_domain::limits::{self, RateLimiter, Rule};
use talksy_domain::mail::EmailAddress;
use talksy_domain::moderation::{ModerationPolicy, Operators};
use talksy_domain::presence::PresencePolicy;
use talksy_domain::search::SearchPolicy;
use talksy_domain::services::Policies;
use talksy_domain::users::{Directory, UserPolicy};

use crate::config::{self, Config, Quota};
use crate::graphql::{Budgets, ExecutionLimits};

impl From<&Config> for Policies {
    fn from(config: &Config) -> Self {
        let (auth, limits) = (&config.auth, &config.limits);
        Self {
            auth: AuthPolicy {
                sign_up: match auth.sign_up {
                    config::SignUp::Open => SignUp::Open,
                    config::SignUp::Domains => SignUp::Domains(auth.sign_up_domains.clone()),
                    config::SignUp::Closed => SignUp::Closed,
                },
                access_token_ttl: auth.access_token_ttl,
                session_life: SessionLife {
                    idle: auth.session_ttl,
                    longest: auth.session_max_age,
                    retry: auth.refresh_retry,
                },
                code_ttl: auth.otp_ttl,
                code_tries: auth.otp_tries,
                code_resend: auth.otp_resend,
                wrong_code_alarm: auth.otp_alarm,
                login_ip: rule("login-ip", limits.login_ip),
                login_network: rule("login-network", limits.login_network),
                login_address: rule("login-address", limits.login_address),
                login_device: rule("login-device", limits.login_device),
                verify_ip: rule("verify-ip", limits.verify_ip),
                refresh_ip: rule("refresh-ip", limits.refresh_ip),
                revoke: rule("revoke", limits.revoke),
            },
            users: UserPolicy {
                directory: match config.users.directory {
                    None | Some(config::Directory::Everyone) => Directory::Everyone,
                    Some(config::Directory::SharedChats) => Directory::SharedChats,
                    Some(config::Directory::Off) => Directory::Off,
                },
                update_profile: rule("update-profile", limits.update_profile),
                find_address: rule("find-address", limits.find_address),
            },
            feeds: FeedPolicy {
                replay_limit: config.live.replay_limit,
                heartbeat: config.live.heartbeat,
                session_check: config.live.session_check,
                reorder_grace: config.live.reorder_grace,
                ahead_grace: AHEAD_GRACE,
                typing_timeout: config.live.typing_timeout,
                absence_grace: LEAST_DOUBT.max(config.presence.sweep * DOUBT_LOOKS),
                large_groups: LargeGroups {
                    above: config.chats.large_group_members,
                },
                account_replay_limit: ACCOUNT_REPLAY_LIMIT,
                checkpoint_events: CHECKPOINT_EVENTS,
                checkpoint_after: CHECKPOINT_AFTER,
            },
            presence: PresencePolicy {
                lease: config.presence.lease,
                grace: config.presence.grace,
                sweep: config.presence.sweep,
                doubt: LEAST_DOUBT.max(config.presence.sweep * DOUBT_LOOKS),
                last_seen_interval: config.presence.last_seen_interval,
            },
            jobs: JobPolicy {
                poll: config.jobs.poll,
                lease: config.jobs.lease,
                attempts: config.jobs.attempts,
                concurrency: JOB_CONCURRENCY,
                first_wait: FIRST_JOB_WAIT,
                longest_wait: LONGEST_JOB_WAIT,
            },
            attachments: AttachmentPolicy {
                upload: rule("uploads", limits.uploads),
                documents: config.attachments.document_types(),
                max_image_bytes: config.attachments.max_image_bytes,
                max_file_bytes: config.attachments.max_file_bytes,
                max_user_bytes: config.attachments.max_user_bytes,
                upload_timeout: config.attachments.upload_timeout,
                unused_for: config.attachments.unused_for,
                base_url: base_url(config),
            },
            search: SearchPolicy {
                user: rule("search-user", limits.search),
                address: rule("search-ip", limits.search_ip),
            },
            send: rule("send", limits.send),
            react: rule("react", limits.react),
            block: rule("block", limits.block),
            start_chat: rule("start-chat", limits.start_chat),
            change_chats: rule("change-chats", limits.change_chats),
            mark_read: rule("mark-read", limits.mark_read),
            max_members: config.chats.max_members,
            typing: rule("typing", limits.typing),
            moderation: ModerationPolicy {
                report: rule("report", limits.report),
                act: rule("moderate", limits.moderate),
            },
            operators: operators(config),
            export: rule("export", limits.export),
            delete_account: rule("delete-account", limits.delete_account),
        }
    }
}

/// How many subscriptions are opened at a time for each processor. More would only keep what others do
/// waiting for it; fewer would leave it idle while a store or a bus is asked.
const OPENINGS_OF_A_CORE: usize = 32;

impl From<&Config> for ExecutionLimits {
    fn from(config: &Config) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            max_answer_bytes: config.http.max_answer_bytes,
            max_cost: config.http.query.max_cost,
            executions_per_user: config.http.executions_per_user,
            openings: OPENINGS_OF_A_CORE.saturating_mul(cores),
            event_timeout: config.http.execution_timeout,
        }
    }
}

/// What users and addresses may have computed.
pub(super) fn budgets(limiter: Arc<dyn RateLimiter>, config: &Config) -> Budgets {
    let (user, address) = cost_rules(config);
    Budgets::new(limiter, user, address)
}

fn cost_rules(config: &Config) -> (Rule, Rule) {
    let limits = &config.limits;
    (
        rule("cost-user", limits.cost_user),
        rule("cost-ip", limits.cost_ip),
    )
}

/// How long a feed waits for a store that is behind what it has told.
const AHEAD_GRACE: Duration = Duration::from_secs(5);

/// For how long, and for how many of presence's looks at least, an absence is doubted. Instances whose
/// Redis was away or is empty try to renew at each look, and connect within a second.
const LEAST_DOUBT: Duration = Duration::from_secs(2);
const DOUBT_LOOKS: u32 = 2;

/// How many messages and changes `accountEvents` replays at a resume: about what 50 pages hold.
const ACCOUNT_REPLAY_LIMIT: u32 = 5_000;

/// How many events lie between two checkpoints: half of the cursors that a resume may name.
const CHECKPOINT_EVENTS: u32 = 500;

/// How long a checkpoint is waited for at most, where anything was told.
const CHECKPOINT_AFTER: Duration = Duration::from_secs(30);

/// How many jobs a process runs at the same time: requests go before them.
const JOB_CONCURRENCY: usize = 4;

/// The waits between two tries of a job: 15 tries last for about four hours.
const FIRST_JOB_WAIT: Duration = Duration::from_secs(2);
const LONGEST_JOB_WAIT: Duration = Duration::from_hours(1);

/// What URLs of attachments begin with.
fn base_url(config: &Config) -> String {
    let url = config.public_url.as_deref().unwrap_or_default();
    url.trim_end_matches('/').to_owned()
}

/// Who operates the server. What is no address the configuration has refused.
fn operators(config: &Config) -> Operators {
    let addresses = config.users.operators.iter();
    addresses
        .filter_map(|address| EmailAddress::parse(address).ok())
        .collect()
}

fn rule(name: &'static str, quota: Quota) -> Rule {
    let Quota { burst, period } = quota;
    Rule {
        name,
        quota: limits::Quota { burst, period },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_rules_share_a_name() {
        let Policies {
            auth,
            users,
            feeds: _,
            presence: _,
            jobs: _,
            attachments,
            search,
            send,
            react,
            block,
            start_chat,
            change_chats,
            mark_read,
            max_members: _,
            typing,
            moderation,
            operators: _,
            export,
            delete_account,
        } = Policies::from(&Config::default());
        let (cost_user, cost_ip) = cost_rules(&Config::default());
        let rules = [
            cost_user,
            cost_ip,
            auth.login_ip,
            auth.login_network,
            auth.login_address,
            auth.login_device,
            auth.verify_ip,
            auth.refresh_ip,
            auth.revoke,
            users.update_profile,
            users.find_address,
            attachments.upload,
            search.user,
            search.address,
            send,
            react,
            block,
            start_chat,
            change_chats,
            mark_read,
            typing,
            moderation.report,
            moderation.act,
            export,
            delete_account,
        ];
        let names: HashSet<_> = rules.iter().map(|rule| rule.name).collect();
        assert_eq!(names.len(), rules.len());
    }
}
