//! Who may have an archive, and what stands at its beginning and its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt as _;
use serde::Serialize;

use super::entry::{ArchivePart, Entries, ExportError, Out, entries};
use crate::auth::store::SessionStore;
use crate::clock::Clock;
use crate::limits::{Decision, RateLimiter, Rule};
use crate::users::store::UserStore;
use crate::viewer::Viewer;

/// The form of archives. It rises where who reads one has to know; a further part or field is no such
/// reason.
pub const FORMAT_VERSION: u32 = 1;

/// Makes archives.
pub struct ExportService {
    /// What an archive has, in this order.
    pub(crate) parts: Vec<Box<dyn ArchivePart>>,
    /// The users.
    pub(crate) users: Arc<dyn UserStore>,
    /// Their sessions.
    pub(crate) sessions: Arc<dyn SessionStore>,
    /// Holds back who asks too often.
    pub(crate) limiter: Arc<dyn RateLimiter>,
    /// How often one may ask.
    pub(crate) rule: Rule,
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
}

/// `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    format: &'static str,
    version: u32,
    created_at: String,
    user_id: String,
    parts: Vec<&'static str>,
}

/// `complete.json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Complete<'a> {
    completed_at: String,
    /// How many entries stand ahead of it.
    entries: u64,
    counts: &'a BTreeMap<&'static str, u64>,
}

impl ExportService {
    /// Begins the archive of all that is the viewer's own. It is written as it is taken, and has what
    /// each of its parts is at that time.
    ///
    /// The stream ends with an error, and without `complete.json`, where a store fails, or the viewer
    /// is signed out meanwhile; whoever sends it ends it as soon as they hear of that.
    ///
    /// # Errors
    /// Where the viewer has had too many, the account is gone, or a store fails.
    pub async fn begin(self: &Arc<Self>, viewer: &Viewer) -> Result<Entries, ExportError> {
        let user = viewer.user_id.to_string();
        if let Decision::Denied(wait) = self.limiter.check(self.rule, &user).await? {
            return Err(ExportError::TooFast(wait));
        }
        // An archive that cannot be begun is refused, and not broken off.
        let found = match self.users.users(&[viewer.user_id]).await {
            Ok(found) => found,
            Err(error) => {
                self.limiter.give_back(self.rule, &user).await?;
                return Err(error.into());
            }
        };
        if found.is_empty() {
            return Err(ExportError::NoAccount);
        }
        let (this, viewer) = (Arc::clone(self), *viewer);
        Ok(entries(move |out| {
            async move { this.write(&viewer, out).await }.boxed()
        }))
    }

    async fn write(&self, viewer: &Viewer, mut out: Out) -> Result<(), ExportError> {
        let manifest = Manifest {
            format: "talksy-export",
            version: FORMAT_VERSION,
            created_at: self.clock.now().to_string(),
            user_id: viewer.user_id.to_string(),
            parts: self.parts.iter().map(|part| part.name()).collect(),
        };
        out.json("manifest.json", &manifest).await?;
        for part in &self.parts {
            part.write(viewer, &mut out).await?;
        }
        // Whoever was signed out is not told that this is all.
        let session = viewer.session_id;
        if self
            .sessions
            .existing_sessions(&[session])
            .await?
            .is_empty()
        {
            return Err(ExportError::SessionEnded);
        }
        let complete = Complete {
            completed_at: self.clock.now().to_string(),
            entries: out.written(),
            counts: &out.counts().clone(),
        };
        out.json("complete.json", &complete).await
    }
}
