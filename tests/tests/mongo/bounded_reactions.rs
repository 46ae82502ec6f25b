//! What reads of reactions cost.

use mongodb::bson::{Document, doc};
use talksy_domain::id::{MessageId, UserId};
use talksy_domain::messages::{
    ChangeAction, Changed, Emoji, MessageChange, MessageStore as _, ReactionPage,
};
use talksy_tests::eventually;
use talksy_tests::servers::mongo::Mongo;

use super::bounded::{assert_indexed, cost, seen};
use super::{Fixture, NOW, done, draft, forward, group, ids};

/// What is shown of reactions costs the same however many have reacted, and however many messages are
/// asked for.
#[tokio::test(flavor = "multi_thread")]
async fn reactions_cost_what_is_shown_of_them() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let crowd: Vec<UserId> = (0..80).map(|_| ids().next()).collect();
    let chat = group(&fixture.store, fixture.users[0], &crowd).await;
    let emoji = Emoji::parse("👍").unwrap();
    let mut sent = Vec::new();
    for _ in 0..5 {
        let message = fixture.store.append(&draft(chat, crowd[0])).await.unwrap();
        sent.push(done(message).message.id);
    }
    let react = |message_id, actor_id| MessageChange {
        message_id,
        chat_id: chat,
        actor_id,
        at: NOW,
        action: ChangeAction::React {
            emoji: emoji.clone(),
            is_added: true,
        },
    };
    let outside = fixture.outside(mongo).await;
    let messages = outside.collection::<Document>("messages");
    let with_toggles = doc! { "toggles": { "$exists": true } };
    let at = seen(mongo, &fixture.database).await;
    let store = &at.0;
    let mut costs = Vec::new();
    for reacting in [&crowd[..4], &crowd[4..]] {
        for user in reacting {
            for message in &sent {
                let done = fixture.store.change(&react(*message, *user)).await.unwrap();
                assert!(matches!(done, Changed::Done(_)));
            }
        }
        // What a change leaves to be done behind its answer is done.
        let place = (chat, sent[0]);
        let all: Vec<_> = sent.iter().map(|message| (chat, *message)).collect();
        eventually("no toggles", async || {
            let left = messages.count_documents(with_toggles.clone()).await;
            (left.unwrap() == 0).then_some(())
        })
        .await;
        at.1.reads();
        let mut of_count = Vec::new();
        let (own, it) = cost(&at, store.reactions_of(crowd[0], &all)).await;
        assert_eq!(own.unwrap().len(), 5);
        of_count.push(it);
        let (among, it) = cost(&at, store.reactions_among(place, &crowd[..3])).await;
        assert_eq!(among.unwrap().len(), 3);
        of_count.push(it);
        let page = |message: &MessageId| ReactionPage {
            message_id: *message,
            chat_id: chat,
            emoji: emoji.clone(),
            window: forward(None, 2),
        };
        let wanted: Vec<_> = sent.iter().map(page).collect();
        let (pages, it) = cost(&at, store.reaction_pages(&wanted)).await;
        let pages = pages.unwrap();
        assert!(
            pages
                .iter()
                .all(|page| page.items.len() == 2 && page.has_next)
        );
        of_count.push(it);
        let pinned = [(chat, 1, forward(None, 2))];
        let (pages, it) = cost(&at, store.pinned_pages(&pinned)).await;
        assert_eq!(pages.unwrap()[0].items, []);
        of_count.push(it);
        assert_indexed(&at.1, 16);
        costs.push(of_count);
    }
    println!("{:?}", costs[1]);
    assert_eq!(costs[0], costs[1]);
}
