//! Loads users.

use std::collections::HashMap;
use std::sync::Arc;

use talksy_domain::error::PortError;
use talksy_domain::id::UserId;
use talksy_domain::users::User;

use crate::loaders::{Loader, LoaderContext, by_key};

impl Loader<UserId> for LoaderContext {
    type Value = Arc<User>;

    async fn load(&self, keys: &[UserId]) -> Result<HashMap<UserId, Arc<User>>, PortError> {
        Ok(by_key(
            self.services
                .users
                .referenced(keys)
                .await?
                .into_iter()
                .map(Arc::new),
            |user| user.id,
        ))
    }
}
