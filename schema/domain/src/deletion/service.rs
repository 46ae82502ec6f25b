//! Who may delete an account: whoever is signed in to it and reads the mail of its address.

use std::sync::Arc;

use crate::auth::challenge::Purpose;
use crate::auth::error::AuthError;
use crate::auth::service::AuthService;
use crate::auth::sign_in::CodeSent;
use crate::id::UserId;
use crate::jobs::runner::JobRunner;
use crate::limits::{Quota, Rule};
use crate::mail::MailContent;
use crate::users::model::User;
use crate::users::service::UserService;
use crate::users::store::UserStore;
use crate::viewer::{ClientInfo, Viewer};

/// Deletes accounts.
pub struct DeletionService {
    /// The accounts.
    pub(crate) store: Arc<dyn UserStore>,
    /// Mails and takes codes.
    pub(crate) auth: Arc<AuthService>,
    /// Knows of changed profiles.
    pub(crate) users: Arc<UserService>,
    /// Erases what is left.
    pub(crate) jobs: JobRunner,
    /// How often a user may ask for a code.
    pub(crate) rule: Rule,
}

impl DeletionService {
    /// Mails a code to delete the viewer's account with, to its address. The code and its challenge are
    /// good for that alone; one for signing in deletes nothing.
    ///
    /// # Errors
    /// Where too many were asked for, the account is gone, or the mail could not be queued; then the
    /// code is withdrawn and another may be asked for at once.
    pub async fn request(&self, viewer: &Viewer) -> Result<CodeSent, AuthError> {
        let user = self.account(viewer).await?;
        let key = viewer.user_id.to_string();
        let resend = Rule {
            name: "delete-account-resend",
            quota: Quota {
                burst: 1,
                period: self.auth.policy.code_resend,
            },
        };
        let rules = vec![(resend, key.clone()), (self.rule, key)];
        let counted = self.auth.count_all(rules, resend.name).await?;
        let purpose = Purpose::Deletion(viewer.user_id);
        let letter = |code, expires_in| MailContent::AccountDeletionCode { code, expires_in };
        let sent = self.auth.send_code(purpose, user.email, letter).await;
        if sent.is_err() {
            self.auth.give_back(&counted).await;
        }
        sent
    }

    /// Deletes the viewer's account. When it returns, the account is marked as deleted, durably: its
    /// sessions have ended or end within a second, its address is free, and what is left is erased
    /// soon, also where the server dies now.
    ///
    /// # Errors
    /// Where the code is wrong, expired or used, was tried too often, the challenge is none of the
    /// viewer's for this, or the account is gone.
    pub async fn delete(
        &self,
        viewer: &Viewer,
        challenge: &str,
        code: &str,
        client: &ClientInfo,
    ) -> Result<UserId, AuthError> {
        let user = self.account(viewer).await?;
        let purpose = Purpose::Deletion(user.id);
        let address = self.auth.present(purpose, challenge, code, client).await?;
        if address != user.email {
            // It was sent to an address that is no longer the account's.
            return Err(AuthError::CodeExpired);
        }
        let deleted = self.store.delete_user(user.id, self.auth.clock.now()).await;
        // Also where it is not known whether it was.
        self.users.note_changed_profile();
        if !deleted? {
            return Err(AuthError::NoAccount);
        }
        // The job does these too, where they fail here.
        if let Err(error) = self.auth.end_sessions_of(user.id).await {
            tracing::debug!(%error, "the job will end the sessions of a deleted account");
        }
        self.auth.forget(viewer.session_id).await;
        if let Err(error) = self.auth.forget_address(&address).await {
            tracing::debug!(%error, "what is counted of a deleted account's address expires by itself");
        }
        self.jobs.wake();
        Ok(user.id)
    }

    /// The viewer's account, which is not deleted.
    async fn account(&self, viewer: &Viewer) -> Result<User, AuthError> {
        let found = self.store.users(&[viewer.user_id]).await?.pop();
        found
            .filter(|user| !user.is_deleted())
            .ok_or(AuthError::NoAccount)
    }
}
