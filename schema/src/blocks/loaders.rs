//! Loads whether the viewer has blocked users.

use std::collections::HashMap;

use talksy_domain::error::PortError;
use talksy_domain::id::UserId;

use crate::loaders::{Loader, LoaderContext};

/// Whether the viewer has blocked a user; nothing where they have not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockOf(pub UserId);

impl Loader<BlockOf> for LoaderContext {
    type Value = ();

    async fn load(&self, keys: &[BlockOf]) -> Result<HashMap<BlockOf, ()>, PortError> {
        let Some(viewer) = self.viewer() else {
            return Ok(HashMap::new());
        };
        let asked: Vec<_> = keys.iter().map(|key| key.0).collect();
        let blocked = self.services.blocks.among(viewer, &asked).await?;
        Ok(blocked
            .into_iter()
            .map(|user| (BlockOf(user), ()))
            .collect())
    }
}
