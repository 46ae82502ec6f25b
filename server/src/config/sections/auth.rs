//! Signing in, and how often a client may do what.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::duration::{DAY, HOUR, MINUTE, SECOND};
use crate::config::section::section;
use crate::config::values::{
    Directory, Quota, SignUp, is_mail_address, is_mail_domain, is_token_party,
};

/// What every quota lies between.
pub(super) const QUOTAS: RangeInclusive<Quota> = Quota::new(1, SECOND)..=Quota::new(1_000_000, DAY);

section! {
    /// Signing in and the life of tokens.
    pub struct AuthConfig {
        /// How long an access token is valid; its socket closes then and the client refreshes.
        access_token_ttl: Duration = 10 * MINUTE, in MINUTE..=HOUR;
        /// How long a session lives after its last refresh.
        session_ttl: Duration = 30 * DAY, in DAY..=365 * DAY;
        /// How long a session lives at most, however often it is refreshed: then its user signs in
        /// again.
        session_max_age: Duration = 365 * DAY, in DAY..=3_650 * DAY,
            must "not be shorter than `auth.session_ttl`" =>
                |auth| auth.session_max_age >= auth.session_ttl;
        /// For how long a refresh token that was replaced is answered with the same successor again,
        /// while that is unused: an answer was lost, or two tabs share the token. Later, or once its
        /// successor was used, a replaced token ends its session, since somebody holds a copy. 0s ends
        /// it at once, and with it the sessions of clients that lost an answer.
        refresh_retry: Duration = MINUTE, in Duration::ZERO..=HOUR;
        /// The issuer that access tokens name (`iss`) and must name. Without it: `public_url`, or else
        /// an id of the key file. All instances need the same one; where it changes, clients refresh.
        token_issuer: Option<String> = None, such as "https://chat.example.org",
            must "have 1 to 255 visible ASCII characters" =>
                |auth| auth.token_issuer.as_deref().is_none_or(is_token_party);
        /// The audience that access tokens name (`aud`) and must name. Without it: the issuer. All
        /// instances need the same one; where it changes, clients refresh.
        token_audience: Option<String> = None, such as "https://chat.example.org",
            must "have 1 to 255 visible ASCII characters" =>
                |auth| auth.token_audience.as_deref().is_none_or(is_token_party);
        /// How long a sign-in code is valid.
        otp_ttl: Duration = 5 * MINUTE, in MINUTE..=HOUR;
        /// How many wrong guesses a sign-in code survives.
        otp_tries: u8 = 5, in 1..=10;
        /// From how many wrong codes in an hour on, for all addresses together, sign-in codes have
        /// eight digits in place of six. It locks nobody out.
        otp_alarm: u32 = 1_000, in 10..=10_000_000;
        /// The least time between two codes for one address from one network.
        otp_resend: Duration = MINUTE, in SECOND..=HOUR,
            must "not be longer than `auth.otp_ttl`" => |auth| auth.otp_resend <= auth.otp_ttl;
        /// Whose first sign-in makes an account: `open` for everybody's, `domains` for that of
        /// addresses of `auth.sign_up_domains`, `closed` for nobody's. Others who ask for a code are
        /// answered the same, and sent a letter that says so: no stranger learns who has an account.
        sign_up: SignUp = SignUp::Open;
        /// The domains of `auth.sign_up = "domains"`, such as `["example.org"]`. A subdomain is
        /// another domain.
        sign_up_domains: Vec<String> = Vec::new(),
            must "be domains in lower case, such as `example.org`" =>
                |auth| auth.sign_up_domains.iter().all(|domain| is_mail_domain(domain)),
            must "name a domain where `auth.sign_up` is `domains`, and none elsewhere" =>
                |auth| (auth.sign_up == SignUp::Domains) != auth.sign_up_domains.is_empty();
        /// How many verified access tokens are remembered, so that a token that comes again costs
        /// a lookup, not a signature check; about 300 bytes each.
        token_cache: u64 = 50_000, in 0..=10_000_000;
    }
}

/// What budgets of costs lie between.
const BUDGETS: RangeInclusive<Quota> = Quota::new(1_000, SECOND)..=Quota::new(2_000_000_000, DAY);

