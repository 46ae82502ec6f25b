//! The port by which is kept what attachments are, and who uses them.

use super::model::{Attachment, AttachmentState};
use crate::clock::Timestamp;
use crate::error::PortError;
use crate::id::{AttachmentId, UserId};
use crate::port::port;

port! {
    /// Keeps attachments, without their bytes. Each method is atomic on its own.
    ///
    /// The store judges nothing: the steps of an attachment's life are those of [`Attachment`], and are
    /// taken by compare-and-set of the version. So of two who would use one attachment one succeeds.
    pub trait AttachmentStore as "attachments" with AttachmentStoreLayer {
        /// Keeps a new attachment.
        async fn announce(&self, attachment: &Attachment) -> Result<(), PortError>;

        /// Those of these attachments that exist, in any order.
        async fn attachments(&self, ids: &[AttachmentId]) -> Result<Vec<Attachment>, PortError>;

        /// Takes a step with each of these attachments, of which the store still has the version before
        /// it. The ids of those with which it was taken; each is a step of its own.
        async fn advance(&self, changed: &[Attachment]) -> Result<Vec<AttachmentId>, PortError>;

        /// The first `limit` attachments that have stood in this state since `before` or longer, the
        /// longest first.
        async fn standing(
            &self,
            state: AttachmentState,
            before: Timestamp,
            limit: usize,
        ) -> Result<Vec<Attachment>, PortError>;

        /// The first `limit` attachments of an owner behind this id, in the order of ids.
        async fn of_owner(
            &self,
            owner: UserId,
            after: Option<AttachmentId>,
            limit: usize,
        ) -> Result<Vec<Attachment>, PortError>;

        /// Forgets attachments. One that is not there is no error.
        async fn forget(&self, ids: &[AttachmentId]) -> Result<(), PortError>;
    }
}
