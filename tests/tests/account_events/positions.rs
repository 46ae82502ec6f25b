//! Positions that are forged, torn, another user's, or beyond what there is.

use std::sync::Arc;

use talksy_domain::cursor::{Cursor as _, MessageCursor};
use talksy_domain::error::{ApiError, ErrorCode};
use talksy_domain::feeds::{AccountItem, AccountPosition, Feed as _, FeedError, MAX_POSITION};
use talksy_domain::id::ChatId;
use talksy_domain::viewer::Viewer;
use talksy_tests::soon;

use super::script::ScriptBus;
use super::world::{Backend, World, no_heartbeat};

async fn world() -> World {
    let bus = ScriptBus::new(64);
    World::new(Backend::open().await, bus, no_heartbeat()).await
}

async fn checkpoint(world: &World, viewer: &Viewer) -> String {
    let feeds = &world.services.feeds;
    let mut feed = feeds.account(viewer, None, None).await.unwrap();
    let event = soon("a checkpoint", feed.next()).await.unwrap();
    assert!(matches!(event.item, AccountItem::Checkpoint { .. }));
    event.cursor.encode()
}

async fn cursor(world: &World, chat_id: ChatId, seq: u32, change_seq: u32) -> String {
    let change_seq = Some(change_seq);
    MessageCursor {
        chat_id,
        incarnation: world.services.feeds.incarnation().await.unwrap(),
        seq,
        change_seq,
    }
    .encode()
}

/// The argument that is refused.
fn refused(viewer: &Viewer, checkpoint: &str, since: &[String]) -> String {
    let position = AccountPosition::parse(viewer.user_id, checkpoint, since);
    position.unwrap_err().field.into_owned()
}

#[tokio::test]
async fn what_the_server_has_not_given_is_refused_by_its_argument() {
    let world = world().await;
    let chat = world.direct(&world.ann, &world.ben).await;
    world.direct(&world.cleo, &world.ben).await;
    let ben = world.ben;
    let good = checkpoint(&world, &ben).await;
    assert!(AccountPosition::parse(ben.user_id, &good, &[]).is_ok());
    for end in 0..good.len() {
        assert_eq!(
            refused(&ben, &good[..end], &[]),
            "after.checkpoint",
            "{end}"
        );
    }
    let fine = cursor(&world, chat, 0, 0).await;
    for bad in ["", "!", "aaaa", &fine, &format!("{good}AAAA")] {
        assert_eq!(refused(&ben, bad, &[]), "after.checkpoint", "{bad}");
    }
    let anns = checkpoint(&world, &world.ann).await;
    assert_eq!(refused(&ben, &anns, &[]), "after.checkpoint");
    for bad in ["", "!", &good, &"A".repeat(600), &fine[..fine.len() - 4]] {
        let since = [fine.clone(), bad.to_owned()];
        assert_eq!(refused(&ben, &good, &since), "after.since.1", "{bad}");
    }
    let many = vec![fine.clone(); 1_001];
    assert_eq!(refused(&ben, &good, &many), "after.since");
    let long = vec!["A".repeat(MAX_POSITION / 900); 1_000];
    assert_eq!(refused(&ben, &good, &long), "after.since");
    let long = "A".repeat(MAX_POSITION + 1);
    assert_eq!(refused(&ben, &long, &[]), "after.checkpoint");
}

async fn why(world: &World, checkpoint: &str, since: &[String]) -> FeedError {
    let position = AccountPosition::parse(world.ben.user_id, checkpoint, since).unwrap();
    let feeds = &world.services.feeds;
    match feeds.account(&world.ben, Some(position), None).await {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn places_of_other_chats_and_beyond_the_end_are_refused() {
    let world = world().await;
    let chat = world.direct(&world.ann, &world.ben).await;
    let strange = world.direct(&world.ann, &world.cleo).await;
    let good = checkpoint(&world, &world.ben).await;
    let since = [
        cursor(&world, chat, 0, 0).await,
        cursor(&world, strange, 0, 0).await,
    ];
    let error: ApiError = why(&world, &good, &since).await.into();
    assert_eq!(error.code, ErrorCode::BadUserInput);
    assert_eq!(error.field.as_deref(), Some("after.since.1"));
    for (seq, change_seq) in [(1, 0), (0, 1)] {
        let beyond = cursor(&world, chat, seq, change_seq).await;
        let error: ApiError = why(&world, &good, &[beyond]).await.into();
        assert_eq!(error.code, ErrorCode::ResyncRequired);
    }
}

#[tokio::test]
async fn a_place_beyond_the_end_is_waited_for() {
    let live = talksy_domain::feeds::FeedPolicy {
        ahead_grace: super::world::NEVER,
        ..no_heartbeat()
    };
    let world = World::new(Backend::open().await, ScriptBus::new(64), live).await;
    let world = Arc::new(world);
    let chat = world.direct(&world.ann, &world.ben).await;
    let good = checkpoint(&world, &world.ben).await;
    let since = [cursor(&world, chat, 1, 0).await];
    let position = AccountPosition::parse(world.ben.user_id, &good, &since).unwrap();
    let opening = tokio::spawn({
        let world = Arc::clone(&world);
        async move {
            let feeds = &world.services.feeds;
            feeds
                .account(&world.ben, Some(position), None)
                .await
                .is_ok()
        }
    });
    world.send(chat, &world.ann, "late").await;
    assert!(soon("the feed to open", opening).await.unwrap());
}
