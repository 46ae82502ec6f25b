//! How far all others have read a group: told as it moves, beside the receipts where the group is told in
//! detail.

use std::collections::HashSet;

use futures_util::FutureExt as _;
use talksy_domain::feeds::{AccountFeed, Feed as _};
use talksy_domain::id::ChatId;
use talksy_domain::seq::Seq;

use super::feed::{scripted, take, until_caught_up};
use super::script::Mode;
use super::world::no_heartbeat;

/// How far all others have read the group, which was told a moment ago.
async fn read_by_all(feed: &mut AccountFeed, group: ChatId) -> Option<Seq> {
    let item = feed.chat(group).await.unwrap().unwrap();
    feed.read_by_all(&item).await.unwrap()
}

#[tokio::test]
async fn that_all_others_have_read_on_is_told_with_detail_and_without() {
    for is_detailed in [true, false] {
        let (world, bus) = scripted(64, no_heartbeat()).await;
        let group = world.group("group", &[&world.ben]).await;
        for _ in 0..3 {
            world.send(group, &world.ben, "to be read").await;
        }
        let names = [(group, "group")];
        let detail = (!is_detailed).then(HashSet::new);
        let feeds = &world.services.feeds;
        let mut feed = feeds.account(&world.ben, None, detail).await.unwrap();
        until_caught_up(&mut feed, &names).await;
        let chats = &world.services.chats;
        let expected = |receipts: &[&str]| -> Vec<String> {
            let receipts = receipts.iter().filter(|_| is_detailed);
            let all = receipts.chain(&["group changed"]);
            all.map(|text| (*text).to_owned()).collect()
        };

        chats.mark_read(&world.cleo, group, 3).await.unwrap();
        chats.mark_read(&world.ann, group, 4).await.unwrap();
        let wanted = expected(&["group read 3", "group read 4"]);
        assert_eq!(take(&mut feed, &names, wanted.len()).await, wanted);
        assert_eq!(read_by_all(&mut feed, group).await, Some(3));

        chats.mark_read(&world.cleo, group, 4).await.unwrap();
        let wanted = expected(&["group read 4"]);
        assert_eq!(take(&mut feed, &names, wanted.len()).await, wanted);
        assert_eq!(read_by_all(&mut feed, group).await, Some(4));
        assert!(feed.next().now_or_never().is_none());

        // Without any word of it, it is found by looking.
        bus.set(Mode::Lose);
        world.send(group, &world.ben, "one more").await;
        for reader in [&world.ann, &world.cleo] {
            chats.mark_read(reader, group, 5).await.unwrap();
        }
        bus.interrupt();
        let mut told = HashSet::new();
        while !told.contains("group changed") || (is_detailed && !told.contains("group +5")) {
            told.extend(take(&mut feed, &names, 1).await);
        }
        assert_eq!(read_by_all(&mut feed, group).await, Some(5));
    }
}
