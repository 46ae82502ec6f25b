//! What attachments are, and who uses them. Each step is one update of one document, which its version
//! is part of the filter of.

use async_trait::async_trait;
use futures_util::future::try_join_all;
use mongodb::bson::doc;
use mongodb::bson::raw::RawDocument;
use serde::Deserialize;
use talksy_domain::attachments::{Attachment, AttachmentState, AttachmentStore, Kept};
use talksy_domain::clock::Timestamp;
use talksy_domain::error::PortError;
use talksy_domain::id::{self, AttachmentId, UserId};

use super::MongoStore;
use super::call::Call;
use super::commands::{Inserted, Shape};
use super::documents::{
    ATTACHMENTS, AttachmentDocument, Stored, advance_of, attachment_state, date, key, keys, limit,
    parse_all,
};
use super::fault::{Fault, Why};

/// How many bytes the attachments of a user come to.
#[derive(Deserialize)]
struct BytesDocument {
    bytes: i64,
}

impl Stored for BytesDocument {
    type Value = u64;
    const COLLECTION: &'static str = ATTACHMENTS;

    fn name(_: &RawDocument) -> String {
        "a sum of bytes".to_owned()
    }

    fn value(self) -> Result<u64, Why> {
        Ok(self.bytes.try_into()?)
    }
}

async fn bytes_of(call: &Call, owner: UserId) -> Result<u64, Fault> {
    let pipeline = [
        doc! { "$match": { "ownerId": key(id::bytes(owner)) } },
        doc! { "$group": { "_id": null, "bytes": { "$sum": "$byteSize" } } },
    ];
    let found = call.aggregate(ATTACHMENTS, pipeline).await?;
    let sums = parse_all::<BytesDocument>(&found);
    Ok(sums.into_iter().next().unwrap_or_default())
}

#[async_trait]
impl AttachmentStore for MongoStore {
    /// Insert, sum: 2; where there is no room, the deletion. Counted behind the insert, so that of two at
    /// once one sees the other.
    async fn announce(&self, attachment: &Attachment, most: u64) -> Result<Kept, PortError> {
        let call = self.call();
        let document = AttachmentDocument::from(attachment);
        match call.insert(ATTACHMENTS, document).await? {
            Inserted::Done => {
                let sum = bytes_of(&call, attachment.owner_id).await?;
                if sum <= most {
                    return Ok(Kept::Done);
                }
                // Where this fails, it goes as what nobody has used.
                let filter = doc! { "_id": key(id::bytes(attachment.id)) };
                call.delete(ATTACHMENTS, filter).await?;
                Ok(Kept::Full(sum.saturating_sub(attachment.byte_size)))
            }
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
        let call = self.call();
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
