//! Loads users.

use std::collections::HashMap;

use async_graphql::dataloader::Loader;
use talksy_domain::error::PortError;
use talksy_domain::id::UserId;
use talksy_domain::users::User;

use crate::loaders::{LoaderContext, by_key};

impl Loader<UserId> for LoaderContext {
    type Value = User;
    type Error = PortError;

    async fn load(&self, keys: &[UserId]) -> Result<HashMap<UserId, User>, PortError> {
        Ok(by_key(
            self.services.users.referenced(keys).await?,
            |user| user.id,
        ))
    }
}
