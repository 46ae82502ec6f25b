//! What attachments are, and who uses them. Each step is one update of one document, which its version
//! is part of the filter of.

use async_trait::async_trait;
use futures_util::future::try_join_all;
use mongodb::bson::doc;
use talksy_domain::attachments::{Attachment, AttachmentState, AttachmentStore};
use talksy_domain::clock::Timestamp;
use talksy_domain::error::PortError;
use talksy_domain::id::{self, AttachmentId, UserId};

use super::MongoStore;
use super::call::Call;
use super::commands::{Inserted, Shape};
use super::documents::{
    ATTACHMENTS, AttachmentDocument, advance_of, attachment_state, date, key, keys, limit,
};
use super::fault::Fault;

#[async_trait]
impl AttachmentStore for MongoStore {
    /// 1 command.
    async fn announce(&self, attachment: &Attachment) -> Result<(), PortError> {
        let call = self.call();
        let document = AttachmentDocument::from(attachment);
        match call.insert(ATTACHMENTS, document).await? {
            Inserted::Done => Ok(()),
            Inserted::Duplicate(index) => {
                let why = format!("its id is taken in `{index}`").into();
                let what = format_args!("attachment {}", attachment.id);
                Err(Fault::document(what, why).into())
            }
        }
    }

    /// 1 command.
    async fn attachments(&self, ids: &[AttachmentId]) -> Result<Vec<Attachment>, PortError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let filter = doc! { "_id": { "$in": keys(ids, id::bytes) } };
        let call = self.call();
        let found = call.find::<AttachmentDocument>(filter, Shape::default());
        Ok(found.await?)
    }

    /// As many commands as attachments, at the same time: 1.
    async fn advance(&self, changed: &[Attachment]) -> Result<Vec<AttachmentId>, PortError> {
        let call = self.call();
        let steps = changed
            .iter()
            .map(async |one: &Attachment| -> Result<_, Fault> {
                let before = i64::from(one.version) - 1;
                let filter = doc! { "_id": key(id::bytes(one.id)), "version": before };
                let update = advance_of(one);
                let taken = call.update_one(ATTACHMENTS, filter, update).await?;
                Ok(taken.then_some(one.id))
            });
        let taken = try_join_all(steps).await?;
        Ok(taken.into_iter().flatten().collect())
    }

    /// 1 command.
    async fn standing(
        &self,
        state: AttachmentState,
        before: Timestamp,
        most: usize,
    ) -> Result<Vec<Attachment>, PortError> {
        let filter = doc! {
            "state": attachment_state(state),
            "changedAt": { "$lte": date(before) },
        };
        let shape = Shape {
            sort: Some(doc! { "changedAt": 1 }),
            limit: Some(limit(most)),
            ..Shape::default()
        };
        let call = Call::of_store(&self.inner);
        Ok(call.find::<AttachmentDocument>(filter, shape).await?)
    }

    /// 1 command.
    async fn of_owner(
        &self,
        owner: UserId,
        after: Option<AttachmentId>,
        most: usize,
    ) -> Result<Vec<Attachment>, PortError> {
        let mut filter = doc! { "ownerId": key(id::bytes(owner)) };
        if let Some(after) = after {
            filter.insert("_id", doc! { "$gt": key(id::bytes(after)) });
        }
        let shape = Shape {
            sort: Some(doc! { "_id": 1 }),
            ..Shape::default()
        };
        let call = Call::of_store(&self.inner);
        let found = call.find_first::<AttachmentDocument>(filter, shape, most);
        Ok(found.await?)
    }

    /// 1 command.
    async fn forget(&self, ids: &[AttachmentId]) -> Result<(), PortError> {
        let filter = doc! { "_id": { "$in": keys(ids, id::bytes) } };
        Call::of_store(&self.inner)
            .delete(ATTACHMENTS, filter)
            .await?;
        Ok(())
    }
}
