//! Keeping sessions. How one begins stands in `sign_in`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use secrecy::SecretString;

use super::challenge::DeviceToken;
use super::codes::CodeStore;
use super::error::AuthError;
use super::model::{RefreshToken, Session, SessionLife, TokenSalt};
use super::places::addresses;
use super::sign_up::SignUp;
use super::store::{Exchange, Rotation, SessionStore};
use super::tokens::AccessTokens;
use crate::clock::{Clock, Entropy, Timestamp};
use crate::cursor::SessionCursor;
use crate::error::PortError;
use crate::id::{IdGenerator, SessionId, UserId};
use crate::keyed_hash::KeyedHash;
use crate::limits::{Decision, RateLimiter, Rule};
use crate::mail::MailQueue;
use crate::moderation::store::ModerationStore;
use crate::page::{Page, Window};
use crate::users::model::User;
use crate::users::store::UserStore;
use crate::viewer::{ClientInfo, Viewer};

/// The rules of signing in.
#[derive(Clone, Debug)]
pub struct AuthPolicy {
    /// Whose first sign-in makes an account.
    pub sign_up: SignUp,
    /// How long an access token is valid.
    pub access_token_ttl: Duration,
    /// How long a session lasts.
    pub session_life: SessionLife,
    /// How long a code is valid.
    pub code_ttl: Duration,
    /// How many wrong codes one code survives.
    pub code_tries: u8,
    /// How long to wait between two codes for one address.
    pub code_resend: Duration,
    /// From how many wrong codes in an hour on, for all addresses together, codes are longer.
    pub wrong_code_alarm: u32,
    /// Codes asked for from one IP address.
    pub login_ip: Rule,
    /// Codes asked for, for one mailbox from one network.
    pub login_network: Rule,
    /// Codes asked for, for one mailbox from everywhere but devices that have signed in before.
    pub login_address: Rule,
    /// Codes asked for from one device that has signed in before.
    pub login_device: Rule,
    /// Codes presented from one IP address for challenges that are not open.
    pub verify_ip: Rule,
    /// Refresh tokens presented from one IP address that this server has not made; and, under a key of
    /// its own, refreshes of one session with those that it has.
    pub refresh_ip: Rule,
    /// Other sessions ended from one session, so that whoever has stolen one cannot use up what
    /// the user needs to end it.
    pub revoke: Rule,
}

/// A session with fresh tokens.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// For `login` on this device, later.
    pub device_token: SecretString,
    /// The JWT for `Authorization: Bearer`.
    pub access_token: String,
    /// When it expires.
    pub expires_at: Timestamp,
    /// For `refreshSession`; it replaces the one before.
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
    pub(crate) moderation: Arc<dyn ModerationStore>,
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
    /// Whose sessions were live a moment ago.
    pub(crate) live_sessions: Cache<SessionId, Option<UserId>>,
}

/// For how long a session that was found live is not looked up again: the longest a revoked
/// session's access token still works on an instance that missed the revocation.
pub(crate) const SESSION_CACHE: Duration = Duration::from_secs(1);

impl AuthService {
    /// Exchanges a refresh token for fresh tokens. Each is good for one use; using one again
    /// ends its session, since somebody holds a copy. For a short while, and until its successor is
    /// used, it is answered with the same one again: the answer may have been lost, or two tabs
    /// share the token. Over a connection that the session has opened, the connection is renewed.
    ///
    /// # Errors
    /// Where the token is not the session's current one, or the session has ended, and where the account
    /// is suspended, though its sessions end with that.
    pub async fn refresh(&self, token: &str, client: &ClientInfo) -> Result<SignedIn, AuthError> {
        let presented = RefreshToken::parse(token);
        self.admit_refresh(presented.as_ref(), client).await?;
        let presented = presented.ok_or(AuthError::RefreshInvalid)?;
        let salt = TokenSalt::generate(&*self.entropy);
        let replacement = presented.successor(&salt, &self.hash);
        let exchange = Exchange {
            session_id: presented.session_id,
            presented: presented.hash(),
            generation: presented.generation,
            is_sealed: presented.is_sealed(&self.hash),
            replacement: replacement.hash(),
            salt,
            now: self.clock.now(),
            life: self.policy.session_life,
        };
        let (session, replacement) = match self.sessions.rotate_session(&exchange).await? {
            Rotation::Rotated(session) => (session, replacement),
            Rotation::Repeated(session, salt) => (session, presented.successor(&salt, &self.hash)),
            Rotation::Reused(session) => {
                self.end_session(session.user_id, session.id).await?;
                return Err(AuthError::RefreshReused);
            }
            Rotation::Unknown => return Err(AuthError::RefreshInvalid),
            Rotation::Expired => return Err(AuthError::RefreshExpired),
            Rotation::Outlived => return Err(AuthError::RefreshOutlived),
        };
        self.refuse_suspended(&session).await?;
        let user = self.users.users(&[session.user_id]).await?.pop();
        let user = user.ok_or(AuthError::NoAccount)?;
        let signed_in = self.signed_in(session, replacement, user, false)?;
        if let Some(renewal) = &client.renewal {
            renewal.renew(signed_in.session.id, signed_in.expires_at);
        }
        Ok(signed_in)
    }

