//! The configuration in the domain's own terms.

use talksy_domain::auth::AuthPolicy;
use talksy_domain::feeds::FeedPolicy;
use talksy_domain::limits::Rule;
use talksy_domain::presence::PresencePolicy;
use talksy_domain::services::Policies;

use super::{Config, Quota};

impl Config {
    /// The domain's tunables, as configured.
    pub fn policies(&self) -> Policies {
        Policies {
            auth: AuthPolicy {
                access_token_ttl: self.auth.access_token_ttl,
                session_ttl: self.auth.session_ttl,
                code_ttl: self.auth.otp_ttl,
                code_tries: self.auth.otp_tries,
                code_resend: self.auth.otp_resend,
                login_ip: rule("login-ip", self.limits.login_ip),
                verify_ip: rule("verify-ip", self.limits.verify_ip),
                verify_address: rule("verify-address", self.limits.verify_address),
                refresh_ip: rule("refresh-ip", self.limits.refresh_ip),
            },
            feeds: FeedPolicy {
                replay_limit: self.live.replay_limit,
                heartbeat: self.live.heartbeat,
                reorder_grace: self.live.reorder_grace,
                typing_timeout: self.live.typing_timeout,
            },
            presence: PresencePolicy {
                lease: self.presence.lease,
                grace: self.presence.grace,
                sweep: self.presence.sweep,
            },
            send: rule("send", self.limits.send),
            start_chat: rule("start-chat", self.limits.start_chat),
            typing: rule("typing", self.limits.typing),
        }
    }
}

fn rule(name: &'static str, quota: Quota) -> Rule {
    Rule {
        name,
        quota: quota.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_defaults_are_the_domain_s_own() {
        let policies = Config::default().policies();
        assert_eq!(policies.feeds, FeedPolicy::default());
        assert_eq!(policies.presence, PresencePolicy::default());
    }

    #[test]
    fn no_two_rules_share_a_name() {
        let Policies {
            auth,
            send,
            start_chat,
            typing,
            ..
        } = Config::default().policies();
        let rules = [
            auth.login_ip,
            auth.verify_ip,
            auth.verify_address,
            auth.refresh_ip,
            send,
            start_chat,
            typing,
        ];
        let names: HashSet<_> = rules.iter().map(|rule| rule.name).collect();
        assert_eq!(names.len(), rules.len());
    }
}
