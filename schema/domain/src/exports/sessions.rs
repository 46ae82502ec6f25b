//! Where the user is signed in. What proves a session, or refreshes it, is no part of it.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;

use super::entry::{ArchivePart, ExportError, Out};
use super::lines::Lines;
use crate::auth::store::SessionStore;
use crate::clock::Clock;
use crate::cursor::SessionCursor;
use crate::page::{MAX_PAGE, Window};
use crate::viewer::Viewer;

/// `sessions/….jsonl`: the live sessions, last used first.
pub(crate) struct OwnSessions {
    /// The sessions.
    pub(crate) sessions: Arc<dyn SessionStore>,
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SessionLine<'a> {
    id: String,
    created_at: String,
    last_used_at: String,
    expires_at: String,
    user_agent: Option<&'a str>,
    ip_address: Option<String>,
    is_current: bool,
}

#[async_trait]
impl ArchivePart for OwnSessions {
    fn name(&self) -> &'static str {
        "sessions"
    }

    async fn write(&self, viewer: &Viewer, out: &mut Out) -> Result<(), ExportError> {
        let now = self.clock.now();
        let mut lines = Lines::new("sessions");
        let mut after = None;
        loop {
            let window = Window {
                after,
                before: None,
                limit: MAX_PAGE,
                from_end: false,
            };
            let page = self.sessions.sessions_of(viewer.user_id, now, &window);
            let page = page.await?;
            for session in &page.items {
                let line = SessionLine {
                    id: session.id.to_string(),
                    created_at: session.created_at.to_string(),
                    last_used_at: session.last_used_at.to_string(),
                    expires_at: session.expires_at.to_string(),
                    user_agent: session.user_agent.as_deref(),
                    ip_address: session.ip_address.map(|ip| ip.to_string()),
                    is_current: session.id == viewer.session_id,
                };
                lines.push(out, &line).await?;
                out.count("sessions", 1);
            }
            after = page.items.last().map(|last| SessionCursor {
                last_used_at: last.last_used_at,
                session_id: last.id,
            });
            if !page.has_next || after.is_none() {
                return lines.finish(out).await;
            }
        }
    }
}
