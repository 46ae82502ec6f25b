//! A store that was restored, or set back, below the stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use talksy_domain::error::{ApiError, ErrorCode, PortError};
use talksy_domain::feeds::{AccountEvent, AccountFeed, AccountItem, AccountPosition, Feed as _};
use talksy_domain::feeds::{FeedError, FeedPolicy};
use talksy_domain::id::ChatId;
use talksy_domain::messages::{Head, MessageStore, MessageStoreLayer};
use talksy_domain::port::{Layer, Layered};
use talksy_tests::soon;

use super::script::ScriptBus;
use super::world::{Backend, World, no_heartbeat, quick};

/// A store that shows messages up to a number only.
struct SetBack {
    behind: Arc<dyn MessageStore>,
    shown: Arc<AtomicU32>,
}

impl Layer<dyn MessageStore> for SetBack {
    fn inner(&self) -> &Arc<dyn MessageStore> {
        &self.behind
    }
}

impl MessageStoreLayer for SetBack {
    async fn heads(&self, chats: &[ChatId]) -> Result<Vec<Head>, PortError> {
        let mut heads = self.behind.heads(chats).await?;
        for head in &mut heads {
            head.last_seq = head.last_seq.min(self.shown.load(Ordering::SeqCst));
        }
        Ok(heads)
    }
}

async fn opened(world: &World) -> (AccountFeed, String) {
    let feeds = &world.services.feeds;
    let mut feed = feeds.account(&world.ben, None, None).await.unwrap();
    let checkpoint = soon("a checkpoint", feed.next()).await.unwrap();
    (feed, checkpoint.cursor.encode())
}

async fn refusal(world: &World, checkpoint: &str, since: &[String]) -> ApiError {
    let position = AccountPosition::parse(world.ben.user_id, checkpoint, since).unwrap();
    // As a process that starts on the restored store.
    let restarted = world.instance(ScriptBus::new(64));
    let feed = restarted.feeds.account(&world.ben, Some(position), None);
    feed.await.err().unwrap().into()
}

#[tokio::test]
async fn a_position_from_before_is_told_so_also_a_part_of_it() {
    let world = World::new(Backend::open().await, ScriptBus::new(64), no_heartbeat()).await;
    let chat = world.direct(&world.ann, &world.ben).await;
    let (mut feed, old) = opened(&world).await;
    world.send(chat, &world.ann, "hello").await;
    let AccountEvent { item, cursor } = soon("a message", feed.next()).await.unwrap();
    assert!(matches!(item, AccountItem::MessageAdded(_)), "{item:?}");
    world.backend.restore().await;
    let told = refusal(&world, &old, &[]).await;
    assert_eq!(told.code, ErrorCode::ResyncRequired);
    assert_eq!(told.field.as_deref(), Some("after"));
    let restarted = world.instance(ScriptBus::new(64));
    let fresh = restarted.feeds.account(&world.ben, None, None).await;
    let fresh = soon("a checkpoint", fresh.unwrap().next()).await.unwrap();
    let told = refusal(&world, &fresh.cursor.encode(), &[cursor.encode()]).await;
    assert_eq!(told.code, ErrorCode::ResyncRequired);
}

#[tokio::test]
async fn a_stream_that_is_open_ends() {
    let world = World::new(Backend::open().await, ScriptBus::new(64), quick()).await;
    world.direct(&world.ann, &world.ben).await;
    let (mut feed, _) = opened(&world).await;
    world.backend.restore().await;
    let error = loop {
        match soon("the end", feed.next()).await {
            Ok(event) => assert!(matches!(event.item, AccountItem::Checkpoint { .. })),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, FeedError::Restored), "{error:?}");
    assert_eq!(ApiError::from(error).code, ErrorCode::ResyncRequired);
}

#[tokio::test]
async fn a_chat_that_was_set_back_is_reset_and_goes_on_from_there() {
    let live = FeedPolicy {
        checkpoint_events: 1_000,
        checkpoint_after: super::world::NEVER,
        ..quick()
    };
    let bus = ScriptBus::new(64);
    let mut world = World::new(Backend::open().await, Arc::clone(&bus) as _, live).await;
    let shown = Arc::new(AtomicU32::new(u32::MAX));
    world.ports.messages = Arc::new(Layered(SetBack {
        behind: Arc::clone(&world.ports.messages),
        shown: Arc::clone(&shown),
    }));
    world.services = world.instance(bus);
    let chat = world.direct(&world.ann, &world.ben).await;
    let (mut feed, _) = opened(&world).await;
    for _ in 0..3 {
        world.send(chat, &world.ann, "hello").await;
        let told = soon("a message", feed.next()).await.unwrap();
        assert!(matches!(told.item, AccountItem::MessageAdded(_)));
    }
    shown.store(1, Ordering::SeqCst);
    let told = soon("a reset", feed.next()).await.unwrap();
    assert!(matches!(told.item, AccountItem::ChatReset(reset) if reset == chat));
    let told = soon("its change", feed.next()).await.unwrap();
    assert!(matches!(told.item, AccountItem::ChatChanged(changed) if changed == chat));
    shown.store(2, Ordering::SeqCst);
    let told = soon("a message", feed.next()).await.unwrap();
    match told.item {
        AccountItem::MessageAdded(told) => assert_eq!(told.message().unwrap().seq, 2),
        other => panic!("{other:?}"),
    }
}
