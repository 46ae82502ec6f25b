//! Inserting numbered messages, and settling what became of an insert that was not answered.
//!
//! A connection that breaks, a primary that steps down or a majority that is late leaves open
//! whether the documents are durable, and their senders would be told that they are not. So the
//! same documents are sent again under the same numbers. That can store nothing twice: a document
//! that is there is refused, under its id as under its number. Where one is refused, what is stored
//! under the ids of this insert is compared with it: the same id with the same number is ours, and
//! the insert goes on behind it. Anything else is another's, which was faster.
//!
//! The first insert may still be at work while the second is. Both are ordered and stop at the
//! first document that is refused, so whichever of them stores a document, the one before it is
//! there: no hole comes of it.

use std::collections::HashMap;
use std::sync::Arc;

use mongodb::bson::{Uuid, deserialize_from_slice, doc};
use serde::Deserialize;
use talksy_domain::events::Announcement;
use talksy_domain::seq::Seq;

use super::call::Call;
use super::commands::{Prefix, Shape};
use super::documents::{MESSAGES, MessageDocument};
use super::fault::Fault;

/// How often an insert that was not answered is sent again. The driver waits for a new primary by
/// itself, so more than a few come of no passing state.
const TRIES: u32 = 4;

/// Inserts what `numbered(0)` makes, in order, up to the first that is refused. `numbered(n)` makes
/// the same without the first n, and `announced(n)` what followers are told of them, in their order.
/// `is_unsure` is set from when on something of it may have been stored without this being told.
///
/// # Errors
/// The failure of the last try, where none of the documents is known to be durable.
pub(super) async fn insert(
    call: &Call,
    numbered: impl Fn(usize) -> Vec<MessageDocument>,
    announced: impl Fn(usize) -> Vec<Announcement>,
    is_unsure: &mut bool,
) -> Result<Prefix, Fault> {
    let mut durable = 0;
    let mut tries = 0;
    loop {
        let documents = numbered(durable);
        if documents.is_empty() {
            let (count, refused) = (durable, None);
            return Ok(Prefix { count, refused });
        }
        let announce = announcing(call, announced(durable));
        let fault = match call.insert_all(MESSAGES, documents, announce).await {
            Ok(Prefix { count, refused }) => {
                durable += count;
                let settled = match tries {
                    _ if refused.is_none() => Ok(0),
                    0 => Ok(0),
                    _ => stored(call, numbered(durable)).await,
                };
                match settled {
                    Ok(0) => {
                        let count = durable;
                        return Ok(Prefix { count, refused });
                    }
                    Ok(ours) => {
                        announcing(call, announced(durable))(ours);
                        durable += ours;
                        continue;
                    }
                    Err(fault) => fault,
                }
            }
            Err(fault) => {
                *is_unsure |= fault.is_unsettled();
                fault
            }
        };
        tries += 1;
        if fault.is_unsettled() && tries <= TRIES && call.pause(tries, u8::MAX).await.is_ok() {
            tracing::debug!(%fault, "an insert is sent again to learn what became of it");
            continue;
        }
        if durable == 0 {
            return Err(fault);
        }
        // The rest is tried anew, and fails there.
        let (count, refused) = (durable, Some(String::new()));
        return Ok(Prefix { count, refused });
    }
}

/// Hands over the events of so many of the first documents.
fn announcing(call: &Call, mut all: Vec<Announcement>) -> impl FnOnce(usize) + Send + use<> {
    let events = Arc::clone(&call.inner.events);
    move |count| {
        all.truncate(count);
        events.put(all);
    }
}

/// Of a stored message, what tells whose it is.
#[derive(Deserialize)]
struct Place {
    #[serde(rename = "_id")]
    id: Uuid,
    seq: Seq,
}

/// How many of the first of these documents are stored, each under its number.
async fn stored(call: &Call, documents: Vec<MessageDocument>) -> Result<usize, Fault> {
    let places: Vec<_> = documents.iter().map(MessageDocument::place).collect();
    let ids: Vec<_> = places.iter().map(|&(id, _)| id).collect();
    let shape = Shape {
        fields: Some(doc! { "seq": 1 }),
        ..Shape::default()
    };
    let filter = doc! { "_id": { "$in": ids } };
    let found = call.find_raw(MESSAGES, filter, shape).await?;
    let found: HashMap<Uuid, Seq> = found
        .iter()
        .filter_map(|raw| deserialize_from_slice::<Place>(raw.as_bytes()).ok())
        .map(|place| (place.id, place.seq))
        .collect();
    let is_ours = |(id, seq): &&(Uuid, Seq)| found.get(id) == Some(seq);
    Ok(places.iter().take_while(is_ours).count())
}
