//! The commands that a call may send.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use mongodb::Database;
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::options::Hint;
use serde::Serialize;

use super::call::Call;
use super::documents::{self, Stored, limit};
use super::fault::{DUPLICATE_KEY, Fault};

/// How many documents one reply holds at most.
const BATCH: u32 = 1_000;

/// What came of an insert.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Inserted {
    /// It is durable.
    Done,
    /// The unique index of this name has the value already.
    Duplicate(String),
}

/// What came of an ordered insert of several documents.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    /// So many of the first are durable.
    pub(super) count: usize,
    /// The next one was refused by the unique index of this name. Where nothing was, all are in.
    pub(super) refused: Option<String>,
}

/// How a query's answer is to look.
#[derive(Clone, Default)]
pub(super) struct Shape {
    /// The order.
    pub(super) sort: Option<Document>,
    /// The most documents.
    pub(super) limit: Option<i64>,
    /// The fields, where not all are wanted.
    pub(super) fields: Option<Document>,
    /// The index, where the server is not to choose it.
    pub(super) index: Option<&'static str>,
}

impl Call {
    /// How long the server may work on a read.
    fn max_time(&self) -> Duration {
        self.inner.options.timeout
    }

    /// The documents that match, unparsed.
    pub(super) async fn find_raw(
        &self,
        collection: &'static str,
        filter: Document,
        shape: Shape,
    ) -> Result<Vec<RawDocumentBuf>, Fault> {
        let max_time = self.max_time();
        self.run(move |database| async move {
            let collection = database.collection::<RawDocumentBuf>(collection);
            let mut find = collection.find(filter).max_time(max_time);
            if let Some(sort) = shape.sort {
                find = find.sort(sort);
            }
            if let Some(fields) = shape.fields {
                find = find.projection(fields);
            }
            if let Some(index) = shape.index {
                find = find.hint(Hint::Name(index.to_owned()));
            }
            find = match shape.limit {
                Some(limit) => find.limit(limit),
                None => find.batch_size(BATCH),
            };
            find.await?.try_collect().await
        })
        .await
        .inspect(|found: &Vec<_>| self.note_returned(found.len()))
    }

    /// The documents that match. One that does not parse is left out.
    pub(super) async fn find<S: Stored>(
        &self,
        filter: Document,
        shape: Shape,
    ) -> Result<Vec<S::Value>, Fault> {
        let found = self.find_raw(S::COLLECTION, filter, shape).await?;
        Ok(documents::parse_all::<S>(&found))
    }

    /// The first `wanted` documents that match. Those that do not parse are read past, so that a
    /// page is short only where the list ends.
    pub(super) async fn find_first<S: Stored>(
        &self,
        filter: Document,
        shape: Shape,
        wanted: usize,
    ) -> Result<Vec<S::Value>, Fault> {
        let mut most = wanted;
        loop {
            let shape = Shape {
                limit: Some(limit(most)),
                ..shape.clone()
            };
            let found = self.find_raw(S::COLLECTION, filter.clone(), shape).await?;
            let mut values = documents::parse_all::<S>(&found);
            if values.len() >= wanted || found.len() < most {
                values.truncate(wanted);
                return Ok(values);
            }
            // Grows each time, since more were left out than were read beyond the wanted ones.
            most = wanted + 2 * (found.len() - values.len());
        }
    }

    /// A document that matches.
    ///
    /// # Errors
    /// [`Fault::Document`] where it does not parse, besides what a command may fail with.
    pub(super) async fn find_one<S: Stored>(
        &self,
        filter: Document,
        shape: Shape,
    ) -> Result<Option<S::Value>, Fault> {
        let limit = Some(1);
        let shape = Shape { limit, ..shape };
        let found = self.find_raw(S::COLLECTION, filter, shape).await?;
        found
            .first()
            .map(|raw| documents::parse::<S>(raw))
            .transpose()
    }

    /// What a pipeline over a collection makes.
    pub(super) async fn aggregate(
        &self,
        collection: &'static str,
        pipeline: impl IntoIterator<Item = Document>,
    ) -> Result<Vec<RawDocumentBuf>, Fault> {
        self.aggregate_by(collection, None, pipeline).await
    }

    /// The same, by this index where one is named.
    pub(super) async fn aggregate_by(
        &self,
        collection: &'static str,
        index: Option<&'static str>,
        pipeline: impl IntoIterator<Item = Document>,
    ) -> Result<Vec<RawDocumentBuf>, Fault> {
        let max_time = self.max_time();
        let pipeline: Vec<Document> = pipeline.into_iter().collect();
        self.run(move |database| async move {
            let collection = database.collection::<RawDocumentBuf>(collection);
            let mut aggregate = collection.aggregate(pipeline).max_time(max_time);
            if let Some(index) = index {
                aggregate = aggregate.hint(Hint::Name(index.to_owned()));
            }
            let cursor = aggregate.with_type::<RawDocumentBuf>();
            cursor.await?.try_collect().await
        })
        .await
        .inspect(|found: &Vec<_>| self.note_returned(found.len()))
    }

