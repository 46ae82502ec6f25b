//! The bytes of attachments: whole or not at all, read in parts, and gone when they are erased.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use talksy_domain::attachments::{ObjectKey, ObjectPart, ObjectStore};

use super::{ids, random};

/// More than one piece of any store.
const LARGE: usize = 11 << 20;

fn key() -> ObjectKey {
    ObjectKey {
        attachment: ids().next(),
        attempt: random(),
        part: ObjectPart::Received,
    }
}

/// Bytes of which each part is another.
fn bytes(length: usize) -> Bytes {
    let byte = |place: usize| u8::try_from(place / 7 % 251).unwrap();
    (0..length).map(byte).collect()
}

async fn written(store: &Arc<dyn ObjectStore>, key: ObjectKey, content: &Bytes) {
    let mut writer = store.create(key).await.unwrap();
    for piece in content.chunks(100_000) {
        writer.write(content.slice_ref(piece)).await.unwrap();
    }
    writer.finish().await.unwrap();
}

async fn read(
    store: &Arc<dyn ObjectStore>,
    key: ObjectKey,
    range: Range<usize>,
) -> Option<Vec<u8>> {
    let range = range.start as u64..range.end as u64;
    let found = store.read(key, range).await.unwrap()?;
    let pieces: Vec<Bytes> = found.try_collect().await.unwrap();
    Some(pieces.concat())
}

/// What was written is read, as a whole and in parts, whether it was one piece or many.
pub async fn what_was_written_is_read(store: &Arc<dyn ObjectStore>) {
    for length in [1, 100_000, LARGE] {
        let (key, content) = (key(), bytes(length));
        written(store, key, &content).await;
        let whole = read(store, key, 0..length).await.unwrap();
        assert!(whole == content, "{length}");
        let part = length / 3..length / 3 + 1;
        assert_eq!(read(store, key, part.clone()).await.unwrap(), content[part]);
        let end = length - length.min(10)..length;
        assert_eq!(read(store, key, end.clone()).await.unwrap(), content[end]);
        store.erase(key.attachment).await.unwrap();
    }
}

/// An object that was begun is not there before it is finished, nor after it was given up.
pub async fn an_object_is_there_as_a_whole_or_not_at_all(store: &Arc<dyn ObjectStore>) {
    for length in [10, LARGE] {
        let (key, content) = (key(), bytes(length));
        let mut writer = store.create(key).await.unwrap();
        writer.write(content).await.unwrap();
        assert_eq!(read(store, key, 0..1).await, None);
        writer.discard().await;
        assert_eq!(read(store, key, 0..1).await, None);
    }
}

/// What is deleted is gone, what is not there can be deleted, and others stay.
pub async fn an_object_is_deleted_and_no_other(store: &Arc<dyn ObjectStore>) {
    let one = key();
    let other = ObjectKey {
        part: ObjectPart::Image,
        ..one
    };
    written(store, one, &bytes(10)).await;
    written(store, other, &bytes(20)).await;
    for _ in 0..2 {
        store.delete(one).await.unwrap();
        assert_eq!(read(store, one, 0..1).await, None);
        assert_eq!(read(store, other, 0..20).await.unwrap(), bytes(20));
    }
    store.erase(one.attachment).await.unwrap();
}

/// All objects of an attachment are erased, of whatever try, and none of another.
pub async fn all_of_an_attachment_is_erased(store: &Arc<dyn ObjectStore>) {
    let (mine, other) = (key(), key());
    let mut all = Vec::new();
    for attempt in 0..3 {
        for part in ObjectPart::ALL {
            all.push(ObjectKey {
                attempt: [attempt; 8],
                part,
                ..mine
            });
        }
    }
    for key in all.iter().chain([&other]) {
        written(store, *key, &bytes(10)).await;
    }
    for _ in 0..2 {
        store.erase(mine.attachment).await.unwrap();
        for key in &all {
            assert_eq!(read(store, *key, 0..1).await, None);
        }
    }
    assert_eq!(read(store, other, 0..10).await.unwrap(), bytes(10));
    store.erase(other.attachment).await.unwrap();
}

super::suite::rules! {
    objects_rules:
    what_was_written_is_read,
    an_object_is_there_as_a_whole_or_not_at_all,
    an_object_is_deleted_and_no_other,
    all_of_an_attachment_is_erased,
}
