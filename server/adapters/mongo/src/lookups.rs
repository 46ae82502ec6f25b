//! The first documents of each of many ranges by one command, whatever the number of ranges.
//!
//! A range is the documents whose fields compare with its own values: a chat's members behind one
//! of them, a chat's messages above a change. One range is a plain query. Of several, the values of
//! each go into one document of a pipeline, and a `$lookup` reads the range of each of these, in its
//! order and up to its limit. Nothing beyond that limit is read or returned, however long a range
//! is: `$lookup` plans its pipeline for each document anew, with the document's values as constants,
//! and an index that begins with the fields that are compared for equality, ahead of those of the
//! order, gives both the range and the order. Comparisons in `$expr` walk indexes since MongoDB 5.0.
//!
//! The pipeline begins with one document of the collection itself, since a stage that makes
//! documents out of nothing came with MongoDB 5.1: where there is none, all ranges are empty.
//!
//! A collection that is divided over shards needs MongoDB 5.1 for it.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mongodb::bson::raw::RawBsonRef;
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};

use super::call::Call;
use super::commands::Shape;
use super::documents::{self, Stored};
use super::fault::Fault;

/// How many commands for ranges of different kinds are on their way at once. A request that lists
/// something under many aliases, with other sizes each, needs so many commands.
const AT_ONCE: usize = 8;

/// How a field compares with a range's own value: the field, and the operator such as `$gt`.
pub(super) type Comparison = (&'static str, &'static str);

/// The first documents of many ranges, in the order of these: of each range which kind it is, and its
/// values. One command for all of a kind, which are read as `lookup` says.
pub(super) async fn of_kinds<K: Ord, S: Stored>(
    call: &Call,
    ranges: impl IntoIterator<Item = (K, Vec<Bson>)>,
    lookup: impl Fn(K) -> Lookup,
) -> Result<Vec<Vec<S::Value>>, Fault> {
    let mut kinds: BTreeMap<K, (Vec<usize>, Vec<Vec<Bson>>)> = BTreeMap::new();
    for (place, (kind, values)) in ranges.into_iter().enumerate() {
        let (places, ranges) = kinds.entry(kind).or_default();
        places.push(place);
        ranges.push(values);
    }
    let commands = kinds.into_iter().map(|(kind, (places, ranges))| {
        let lookup = lookup(kind);
        async move {
            let found = lookup.of_each::<S>(call, &ranges).await?;
            Ok::<_, Fault>(places.into_iter().zip(found))
        }
    });
    let found = stream::iter(commands).buffer_unordered(AT_ONCE);
    let found: Vec<_> = found.try_collect().await?;
    let mut found: Vec<_> = found.into_iter().flatten().collect();
    found.sort_unstable_by_key(|(place, _)| *place);
    Ok(found.into_iter().map(|(_, found)| found).collect())
}

/// The name, in `and_then`, of a range's value at this place.
pub(super) fn value(place: usize) -> String {
    format!("$${}", variable(place))
}

fn variable(place: usize) -> String {
    format!("v{place}")
}

/// What is read of each range.
#[derive(Clone)]
pub(super) struct Lookup {
    /// What all ranges have in common.
    pub(super) common: Document,
    /// How the ranges differ. Each has one value for each of these, in their order.
    pub(super) comparisons: Vec<Comparison>,
    /// The order.
    pub(super) sort: Document,
    /// Stages that leave out some of what is in order. They see a range's values by [`value`].
    pub(super) and_then: Vec<Document>,
    /// The most documents of each range.
    pub(super) limit: usize,
}

