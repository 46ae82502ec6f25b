//! Sentinels that name another primary, and a Cluster that changes.

use secrecy::SecretString;
use talksy_domain::id::ChatId;
use talksy_redis::PrepareError;
use talksy_tests::eventually;
use talksy_tests::servers::redis::{RedisCluster, RedisSentinel};

use super::{RULE, closed, follow, gets_through, ids, instance, interruption};

#[tokio::test(flavor = "multi_thread")]
async fn a_sentinel_failover_is_followed() {
    let mut group = RedisSentinel::start().await;
    let (here, there) = (instance(&group.url()).await, instance(&group.url()).await);
    let chat: ChatId = ids().next();
    let mut receiver = follow(&there, chat).await;
    gets_through(&*here.bus(), chat, &mut receiver).await;
    group.primary.0.kill().await;
    interruption(&mut receiver).await;
    gets_through(&*here.bus(), chat, &mut receiver).await;
    eventually("limits on the new primary", async || {
        here.limiter().check(RULE, "key").await.ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_node_that_is_lost_interrupts_and_comes_back() {
    let mut cluster = RedisCluster::start().await;
    let (here, there) = (
        instance(&cluster.url()).await,
        instance(&cluster.url()).await,
    );
    let chats: Vec<ChatId> = (0..12).map(|_| ids().next()).collect();
    let mut receivers = Vec::new();
    for chat in &chats {
        let mut receiver = follow(&there, *chat).await;
        gets_through(&*here.bus(), *chat, &mut receiver).await;
        receivers.push(receiver);
    }
    assert!(cluster.calls("spublish").await >= 12);
    assert_eq!(cluster.calls("publish").await, 0);
    cluster.nodes[1].0.restart().await;
    for (chat, receiver) in chats.iter().zip(&mut receivers) {
        interruption(receiver).await;
        gets_through(&*here.bus(), *chat, receiver).await;
    }
    let plain = SecretString::from(format!("redis://127.0.0.1:{}", cluster.nodes[0].0.port));
    let error = closed(&plain).prepare().await;
    assert!(matches!(error, Err(PrepareError::Layout(_))), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_moves_takes_its_channels_and_keys_along() {
    let cluster = RedisCluster::start().await;
    let (here, there) = (
        instance(&cluster.url()).await,
        instance(&cluster.url()).await,
    );
    let chat: ChatId = ids().next();
    let mut receiver = follow(&there, chat).await;
    gets_through(&*here.bus(), chat, &mut receiver).await;
    let channel = format!("talksy:bus:chat:{chat}");
    let slot = cluster.nodes[0]
        .run(&["CLUSTER", "KEYSLOT", &channel])
        .await;
    let slot = slot.trim();
    let number: u32 = slot.parse().unwrap();
    let source = usize::try_from(number * 3 / 16_384).unwrap();
    let target = (source + 1) % 3;
    let target = cluster.nodes[target].run(&["CLUSTER", "MYID"]).await;
    for node in &cluster.nodes {
        node.run(&["CLUSTER", "SETSLOT", slot, "NODE", target.trim()])
            .await;
    }
    interruption(&mut receiver).await;
    gets_through(&*here.bus(), chat, &mut receiver).await;
    gets_through(&*there.bus(), chat, &mut receiver).await;
}
