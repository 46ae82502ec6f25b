//! Signing in by mailed code, and keeping sessions.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

use super::codes::{Attempt, CodeDigest, CodeKey, CodeStore, Issue, IssuedCode};
use super::model::{RefreshToken, Session};
use super::store::{Rotation, SessionStore};
use super::tokens::{AccessTokens, TokenProblem};
use crate::clock::{Clock, Entropy, Timestamp, uniform};
use crate::cursor::SessionCursor;
use crate::error::service_error;
use crate::error::{ApiError, ErrorCode, Invalid, PortError};
use crate::id::{IdGenerator, SessionId, UserId};
use crate::keyed_hash::KeyedHash;
use crate::limits::{Decision, RateLimiter, Rule};
use crate::mail::{EmailAddress, MAIL_JOB_VERSION, MailContent, MailJob, MailQueue};
use crate::page::{Page, Window};
use crate::users::model::{DisplayName, User};
use crate::users::store::UserStore;
use crate::viewer::{ClientInfo, Viewer};

/// Why signing in or a token was refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuthError {
    /// An argument breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A code was sent to the address a moment ago.
    #[error("A code was sent to this address a moment ago. Wait before you ask for another.")]
    CodeJustSent(Duration),
    /// Too many requests from one place or for one address.
    #[error("Too many attempts. Wait before you try again.")]
    TooMany(Duration),
    /// The code could not be sent. It has been withdrawn.
    #[error("The code could not be sent. Try again shortly.")]
    MailDown(#[source] PortError),
    /// The code is wrong.
    #[error("The code is not right. Check it, or ask for another.")]
    WrongCode,
    /// The code is no longer valid.
    #[error("The code is no longer valid. Ask for another.")]
    CodeExpired,
    /// An access token was refused.
    #[error(transparent)]
    Token(#[from] TokenProblem),
    /// The session was ended.
    #[error("The session has ended. Sign in again.")]
    SessionEnded,
    /// The refresh token was never valid, or its session was ended.
    #[error("The refresh token is not valid. Sign in again.")]
    RefreshInvalid,
    /// The session has expired.
    #[error("The session has expired. Sign in again.")]
    RefreshExpired,
    /// The refresh token was used before.
    #[error("The refresh token was used before, so its session was ended. Sign in again.")]
    RefreshReused,
    /// There is no such session of the viewer.
    #[error("There is no such session.")]
    NoSession,
    /// The account is gone.
    #[error("The account no longer exists.")]
    NoAccount,
    /// A port failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl AuthError {
    fn api_error(&self) -> ApiError {
        let refuse = |code| ApiError::new(code, self.to_string());
        match self {
            Self::Invalid(invalid) => invalid.into(),
            Self::CodeJustSent(wait) | Self::TooMany(wait) => {
                refuse(ErrorCode::RateLimited).retry_after(*wait)
            }
            Self::MailDown(error) => refuse(ErrorCode::Unavailable).fault(error),
            Self::WrongCode => refuse(ErrorCode::OtpInvalid).field("code"),
            Self::CodeExpired => refuse(ErrorCode::OtpExpired).field("code"),
            Self::Token(TokenProblem::Expired) => refuse(ErrorCode::TokenExpired),
            Self::Token(TokenProblem::Invalid) | Self::SessionEnded | Self::NoAccount => {
                refuse(ErrorCode::Unauthenticated)
            }
            Self::RefreshInvalid => refuse(ErrorCode::Unauthenticated).field("refreshToken"),
            Self::RefreshExpired => refuse(ErrorCode::TokenExpired).field("refreshToken"),
            Self::RefreshReused => refuse(ErrorCode::TokenReused).field("refreshToken"),
            Self::NoSession => refuse(ErrorCode::NotFound).field("sessionId"),
            Self::Port(error) => error.into(),
        }
    }
}

service_error!(AuthError);

/// The rules of signing in.
#[derive(Clone, Copy, Debug)]
pub struct AuthPolicy {
    /// How long an access token is valid.
    pub access_token_ttl: Duration,
    /// How long a session lasts without being refreshed.
    pub session_ttl: Duration,
    /// How long a code is valid.
    pub code_ttl: Duration,
    /// How many wrong codes one code survives.
    pub code_tries: u8,
    /// How long to wait between two codes for one address.
    pub code_resend: Duration,
    /// Codes asked for from one IP address.
    pub login_ip: Rule,
    /// Codes presented from one IP address.
    pub verify_ip: Rule,
    /// Codes presented for one mail address.
    pub verify_address: Rule,
    /// Sessions refreshed from one IP address.
    pub refresh_ip: Rule,
}

/// What `login` answers, whether or not there is an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeSent {
    /// How long the code is valid.
    pub expires_in: Duration,
    /// How long until another may be asked for.
    pub resend_after: Duration,
}

/// A session with fresh tokens.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The JWT for `Authorization: Bearer`.
    pub access_token: String,
    /// When it expires.
    pub expires_at: Timestamp,
    /// For `refreshSession`; each is good for one use.
    pub refresh_token: RefreshToken,
    /// The session.
    pub session: Session,
    /// Whose it is.
    pub user: User,
    /// Whether the account was made just now.
    pub is_new_user: bool,
}

