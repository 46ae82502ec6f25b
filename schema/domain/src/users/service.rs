//! Finding people, and the viewer's own profile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::model::{Directory, ProfileChange, User};
use super::store::UserStore;
use crate::access::Access;
use crate::attachments::error::AttachmentError;
use crate::attachments::model::UsedBy;
use crate::attachments::service::AttachmentService;
use crate::cursor::UserCursor;
use crate::error::service_error;
use crate::error::{ApiError, ErrorCode, Invalid, PortError};
use crate::id::UserId;
use crate::limits::{Decision, RateLimiter, Rule};
use crate::mail::EmailAddress;
use crate::page::{Page, Window};
use crate::search::limit::SearchLimit;
use crate::text::check_search;
use crate::viewer::{ClientInfo, Viewer};

/// Why a user was refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UserError {
    /// An argument breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The viewer's account is gone.
    #[error("The account no longer exists.")]
    NoAccount,
    /// Too many changes of the profile.
    #[error("You change your profile too quickly. Wait a little.")]
    TooFast(Duration),
    /// Too many addresses were looked up.
    #[error("You look up addresses too quickly. Wait a little.")]
    TooManyAddresses(Duration),
    /// Too many searches.
    #[error("You search too often. Wait a little.")]
    TooManySearches(Duration),
    /// The picture was refused.
    #[error(transparent)]
    Avatar(#[from] AttachmentError),
    /// A port failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl UserError {
    fn api_error(&self) -> ApiError {
        match self {
            Self::Invalid(invalid) => invalid.into(),
            Self::NoAccount => ApiError::new(ErrorCode::Unauthenticated, self.to_string()),
            Self::TooFast(wait) | Self::TooManyAddresses(wait) | Self::TooManySearches(wait) => {
                ApiError::new(ErrorCode::RateLimited, self.to_string()).retry_after(*wait)
            }
            Self::Avatar(error) => error.clone().into(),
            Self::Port(error) => error.into(),
        }
    }
}

service_error!(UserError);

/// Whom users find, and how quickly they may do what.
#[derive(Clone, Copy, Debug)]
pub struct UserPolicy {
    /// Whom the directory shows.
    pub directory: Directory,
    /// Changes of the profile, a user.
    pub update_profile: Rule,
    /// Exact addresses looked up, a user.
    pub find_address: Rule,
}

/// Rules of users.
pub struct UserService {
    /// The users.
    store: Arc<dyn UserStore>,
    /// Holds back who is too quick.
    limiter: Arc<dyn RateLimiter>,
    /// Who may see whom.
    access: Arc<Access>,
    /// The pictures.
    attachments: Arc<AttachmentService>,
    /// Holds back who searches too often.
    search_limit: Arc<SearchLimit>,
    policy: UserPolicy,
    /// How many profiles were changed, or may have been.
    changed: AtomicU64,
}

impl UserService {
    /// Over this store.
    pub(crate) fn new(
        store: Arc<dyn UserStore>,
        limiter: Arc<dyn RateLimiter>,
        access: Arc<Access>,
        attachments: Arc<AttachmentService>,
        search_limit: Arc<SearchLimit>,
        policy: UserPolicy,
    ) -> Self {
        Self {
            store,
            limiter,
            access,
            attachments,
            search_limit,
            policy,
            changed: AtomicU64::new(0),
        }
    }

    /// How many profiles were changed, as far as this process knows: whoever keeps users for a moment
    /// keeps them no longer than this number stays.
    pub fn changed_profiles(&self) -> u64 {
        self.changed.load(Ordering::Acquire)
    }

    /// A viewer is told of a profile that was changed, maybe by another instance.
    pub fn note_changed_profile(&self) {
        self.changed.fetch_add(1, Ordering::Release);
    }

    /// The viewer's account.
    ///
    /// # Errors
    /// Where it is gone.
    pub async fn me(&self, viewer: &Viewer) -> Result<User, UserError> {
        self.user(viewer.user_id).await
    }

