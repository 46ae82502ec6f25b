//! The account itself.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::value::RawValue;

use super::entry::{ArchivePart, ExportError, Out};
use super::lines::kept;
use crate::users::model::About;
use crate::users::store::UserStore;
use crate::viewer::Viewer;

/// `profile.json`.
pub(crate) struct OwnProfile {
    /// The users.
    pub(crate) users: Arc<dyn UserStore>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProfileFile<'a> {
    id: String,
    email: &'a str,
    name: &'a str,
    about: Option<&'a str>,
    metadata: Option<Box<RawValue>>,
    /// Among the user's own attachments.
    avatar_id: Option<String>,
    created_at: String,
    last_seen_at: Option<String>,
}

#[async_trait]
impl ArchivePart for OwnProfile {
    fn name(&self) -> &'static str {
        "profile"
    }

    async fn write(&self, viewer: &Viewer, out: &mut Out) -> Result<(), ExportError> {
        let found = self.users.users(&[viewer.user_id]).await?.pop();
        let user = found.ok_or(ExportError::NoAccount)?;
        let file = ProfileFile {
            id: user.id.to_string(),
            email: user.email.as_str(),
            name: user.name.as_str(),
            about: user.about.as_ref().map(About::as_str),
            metadata: kept(user.metadata.as_ref()),
            avatar_id: user.avatar_id.map(|id| id.to_string()),
            created_at: user.created_at.to_string(),
            last_seen_at: user.last_seen_at.map(|at| at.to_string()),
        };
        out.json("profile.json", &file).await
    }
}
