//! Following and publishing among many, newer ones and at the end.

use std::sync::Arc;
use std::time::Duration;

use talksy_domain::clock::SystemClock;
use talksy_domain::events::{Interest, Signal, Topic};
use talksy_domain::id::ChatId;
use talksy_redis::{RedisAdapters, RedisOptions};
use talksy_tests::servers::redis::RedisServer;
use talksy_tests::{eventually, soon};

use super::{assert_unavailable, event, follow, ids, instance, options, typing};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_follows_hears_what_comes_however_many_come_and_go() {
    let server = RedisServer::start().await;
    let here = instance(&server.url()).await;
    let options = RedisOptions {
        linger: Duration::ZERO,
        mailbox: 100_000,
        ..options()
    };
    let there = RedisAdapters::open(&server.url(), Arc::new(SystemClock), &options).unwrap();
    there.start();
    let chats: [ChatId; 3] = [(); 3].map(|()| ids().next());
    let tasks: Vec<_> = (0..16)
        .map(|n| {
            let (here, there) = (here.bus(), there.bus());
            tokio::spawn(async move {
                for round in 0..60 {
                    let chat = chats[(n + round) % chats.len()];
                    let topic = Topic::Chat(chat);
                    let mut receiver = there.subscribe(Interest::TYPING, &[topic]).await.unwrap();
                    let sent = typing(chat);
                    here.publish(topic, sent.clone()).await.unwrap();
                    soon("what was published after following", async {
                        loop {
                            match receiver.recv().await {
                                Signal::Event(published) if published.event == sent => return,
                                Signal::Event(_) => {}
                                Signal::Missed(_) | Signal::Interrupted => {
                                    panic!("nothing was interrupted")
                                }
                            }
                        }
                    })
                    .await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    eventually("no channels", async || {
        let channels = server.run(&["PUBSUB", "CHANNELS"]).await;
        channels.trim().is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_instance_says_is_left_alone_and_counted() {
    let server = RedisServer::start().await;
    let (here, there) = (instance(&server.url()).await, instance(&server.url()).await);
    let chat: ChatId = ids().next();
    let mut receiver = follow(&there, chat).await;
    let channel = format!("talksy:bus:chat:{chat}");
    for envelope in [
        r#"{"v":9}"#,
        r#"{"v":1,"from":"x","event":{"type":"reactionAdded"}}"#,
        "nonsense",
    ] {
        server.run(&["PUBLISH", &channel, envelope]).await;
    }
    let sent = typing(chat);
    here.bus()
        .publish(Topic::Chat(chat), sent.clone())
        .await
        .unwrap();
    assert_eq!(event(&mut receiver).await, sent);
    assert_eq!(there.unknown_events(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_to_be_published_is_published_before_the_end() {
    let server = RedisServer::start().await;
    let (here, there) = (instance(&server.url()).await, instance(&server.url()).await);
    let chat: ChatId = ids().next();
    let mut receiver = follow(&there, chat).await;
    let sent: Vec<_> = (0..500).map(|_| typing(chat)).collect();
    for event in &sent {
        here.bus()
            .publish(Topic::Chat(chat), event.clone())
            .await
            .unwrap();
    }
    here.close().await;
    for expected in &sent {
        assert_eq!(event(&mut receiver).await, *expected);
    }
    let late = here.bus().publish(Topic::Chat(chat), typing(chat)).await;
    assert_unavailable(late);
}
