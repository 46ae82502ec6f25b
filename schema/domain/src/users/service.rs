//! Finding people, and the viewer's own profile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::model::{ProfileChange, User};
use super::store::UserStore;
use crate::cursor::UserCursor;
use crate::error::service_error;
use crate::error::{ApiError, ErrorCode, Invalid, PortError};
use crate::id::UserId;
use crate::page::{Page, Window};
use crate::text::check_search;
use crate::viewer::Viewer;

/// Why a user was refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UserError {
    /// An argument breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The viewer's account is gone.
    #[error("The account no longer exists.")]
    NoAccount,
    /// A port failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl UserError {
    fn api_error(&self) -> ApiError {
        match self {
            Self::Invalid(invalid) => invalid.into(),
            Self::NoAccount => ApiError::new(ErrorCode::Unauthenticated, self.to_string()),
            Self::Port(error) => error.into(),
        }
    }
}

service_error!(UserError);

/// Rules of users.
pub struct UserService {
    /// The users.
    store: Arc<dyn UserStore>,
    /// How many profiles were changed, or may have been.
    changed: AtomicU64,
}

impl UserService {
    /// Over this store.
    pub(crate) fn new(store: Arc<dyn UserStore>) -> Self {
        Self {
            store,
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

    /// The other users, by name; with `search` those whose name starts with it.
    ///
    /// # Errors
    /// Where `search` is too long.
    pub async fn search(
        &self,
        viewer: &Viewer,
        search: Option<&str>,
        window: &Window<UserCursor>,
    ) -> Result<Page<User>, UserError> {
        let prefix = search.map(str::trim).unwrap_or_default();
        check_search(Some(prefix))?;
        Ok(self
            .store
            .users_by_name(prefix, viewer.user_id, window)
            .await?)
    }

    /// Changes the viewer's profile, and tells their other devices.
    ///
    /// # Errors
    /// Where the account is gone.
    pub async fn update_profile(
        &self,
        viewer: &Viewer,
        change: &ProfileChange,
    ) -> Result<User, UserError> {
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