/// Rules of signing in.
pub struct AuthService {
    pub(crate) sessions: Arc<dyn SessionStore>,
    pub(crate) users: Arc<dyn UserStore>,
    pub(crate) codes: Arc<dyn CodeStore>,
    pub(crate) limiter: Arc<dyn RateLimiter>,
    pub(crate) mail: Arc<dyn MailQueue>,
    pub(crate) tokens: Arc<dyn AccessTokens>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) ids: IdGenerator,
    /// Keys the hashes of addresses and codes.
    pub(crate) hash: KeyedHash,
    pub(crate) policy: AuthPolicy,
    /// Which sessions were live a moment ago.
    pub(crate) live_sessions: Cache<SessionId, bool>,
}

/// For how long a session that was found live is not looked up again: the longest a revoked
/// session's access token still works on an instance that missed the revocation.
pub(crate) const SESSION_CACHE: Duration = Duration::from_secs(1);

impl AuthService {
    /// Mails a sign-in code.
    ///
    /// # Errors
    /// Where too many were asked for, or the mail could not be queued; then the code is
    /// withdrawn and another may be asked for at once.
    pub async fn request_code(
        &self,
        address: EmailAddress,
        client: &ClientInfo,
    ) -> Result<CodeSent, AuthError> {
        self.admit(self.policy.login_ip, client).await?;
        let now = self.clock.now();
        let digits = format!("{:06}", uniform(&*self.entropy, 1_000_000));
        let mut id = [0; 16];
        self.entropy.fill(&mut id);
        let key = self.code_key(&address);
        let code = IssuedCode {
            id,
            digest: self.code_digest(&address, &digits),
            issued_at: now,
            expires_at: now + self.policy.code_ttl,
            tries: self.policy.code_tries,
        };
        if let Issue::TooSoon(wait) = self
            .codes
            .issue(key, &code, self.policy.code_resend)
            .await?
        {
            return Err(AuthError::CodeJustSent(wait));
        }
        let job = MailJob {
            version: MAIL_JOB_VERSION,
            id: self.ids.next(),
            to: address,
            content: MailContent::SignInCode {
                code: digits,
                expires_in: u32::try_from(self.policy.code_ttl.as_secs()).unwrap_or(u32::MAX),
            },
            created_at: now,
        };
        if let Err(error) = self.mail.enqueue(&job).await {
            self.codes.withdraw(key, id).await?;
            return Err(AuthError::MailDown(error));
        }
        Ok(CodeSent {
            expires_in: self.policy.code_ttl,
            resend_after: self.policy.code_resend,
        })
    }

