//! Which past the database has. See [`talksy_domain::incarnation`].

use mongodb::bson::raw::RawDocument;
use mongodb::bson::{Document, Uuid, doc};
use serde::Deserialize;
use talksy_domain::error::PortError;
use talksy_domain::incarnation::Incarnation;

use super::MongoStore;
use super::call::Call;
use super::commands::Shape;
use super::documents::{META, Stored};
use super::fault::{Fault, Why};

impl MongoStore {
    /// Gives the database another past: it was restored. 1 to 3 commands.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn renew_incarnation(&self) -> Result<(), PortError> {
        let call = Call::of_store(&self.inner);
        let Incarnation(before) = read(&call).await?;
        // Adds 1 to 2^31, so that it is another one.
        let other = before.wrapping_add(1).wrapping_add(random() >> 1);
        let update = doc! { "$set": { "value": i64::from(other) } };
        Ok(call.upsert_one(META, filter(), update).await?)
    }
}

/// The database's incarnation, made where it has none: it is new, or its backup is of an older
/// version. Of those who make one at the same time the first decides.
pub(super) async fn read(call: &Call) -> Result<Incarnation, Fault> {
    if let Some(found) = find(call).await? {
        return Ok(found);
    }
    let made = doc! { "$setOnInsert": { "value": i64::from(random()) } };
    call.upsert_one(META, filter(), made).await?;
    let missing = || Fault::document("the store's incarnation".to_owned(), "it is missing".into());
    find(call).await?.ok_or_else(missing)
}

async fn find(call: &Call) -> Result<Option<Incarnation>, Fault> {
    let found = call.find_one::<IncarnationDocument>(filter(), Shape::default());
    found.await
}

fn filter() -> Document {
    doc! { "_id": "incarnation" }
}

/// 32 random bits.
fn random() -> u32 {
    let [a, b, c, d, ..] = Uuid::new().bytes();
    u32::from_be_bytes([a, b, c, d])
}

#[derive(Deserialize)]
struct IncarnationDocument {
    value: i64,
}

impl Stored for IncarnationDocument {
    type Value = Incarnation;
    const COLLECTION: &'static str = META;

    fn name(_: &RawDocument) -> String {
        "the store's incarnation".to_owned()
    }

    fn value(self) -> Result<Incarnation, Why> {
        Ok(Incarnation(self.value.try_into()?))
    }
}
