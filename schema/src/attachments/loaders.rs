//! Loads attachments.

use std::collections::HashMap;
use std::sync::Arc;

use talksy_domain::attachments::Attachment;
use talksy_domain::error::PortError;
use talksy_domain::id::AttachmentId;

use crate::loaders::{Loader, LoaderContext, by_key};

impl Loader<AttachmentId> for LoaderContext {
    type Value = Arc<Attachment>;

    async fn load(
        &self,
        keys: &[AttachmentId],
    ) -> Result<HashMap<AttachmentId, Arc<Attachment>>, PortError> {
        let found = self.services.attachments.referenced(keys).await?;
        Ok(by_key(found.into_iter().map(Arc::new), |one| one.id))
    }
}