    /// These fields of all documents that match, in one document: one reply whatever their number,
    /// where a cursor would hand out a thousand at a time. For what is small, such as ids: the
    /// document holds 16 MB, some 400,000 of them. One that does not parse is left out.
    pub(super) async fn gather<S: Stored>(
        &self,
        filter: Document,
        fields: &[&str],
    ) -> Result<Vec<S::Value>, Fault> {
        let part: Document = fields
            .iter()
            .map(|&field| (field.to_owned(), format!("${field}").into()))
            .collect();
        let pipeline = [
            doc! { "$match": filter },
            doc! { "$group": { "_id": Bson::Null, "found": { "$push": part } } },
        ];
        let gathered = self.aggregate(S::COLLECTION, pipeline).await?;
        let Some(found) = gathered.first() else {
            return Ok(Vec::new());
        };
        let parts: Vec<RawDocumentBuf> = found
            .get_array("found")
            .into_iter()
            .flatten()
            .filter_map(|part| Some(part.ok()?.as_document()?.to_owned()))
            .collect();
        Ok(documents::parse_all::<S>(&parts))
    }

    /// Inserts a document.
    pub(super) async fn insert<T>(
        &self,
        collection: &'static str,
        document: T,
    ) -> Result<Inserted, Fault>
    where
        T: Serialize + Send + Sync + 'static,
    {
        let outcome = self.run(move |database| async move {
            let collection = database.collection::<T>(collection);
            collection.insert_one(&document).await
        });
        match outcome.await {
            Ok(_) => Ok(Inserted::Done),
            Err(fault) => match fault.duplicate() {
                Some(index) => Ok(Inserted::Duplicate(index)),
                None => Err(fault),
            },
        }
    }

    /// Inserts documents in their order, up to the first that is refused. `then` is told how many of
    /// them are known to be durable, as [`Call::run_then`] tells it.
    pub(super) async fn insert_all<T>(
        &self,
        collection: &'static str,
        documents: Vec<T>,
        then: impl FnOnce(usize) + Send + 'static,
    ) -> Result<Prefix, Fault>
    where
        T: Serialize + Send + Sync + 'static,
    {
        let all = documents.len();
        let work = move |database: Database| async move {
            let collection = database.collection::<T>(collection);
            collection.insert_many(&documents).ordered(true).await
        };
        let outcome = self.run_then(work, move |outcome| match outcome {
            Ok(_) => then(all),
            Err(error) => {
                let refused = Fault::from(error.clone()).refused_at();
                then(refused.map_or(0, |(count, _)| count));
            }
        });
        match outcome.await {
            Ok(_) => Ok(Prefix {
                count: all,
                refused: None,
            }),
            Err(fault) => match fault.refused_at() {
                Some((count, index)) => Ok(Prefix {
                    count,
                    refused: Some(index),
                }),
                None => Err(fault),
            },
        }
    }

    /// Updates one document and says whether it was changed.
    pub(super) async fn update_one(
        &self,
        collection: &'static str,
        filter: Document,
        update: Document,
    ) -> Result<bool, Fault> {
        self.update_one_then(collection, filter, update, |_| {})
            .await
    }

    /// The same, and tells `then` whether the document was changed, or `None` where it failed, as
    /// [`Call::run_then`] tells it.
    pub(super) async fn update_one_then(
        &self,
        collection: &'static str,
        filter: Document,
        update: Document,
        then: impl FnOnce(Option<bool>) + Send + 'static,
    ) -> Result<bool, Fault> {
        let work = move |database: Database| async move {
            let collection = database.collection::<RawDocumentBuf>(collection);
            Ok(collection.update_one(filter, update).await?.modified_count > 0)
        };
        self.run_then(work, move |outcome| then(outcome.as_ref().ok().copied()))
            .await
    }

    /// Updates one document, made from the filter and the update where there is none. Where
    /// another writer makes it at the same time, the other's stands.
    pub(super) async fn upsert_one(
        &self,
        collection: &'static str,
        filter: Document,
        update: Document,
    ) -> Result<(), Fault> {
        let outcome = self.run(move |database| async move {
            let collection = database.collection::<RawDocumentBuf>(collection);
            collection.update_one(filter, update).upsert(true).await
        });
        match outcome.await {
            Err(fault) if fault.duplicate().is_none() => Err(fault),
            _ => Ok(()),
        }
    }

    /// Carries out several updates of single documents at once, in no order, each of which is
    /// harmless twice. One whose upsert meets a unique index's value finds a newer document and is
    /// done.
    pub(super) async fn update_each(
        &self,
        collection: &'static str,
        updates: Vec<Document>,
    ) -> Result<(), Fault> {
        if updates.is_empty() {
            return Ok(());
        }
        let command = self.updating(collection, updates, false);
        let reply = match self.command(command.clone()).await {
            // Nor does the driver send it again.
            Err(fault) if fault.is_unsettled() => self.command(command).await?,
            outcome => outcome?,
        };
        confirmed(&reply, &[DUPLICATE_KEY])
    }