    /// The other users whom the directory shows, by name; with `search` those whose name starts with
    /// it. Whom the viewer has blocked and who has blocked the viewer is left out. A search that is an address finds the user of that address and nobody else, whomever
    /// the directory shows: a name that looks like an address is found by less than all of it.
    ///
    /// # Errors
    /// Where `search` is too long, or the viewer searches too often or looks up addresses too quickly.
    pub async fn search(
        &self,
        viewer: &Viewer,
        client: &ClientInfo,
        search: Option<&str>,
        window: &Window<UserCursor>,
    ) -> Result<Page<User>, UserError> {
        let prefix = search.map(str::trim).unwrap_or_default();
        check_search(Some(prefix))?;
        if !prefix.is_empty()
            && let Some(wait) = self.search_limit.admit(viewer, client).await?
        {
            return Err(UserError::TooManySearches(wait));
        }
        if let Ok(address) = EmailAddress::parse(prefix) {
            return self.of_address(viewer, &address, window).await;
        }
        let (store, viewer) = (&self.store, viewer.user_id);
        Ok(match self.policy.directory {
            Directory::Everyone => store.users_by_name(prefix, viewer, window).await?,
            Directory::SharedChats => store.known_users_by_name(prefix, viewer, window).await?,
            Directory::Off => Page::from_overread(Vec::new(), window),
        })
    }

    /// The user of an address as a page, of which others are empty.
    async fn of_address(
        &self,
        viewer: &Viewer,
        address: &EmailAddress,
        window: &Window<UserCursor>,
    ) -> Result<Page<User>, UserError> {
        if let Some(wait) = self.admit(viewer, self.policy.find_address).await? {
            return Err(UserError::TooManyAddresses(wait));
        }
        let found = self.store.user_of_email(address).await?;
        let is_shown = |user: &User| {
            let place = (user.name.sort_key(), user.id);
            let is_behind =
                |after: &UserCursor| (&after.name_key, after.user_id) < (&place.0, place.1);
            user.id != viewer.user_id && window.after.as_ref().is_none_or(is_behind)
        };
        let mut found: Vec<User> = found.into_iter().filter(is_shown).collect();
        let ids: Vec<_> = found.iter().map(|user| user.id).collect();
        let blocked = self.access.blocked(viewer.user_id, &ids).await?;
        found.retain(|user| !blocked.contains(&user.id));
        Ok(Page::from_overread(found, window))
    }

    /// Counts what the viewer does under the rule, or says how long to wait.
    async fn admit(&self, viewer: &Viewer, rule: Rule) -> Result<Option<Duration>, PortError> {
        let key = viewer.user_id.to_string();
        Ok(match self.limiter.check(rule, &key).await? {
            Decision::Allowed => None,
            Decision::Denied(wait) => Some(wait),
        })
    }

    /// Changes the viewer's profile, and tells their other devices.
    ///
    /// # Errors
    /// Where the account is gone, the picture is not an image of the viewer or is used, or the viewer
    /// changes their profile too quickly.
    pub async fn update_profile(
        &self,
        viewer: &Viewer,
        change: &ProfileChange,
    ) -> Result<User, UserError> {
        if let Some(wait) = self.admit(viewer, self.policy.update_profile).await? {
            return Err(UserError::TooFast(wait));
        }
        if let Some(wanted) = change.avatar {
            let present = self.user(viewer.user_id).await?.avatar_id;
            let by = UsedBy::User(viewer.user_id);
            let claim = self.attachments.claim_picture(viewer, wanted, present, by);
            claim.await?;
        }
        let user = self.store.update_profile(viewer.user_id, change).await;
        // Ahead of the answer, and also where it is not known whether it was changed.
        self.note_changed_profile();
        user?.ok_or(UserError::NoAccount)
    }

    async fn user(&self, id: UserId) -> Result<User, UserError> {
        self.store
            .users(&[id])
            .await?
            .pop()
            .filter(|user| !user.is_deleted())
            .ok_or(UserError::NoAccount)
    }

    /// These users, for what refers to them.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn referenced(&self, users: &[UserId]) -> Result<Vec<User>, PortError> {
        self.store.users(users).await
    }
}