section! {
    /// Rate limits: `burst` at once, refilled evenly over `period`. Who goes over one gets
    /// `RATE_LIMITED` with the seconds to wait.
    pub struct LimitsConfig {
        /// Sign-in codes asked for, an IP address; of IPv6 a /64, with 4 times as many for its /56
        /// and 16 times for its /48.
        login_ip: Quota = Quota::new(10, 10 * MINUTE), in QUOTAS;
        /// Sign-in codes asked for, for one mail address from one network: a /24, or those of IPv6
        /// as above.
        login_network: Quota = Quota::new(6, HOUR), in QUOTAS;
        /// Sign-in codes asked for, for one mail address, by all devices together that have not
        /// signed in with it before.
        login_address: Quota = Quota::new(60, HOUR), in QUOTAS;
        /// Sign-in codes asked for, a device that has signed in with the address before. Others
        /// cannot use it up. An IP address has `limits.login_ip` for such devices apart.
        login_device: Quota = Quota::new(10, HOUR), in QUOTAS;
        /// Sign-in codes tried for challenges that are not open, an IP address.
        verify_ip: Quota = Quota::new(30, 10 * MINUTE), in QUOTAS;
        /// Refresh tokens presented that this server has not made, an IP address; and, by the same
        /// measure, refreshes of one session.
        refresh_ip: Quota = Quota::new(60, MINUTE), in QUOTAS;
        /// Messages sent, a user.
        send: Quota = Quota::new(30, 10 * SECOND), in QUOTAS;
        /// Reactions added and removed, a user.
        react: Quota = Quota::new(60, 10 * SECOND), in QUOTAS;
        /// Users blocked and unblocked, a user.
        block: Quota = Quota::new(30, MINUTE), in QUOTAS;
        /// Typing signals, a user.
        typing: Quota = Quota::new(20, 10 * SECOND), in QUOTAS;
        /// Chats started, a user.
        start_chat: Quota = Quota::new(30, MINUTE), in QUOTAS;
        /// Points that the operations of a user may cost together; see `http.query.max_cost`. The
        /// events of subscriptions are among them, each with what its execution has cost, and a
        /// fraction of a point where its answer is shared: while nothing is left, the next ones wait
        /// for up to 10 seconds, and then the subscription ends. An instance may let pass a
        /// hundredth more.
        cost_user: Quota = Quota::new(3_000_000, MINUTE), in BUDGETS;
        /// Points that the operations of an IP address may cost together, of IPv6 as in
        /// `limits.login_ip`. Many users may share an address.
        cost_ip: Quota = Quota::new(30_000_000, MINUTE), in BUDGETS;
        /// Changes of groups (titles, members, roles, leaving), of what is pinned in chats, and of
        /// what is one's own of chats (whether they are muted), a user.
        change_chats: Quota = Quota::new(60, MINUTE), in QUOTAS;
        /// Read marks moved, a user.
        mark_read: Quota = Quota::new(60, 10 * SECOND), in QUOTAS;
        /// Changes of the own profile, a user.
        update_profile: Quota = Quota::new(10, MINUTE), in QUOTAS;
        /// Exact addresses looked up in the list of users, a user.
        find_address: Quota = Quota::new(30, 10 * MINUTE), in QUOTAS;
        /// Searches in messages and for people, a user.
        search: Quota = Quota::new(30, 10 * SECOND), in QUOTAS;
        /// Searches from an IP address, of IPv6 as in `limits.login_ip`. Many users may share an address.
        search_ip: Quota = Quota::new(300, 10 * SECOND), in QUOTAS;
        /// Codes asked for to delete the own account with, a user; besides, there is one each
        /// `auth.otp_resend`.
        delete_account: Quota = Quota::new(6, HOUR), in QUOTAS;
        /// Uploads begun, a user.
        uploads: Quota = Quota::new(60, 10 * MINUTE), in QUOTAS;
        /// Archives of what is their own begun, a user.
        export: Quota = Quota::new(3, HOUR), in QUOTAS;
        /// Other sessions ended, a session.
        revoke: Quota = Quota::new(30, MINUTE), in QUOTAS;
        /// Messages reported to the operators, a user.
        report: Quota = Quota::new(20, 10 * MINUTE), in QUOTAS;
        /// Reports resolved, accounts suspended and restored, an operator.
        moderate: Quota = Quota::new(120, MINUTE), in QUOTAS;
    }
}

section! {
    /// What users are shown of one another.
    pub struct UsersConfig {
        /// Whom the list of users shows, and whose profile may be read by its id: `everyone` is
        /// shown to everyone who is signed in, `shared_chats` shows who shares a chat with the one
        /// who asks, `off` nobody. A whole mail address finds its user in any case. Without it:
        /// `everyone`, with a warning where anybody may sign up and other machines may connect.
        directory: Option<Directory> = None, such as "shared_chats";
        /// The mail addresses of those who operate the server, such as `["ada@example.org"]`: their
        /// accounts may use `moderation`, suspend other accounts and delete any message. What they do is
        /// logged: see `talksy audit`. All instances need the same ones.
        operators: Vec<String> = Vec::new(),
            must "be mail addresses, such as `ada@example.org`" =>
                |users| users.operators.iter().all(|address| is_mail_address(address));
    }
}