    /// Carries out several updates of single documents one after the other, and returns how many of
    /// them found their document. `then` is told the same, as [`Call::run_then`] tells it, or 0 where
    /// something failed. Where it fails, some of them may have been carried out, or be still.
    pub(super) async fn update_in_order(
        &self,
        collection: &'static str,
        updates: Vec<Document>,
        then: impl FnOnce(usize) + Send + 'static,
    ) -> Result<usize, Fault> {
        let command = self.updating(collection, updates, true);
        let work = move |database: Database| async move { database.run_command(command).await };
        let reply = self.run_then(work, move |outcome| {
            let reply = outcome.as_ref().ok();
            then(reply.and_then(|reply| matched(reply).ok()).unwrap_or(0));
        });
        matched(&reply.await?)
    }

    /// The command for updates of single documents.
    fn updating(
        &self,
        collection: &'static str,
        updates: Vec<Document>,
        is_ordered: bool,
    ) -> Document {
        // A command that is sent as it is does not inherit the write concern.
        let timeout = i64::try_from(self.max_time().as_millis()).unwrap_or(i64::MAX);
        doc! {
            "update": collection,
            "updates": updates,
            "ordered": is_ordered,
            "writeConcern": { "w": "majority", "j": true, "wtimeout": timeout },
        }
    }

    /// Updates all documents that match.
    pub(super) async fn update_many(
        &self,
        collection: &'static str,
        filter: Document,
        update: Document,
    ) -> Result<(), Fault> {
        self.run(move |database| async move {
            let collection = database.collection::<RawDocumentBuf>(collection);
            collection.update_many(filter, update).await
        })
        .await?;
        Ok(())
    }

    /// Updates one document and returns it as it was before, where there is one. Then `announce` is
    /// called, as [`Call::run_then`] does.
    pub(super) async fn find_and_update<S: Stored>(
        &self,
        filter: Document,
        update: Document,
        announce: impl FnOnce() + Send + 'static,
    ) -> Result<Option<S::Value>, Fault> {
        let work = move |database: Database| async move {
            let collection = database.collection::<RawDocumentBuf>(S::COLLECTION);
            collection.find_one_and_update(filter, update).await
        };
        let before = self.run_then(work, |outcome| {
            if let Ok(Some(_)) = outcome {
                announce();
            }
        });
        let before = before.await?;
        self.note_returned(usize::from(before.is_some()));
        before.map(|raw| documents::parse::<S>(&raw)).transpose()
    }

    /// Deletes all documents that match, and says how many there were.
    pub(super) async fn delete(
        &self,
        collection: &'static str,
        filter: Document,
    ) -> Result<u64, Fault> {
        self.delete_then(collection, filter, || {}).await
    }

    /// The same. Where there were any, `announce` is called then, as [`Call::run_then`] does.
    pub(super) async fn delete_then(
        &self,
        collection: &'static str,
        filter: Document,
        announce: impl FnOnce() + Send + 'static,
    ) -> Result<u64, Fault> {
        let work = move |database: Database| async move {
            let collection = database.collection::<RawDocumentBuf>(collection);
            Ok(collection.delete_many(filter).await?.deleted_count)
        };
        self.run_then(work, |outcome| {
            if let Ok(1..) = outcome {
                announce();
            }
        })
        .await
    }

    /// Makes the indexes that a collection lacks.
    pub(super) async fn create_indexes(
        &self,
        collection: &'static str,
        indexes: Vec<mongodb::IndexModel>,
    ) -> Result<(), Fault> {
        self.run(move |database| async move {
            let collection = database.collection::<RawDocumentBuf>(collection);
            collection.create_indexes(indexes).await
        })
        .await?;
        Ok(())
    }

    /// Sends a command to the primary.
    pub(super) async fn command(&self, command: Document) -> Result<Document, Fault> {
        self.run(move |database| async move { database.run_command(command).await })
            .await
    }
}

/// How many of a command's updates found their document, where all were carried out.
fn matched(reply: &Document) -> Result<usize, Fault> {
    confirmed(reply, &[])?;
    let count = match reply.get("n") {
        Some(Bson::Int32(count)) => usize::try_from(*count).ok(),
        Some(Bson::Int64(count)) => usize::try_from(*count).ok(),
        _ => None,
    };
    Ok(count.unwrap_or(0))
}

/// Whether the majority has what was updated, and none of it failed but with one of these codes.
fn confirmed(reply: &Document, but: &[i32]) -> Result<(), Fault> {
    if reply.contains_key("writeConcernError") {
        return Err(Fault::Unconfirmed);
    }
    for error in reply.get_array("writeErrors").into_iter().flatten() {
        let code = error.as_document().and_then(|error| error.get("code"));
        let code = code.and_then(Bson::as_i32).unwrap_or_default();
        if !but.contains(&code) {
            return Err(Fault::Refused(code));
        }
    }
    Ok(())
}