    /// Counts a refresh. A token with this server's seal counts for its session, so that strangers at the
    /// same address, who have none of it, keep nobody there from refreshing.
    async fn admit_refresh(
        &self,
        presented: Option<&RefreshToken>,
        client: &ClientInfo,
    ) -> Result<(), AuthError> {
        let rule = self.policy.refresh_ip;
        let Some(token) = presented.filter(|token| token.is_sealed(&self.hash)) else {
            return self.admit(rule, client).await;
        };
        let rule = Rule {
            name: "refresh-session",
            ..rule
        };
        match self
            .limiter
            .check(rule, &token.session_id.to_string())
            .await?
        {
            Decision::Allowed => Ok(()),
            Decision::Denied(wait) => Err(AuthError::TooMany(wait)),
        }
    }

    /// Proves an access token, and that its session is the user's and has not been ended.
    ///
    /// # Errors
    /// Where the token is refused or the session has ended.
    pub async fn authenticate(&self, token: &str) -> Result<Viewer, AuthError> {
        let viewer = self.tokens.verify(token, self.clock.now()).await?;
        if self.owner(viewer.session_id).await? == Some(viewer.user_id) {
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
        Ok(self.owner(session).await?.is_some())
    }

    /// Whose the session is, while it has not been ended, as [`Self::is_live`].
    async fn owner(&self, session: SessionId) -> Result<Option<UserId>, PortError> {
        let read = async {
            let session = self.sessions.session(session).await?;
            Ok::<_, PortError>(session.map(|session| session.user_id))
        };
        let owner = self.live_sessions.try_get_with(session, read).await;
        owner.map_err(|error: Arc<PortError>| (*error).clone())
    }

    /// Forgets what is known of a session whose end was heard of, so that its next use looks it up.
    pub async fn forget(&self, session: SessionId) {
        self.live_sessions.invalidate(&session).await;
    }

    /// Those of these sessions that have not been ended, as the store knows it at this moment.
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
    /// Where the viewer has no such session, or has tried to end too many. The present one can
    /// always be ended: there is one for each sign-in.
    pub async fn revoke(&self, viewer: &Viewer, session: SessionId) -> Result<(), AuthError> {
        if session != viewer.session_id {
            let key = viewer.session_id.to_string();
            if let Decision::Denied(wait) = self.limiter.check(self.policy.revoke, &key).await? {
                return Err(AuthError::TooMany(wait));
            }
        }
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

    /// Ends the session where its user is suspended. Whoever suspends a user ends their sessions behind
    /// that; so one that is made ahead of this question either is ended there or finds the suspension.
    pub(super) async fn refuse_suspended(&self, session: &Session) -> Result<(), AuthError> {
        let (user, now) = (session.user_id, self.clock.now());
        let mut found = self.moderation.suspensions(&[user]).await?.into_iter();
        match found.find(|suspension| suspension.is_active(now)) {
            Some(suspension) => {
                self.end_session(user, session.id).await?;
                Err(AuthError::Suspended(suspension.until))
            }
            None => Ok(()),
        }
    }

    /// Ends all of a user's sessions.
    pub(crate) async fn end_sessions_of(&self, user: UserId) -> Result<(), PortError> {
        const STEP: usize = 100;
        while self.sessions.end_sessions_of(user, STEP).await? >= STEP {}
        Ok(())
    }

    async fn end_session(&self, user: UserId, session: SessionId) -> Result<bool, PortError> {
        let ended = self.sessions.delete_session(session, user).await?;
        self.forget(session).await;
        Ok(ended)
    }

    pub(super) fn signed_in(
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
            device_token: DeviceToken::seal(session.id, &user.email, &self.hash),
            access_token,
            expires_at,
            refresh_token,
            session,
            user,
            is_new_user,
        })
    }

    /// Counts a request from the client's network.
    pub(super) async fn admit(&self, rule: Rule, client: &ClientInfo) -> Result<(), AuthError> {
        for place in client.ip.map(addresses).unwrap_or_default() {
            match self.limiter.check(place.rule(rule), &place.name).await? {
                Decision::Allowed => {}
                Decision::Denied(wait) => return Err(AuthError::TooMany(wait)),
            }
        }
        Ok(())
    }
}
