//! What was deleted is shown by no resume that begins after the deletion was acknowledged.

use super::world::{World, message, no_heartbeat, take};

#[tokio::test]
async fn a_resume_behind_a_deletion_does_not_show_what_an_earlier_one_read() {
    let (world, _bus) = World::scripted(16, no_heartbeat()).await;
    let sent = world.send(&world.ann, "a secret").await;
    world.send(&world.ann, "no secret").await;
    let text = async |world: &World| {
        let mut feed = world.follow_after(0).await;
        let items = take(&mut feed, 2).await;
        message(&items[0]).text.map(|text| text.as_str().to_owned())
    };
    // The page is shared with whoever has the same hole.
    assert_eq!(text(&world).await.as_deref(), Some("a secret"));
    world.edit(&world.ann, &sent, "less of a secret").await;
    assert_eq!(text(&world).await.as_deref(), Some("less of a secret"));
    world.delete(&world.ann, &sent).await;
    assert_eq!(text(&world).await, None);
}

#[tokio::test]
async fn nor_does_an_account_that_resumes() {
    let (world, _bus) = World::scripted(16, no_heartbeat()).await;
    let feeds = &world.services.feeds;
    let mut account = feeds.account(&world.ben, None, None).await.unwrap();
    let checkpoint = super::world::next(&mut account).await.cursor.encode();
    drop(account);
    let sent = world.send(&world.ann, "a secret").await;
    let text = async |world: &World| {
        let user = world.ben.user_id;
        let position = talksy_domain::feeds::AccountPosition::parse(user, &checkpoint, &[]);
        let feeds = &world.services.feeds;
        let feed = feeds.account(&world.ben, Some(position.unwrap()), None);
        let mut feed = feed.await.unwrap();
        loop {
            if let talksy_domain::feeds::AccountItem::MessageAdded(published) =
                super::world::next(&mut feed).await.item
            {
                let text = message(&published).text;
                return text.map(|text| text.as_str().to_owned());
            }
        }
    };
    assert_eq!(text(&world).await.as_deref(), Some("a secret"));
    world.delete(&world.ann, &sent).await;
    assert_eq!(text(&world).await, None);
}