impl Lookup {
    /// The first documents of each range, in the order of the ranges. Each has a value for each
    /// comparison; further ones are for `and_then`. Documents that do not parse are read past, so
    /// that a range's part is short only where the range ends.
    pub(super) async fn of_each<S: Stored>(
        &self,
        call: &Call,
        ranges: &[Vec<Bson>],
    ) -> Result<Vec<Vec<S::Value>>, Fault> {
        if let ([range], true) = (ranges, self.and_then.is_empty()) {
            return Ok(vec![self.of_one::<S>(call, range).await?]);
        }
        let mut found: Vec<Vec<S::Value>> = ranges.iter().map(|_| Vec::new()).collect();
        if self.limit == 0 {
            return Ok(found);
        }
        let (mut most, mut short): (usize, Vec<usize>) = (self.limit, (0..ranges.len()).collect());
        while !short.is_empty() {
            let asked = short.iter().filter_map(|&n| Some((n, ranges.get(n)?)));
            let pipeline = self.pipeline::<S>(asked, most);
            let mut parts = vec![Vec::new(); ranges.len()];
            for raw in call.aggregate(S::COLLECTION, pipeline).await? {
                if let Some((n, item)) = item(&raw)
                    && let Some(part) = parts.get_mut(n)
                {
                    part.push(item);
                }
            }
            let mut left_out = 0;
            short.retain(|&n| {
                let (Some(part), Some(found)) = (parts.get(n), found.get_mut(n)) else {
                    return false;
                };
                *found = documents::parse_all::<S>(part);
                let is_short = found.len() < self.limit && part.len() >= most;
                left_out = left_out.max(part.len() - found.len());
                found.truncate(self.limit);
                is_short
            });
            // Grows each time, since more were left out than were read beyond the wanted ones.
            most = self.limit + 2 * left_out;
        }
        Ok(found)
    }

    async fn of_one<S: Stored>(
        &self,
        call: &Call,
        values: &[Bson],
    ) -> Result<Vec<S::Value>, Fault> {
        let mut filter = self.common.clone();
        for ((field, operator), value) in self.comparisons.iter().zip(values) {
            filter.insert(*field, doc! { *operator: value.clone() });
        }
        let shape = Shape {
            sort: Some(self.sort.clone()),
            ..Shape::default()
        };
        call.find_first::<S>(filter, shape, self.limit).await
    }

    fn pipeline<'a, S: Stored>(
        &self,
        ranges: impl Iterator<Item = (usize, &'a Vec<Bson>)>,
        limit: usize,
    ) -> Vec<Document> {
        let mut names = Document::new();
        let ranges: Vec<Document> = ranges
            .map(|(n, values)| {
                let mut range = doc! { "n": documents::limit(n) };
                for (place, value) in values.iter().enumerate() {
                    range.insert(variable(place), value.clone());
                    names.insert(variable(place), format!("$range.{}", variable(place)));
                }
                range
            })
            .collect();
        let comparisons: Vec<Document> = self
            .comparisons
            .iter()
            .enumerate()
            .map(|(place, (field, operator))| doc! { *operator: [format!("${field}"), value(place)] })
            .collect();
        let mut matching = self.common.clone();
        matching.insert("$expr", doc! { "$and": comparisons });
        let mut part = vec![
            doc! { "$match": matching },
            doc! { "$sort": self.sort.clone() },
        ];
        part.extend(self.and_then.iter().cloned());
        part.push(doc! { "$limit": documents::limit(limit) });
        vec![
            doc! { "$limit": 1 },
            // Values that users wrote are taken as they are.
            doc! { "$project": { "_id": 0, "range": { "$literal": ranges } } },
            doc! { "$unwind": "$range" },
            doc! { "$lookup": {
                "from": S::COLLECTION,
                "let": names,
                "pipeline": part,
                "as": "item",
            } },
            doc! { "$unwind": "$item" },
            doc! { "$project": { "n": "$range.n", "item": 1 } },
        ]
    }
}

/// The number of a range and a document of it.
fn item(raw: &RawDocumentBuf) -> Option<(usize, RawDocumentBuf)> {
    let n = match raw.get("n").ok()?? {
        RawBsonRef::Int64(n) => usize::try_from(n).ok()?,
        RawBsonRef::Int32(n) => usize::try_from(n).ok()?,
        _ => return None,
    };
    Some((n, raw.get_document("item").ok()?.to_owned()))
}
