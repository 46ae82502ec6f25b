//! Loads the presence of users.

use std::collections::HashMap;

use talksy_domain::error::PortError;
use talksy_domain::id::UserId;
use talksy_domain::presence::Presence;

use crate::loaders::{Loader, LoaderContext, by_key};

/// The presence of a user, where the viewer may see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PresenceOf(pub UserId);

impl Loader<PresenceOf> for LoaderContext {
    type Value = Presence;

    async fn load(&self, keys: &[PresenceOf]) -> Result<HashMap<PresenceOf, Presence>, PortError> {
        let Some(viewer) = self.viewer() else {
            return Ok(HashMap::new());
        };
        let asked: Vec<_> = keys.iter().map(|key| key.0).collect();
        let shown = self.services.access.acquainted(viewer, &asked).await?;
        let states = self.services.presence.states(&shown).await?;
        Ok(by_key(states, |presence| PresenceOf(presence.user_id)))
    }
}