    /// Exchanges a code for a session. The first sign-in of an address makes its account.
    ///
    /// # Errors
    /// Where the code is wrong, expired or used, or too many were tried.
    pub async fn verify_code(
        &self,
        address: EmailAddress,
        code: &str,
        client: &ClientInfo,
    ) -> Result<SignedIn, AuthError> {
        let code = code.trim();
        if code.len() != 6 || !code.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Invalid::new("code", "must be six digits").into());
        }
        self.admit(self.policy.verify_ip, client).await?;
        let key = self.code_key(&address);
        let hidden = hex::encode(key.0);
        let decision = self
            .limiter
            .check(self.policy.verify_address, &hidden)
            .await?;
        if let Decision::Denied(wait) = decision {
            return Err(AuthError::TooMany(wait));
        }
        let now = self.clock.now();
        match self
            .codes
            .attempt(key, self.code_digest(&address, code), now)
            .await?
        {
            Attempt::Accepted => {}
            Attempt::Wrong(_) | Attempt::NoCode => return Err(AuthError::WrongCode),
            Attempt::Expired => return Err(AuthError::CodeExpired),
        }
        let candidate = User {
            id: self.ids.next(),
            name: DisplayName::of_address(&address),
            email: address,
            about: None,
            created_at: now,
            last_seen_at: None,
        };
        let (user, is_new_user) = self.users.find_or_create_user(&candidate).await?;
        let session = Session {
            id: self.ids.next(),
            user_id: user.id,
            created_at: now,
            last_used_at: now,
            expires_at: now + self.policy.session_ttl,
            user_agent: client.user_agent.clone(),
            ip_address: client.ip,
        };
        let refresh_token = RefreshToken::generate(session.id, &*self.entropy);
        self.sessions
            .create_session(&session, refresh_token.hash())
            .await?;
        self.sign_in(session, refresh_token, user, is_new_user)
    }

    /// Exchanges a refresh token for fresh tokens. Each is good for one use; using one again
    /// ends its session, since somebody holds a copy.
    ///
    /// # Errors
    /// Where the token is not the session's current one.
    pub async fn refresh(&self, token: &str, client: &ClientInfo) -> Result<SignedIn, AuthError> {
        self.admit(self.policy.refresh_ip, client).await?;
        let presented = RefreshToken::parse(token).ok_or(AuthError::RefreshInvalid)?;
        let replacement = RefreshToken::generate(presented.session_id, &*self.entropy);
        let now = self.clock.now();
        let rotation = self
            .sessions
            .rotate_session(
                presented.session_id,
                presented.hash(),
                replacement.hash(),
                now,
                now + self.policy.session_ttl,
            )
            .await?;
        let session = match rotation {
            Rotation::Rotated(session) => session,
            Rotation::Reused(session) => {
                self.end_session(session.user_id, session.id).await?;
                return Err(AuthError::RefreshReused);
            }
            Rotation::Unknown => return Err(AuthError::RefreshInvalid),
            Rotation::Expired => return Err(AuthError::RefreshExpired),
        };
        let user = self.users.users(&[session.user_id]).await?.pop();
        let user = user.ok_or(AuthError::NoAccount)?;
        self.sign_in(session, replacement, user, false)
    }

    /// Proves an access token and that its session has not been ended.
    ///
    /// # Errors
    /// Where the token is refused or the session has ended.
    pub async fn authenticate(&self, token: &str) -> Result<Viewer, AuthError> {
        let viewer = self.tokens.verify(token, self.clock.now())?;
        if self.is_live(viewer.session_id).await? {
            Ok(viewer)
        } else {
            Err(AuthError::SessionEnded)
        }
    }

    /// Whether the session has not been ended. Known for a second, so that a busy session costs
    /// one look-up a second.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn is_live(&self, session: SessionId) -> Result<bool, PortError> {
        let read = self.is_live_now(session);
        let live = self.live_sessions.try_get_with(session, read).await;
        live.map_err(|error: Arc<PortError>| (*error).clone())
    }

    /// Forgets what is known of a session whose end was heard of, so that its next use looks it up.
    pub async fn forget(&self, session: SessionId) {
        self.live_sessions.invalidate(&session).await;
    }

    /// Whether the session has not been ended, as the store knows it at this moment.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn is_live_now(&self, session: SessionId) -> Result<bool, PortError> {
        Ok(self.sessions.session(session).await?.is_some())
    }

    /// Those of these sessions that have not been ended, as [`Self::is_live_now`].
    pub(crate) async fn live_now(
        &self,
        sessions: &[SessionId],
    ) -> Result<HashSet<SessionId>, PortError> {
        let live = self.sessions.existing_sessions(sessions).await?;
        Ok(live.into_iter().collect())
    }

    /// Ends one of the viewer's sessions, on all instances at once.
    ///
    /// # Errors
    /// Where the viewer has no such session.
    pub async fn revoke(&self, viewer: &Viewer, session: SessionId) -> Result<(), AuthError> {
        if self.end_session(viewer.user_id, session).await? {
            Ok(())
        } else {
            Err(AuthError::NoSession)
        }
    }

    /// The viewer's live sessions, last used first.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn sessions(
        &self,
        viewer: &Viewer,
        window: &Window<SessionCursor>,
    ) -> Result<Page<Session>, PortError> {
        let now = self.clock.now();
        self.sessions.sessions_of(viewer.user_id, now, window).await
    }

    /// Those of these sessions that are live and the viewer's own.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn visible(
        &self,
        viewer: &Viewer,
        sessions: &[SessionId],
    ) -> Result<Vec<Session>, PortError> {
        let now = self.clock.now();
        let mut found = self.sessions.sessions(sessions).await?;
        found.retain(|session| session.user_id == viewer.user_id && session.expires_at > now);
        Ok(found)
    }

    async fn end_session(&self, user: UserId, session: SessionId) -> Result<bool, PortError> {
        let ended = self.sessions.delete_session(session, user).await?;
        self.forget(session).await;
        Ok(ended)
    }

    fn sign_in(
        &self,
        session: Session,
        refresh_token: RefreshToken,
        user: User,
        is_new_user: bool,
    ) -> Result<SignedIn, AuthError> {
        let now = self.clock.now();
        let expires_at = (now + self.policy.access_token_ttl).min(session.expires_at);
        let viewer = Viewer {
            user_id: user.id,
            session_id: session.id,
            expires_at,
        };
        let access_token = self.tokens.issue(&viewer, now)?;
        Ok(SignedIn {
            access_token,
            expires_at,
            refresh_token,
            session,
            user,
            is_new_user,
        })
    }

    async fn admit(&self, rule: Rule, client: &ClientInfo) -> Result<(), AuthError> {
        let Some(ip) = client.ip else { return Ok(()) };
        match self.limiter.check(rule, &network(ip)).await? {
            Decision::Allowed => Ok(()),
            Decision::Denied(wait) => Err(AuthError::TooMany(wait)),
        }
    }

    fn code_key(&self, address: &EmailAddress) -> CodeKey {
        CodeKey(self.hash.of(&[b"address", address.as_str().as_bytes()]))
    }

    fn code_digest(&self, address: &EmailAddress, code: &str) -> CodeDigest {
        CodeDigest(
            self.hash
                .of(&[b"code", address.as_str().as_bytes(), code.as_bytes()]),
        )
    }
}

/// What counts as one place: an IPv4 address, or the /64 network of an IPv6 address.
fn network(ip: std::net::IpAddr) -> String {
    match ip.to_canonical() {
        std::net::IpAddr::V4(ip) => ip.to_string(),
        std::net::IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}
