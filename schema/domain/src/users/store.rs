//! The port through which users are kept.

use super::model::{ProfileChange, User};
use crate::clock::Timestamp;
use crate::cursor::UserCursor;
use crate::error::PortError;
use crate::id::UserId;
use crate::mail::EmailAddress;
use crate::page::{Page, Window};
use crate::port::port;

/// How many memberships [`UserStore::known_users_by_name`] looks at at most.
pub const MAX_KNOWN: u32 = 10_000;

port! {
    /// Keeps users. Each method is atomic on its own.
    pub trait UserStore as "users" with UserStoreLayer {
        /// The users that exist among these, in any order.
        async fn users(&self, ids: &[UserId]) -> Result<Vec<User>, PortError>;

        /// The user of `candidate.email`, made from `candidate` where there is none. True when made.
        /// Concurrent calls for one address make one user.
        async fn find_or_create_user(&self, candidate: &User) -> Result<(User, bool), PortError>;

        /// The user of an address; `None` where there is none.
        async fn user_of_email(&self, email: &EmailAddress) -> Result<Option<User>, PortError>;

        /// Changes a profile; `None` where there is no such user, or the account is deleted.
        async fn update_profile(
            &self,
            id: UserId,
            change: &ProfileChange,
        ) -> Result<Option<User>, PortError>;

        /// Users other than `viewer` whose name starts with `prefix`, both folded
        /// ([`fold_key`](crate::search::fold_key)), ordered by folded name, then id. Whom `viewer` has
        /// blocked and who has blocked them is left out, and so are deleted accounts. Forward windows only.
        async fn users_by_name(
            &self,
            prefix: &str,
            viewer: UserId,
            window: &Window<UserCursor>,
        ) -> Result<Page<User>, PortError>;

        /// The same, of those who share a chat with `viewer` now. It looks at no more than
        /// [`MAX_KNOWN`] memberships of other users, in the order of the chats' ids: whoever is in
        /// chats with more finds some of them only.
        async fn known_users_by_name(
            &self,
            prefix: &str,
            viewer: UserId,
            window: &Window<UserCursor>,
        ) -> Result<Page<User>, PortError>;

        /// Folds the names of the next `most` users behind `after`, by id, which earlier releases have
        /// kept in lower case alone; a deleted account has none to find it by. The id of the last that
        /// was looked at; `None` where there are no more. Harmless twice.
        async fn fold_names(
            &self,
            after: Option<UserId>,
            most: usize,
        ) -> Result<Option<UserId>, PortError>;

        /// Records when users were last seen. It never goes back. Deleted accounts are left out.
        async fn set_last_seen(&self, users: &[UserId], at: Timestamp) -> Result<(), PortError>;

        /// Marks an account as deleted at `at`, and empties its profile: the name is
        /// [`DisplayName::of_deleted`](super::model::DisplayName::of_deleted), the address is free for
        /// somebody new at once, nothing else is left. False where there is no such user, or the account
        /// is deleted already. The store writes the job that erases the rest with it
        /// ([`Task::EraseAccount`](crate::jobs::model::Task::EraseAccount)).
        async fn delete_user(&self, id: UserId, at: Timestamp) -> Result<bool, PortError>;

        /// Has what was erased so far leave the store's own files, such as a log of changes, as far as
        /// that is in the store's hand: soon, where somebody reads there still.
        async fn flush_erased(&self) -> Result<(), PortError>;
    }
}
