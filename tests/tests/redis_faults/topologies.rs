//! Sentinels that name another primary, and a Cluster that changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use secrecy::SecretString;
use talksy_domain::error::PortError;
use talksy_domain::events::{Signal, Topic};
use talksy_domain::id::ChatId;
use talksy_redis::PrepareError;
use talksy_tests::servers::redis::{RedisCluster, RedisSentinel, RedisServer};
use talksy_tests::{eventually, soon};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

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
async fn a_cluster_node_that_is_lost_interrupts_what_it_carried_and_comes_back() {
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
    let mut owners = Vec::new();
    for chat in &chats {
        owners.push(node_of(&cluster, &format!("talksy:bus:chat:{chat}")).await);
    }
    let carried = owners.iter().filter(|owner| **owner == 1).count();
    assert!(carried > 0 && carried < chats.len(), "{owners:?}");
    cluster.nodes[1].0.restart().await;
    for ((chat, receiver), owner) in chats.iter().zip(&mut receivers).zip(&owners) {
        if *owner == 1 {
            let missed = soon("an interruption", async {
                loop {
                    match receiver.recv().await {
                        Signal::Event(_) => {}
                        Signal::Missed(topic) => break topic,
                        Signal::Interrupted => panic!("not all that is followed was lost"),
                    }
                }
            });
            assert_eq!(missed.await, Topic::Chat(*chat));
        }
    }
    // What other nodes carry went on.
    for (receiver, owner) in receivers.iter_mut().zip(owners) {
        while let Some(signal) = receiver.try_recv() {
            assert!(
                owner == 1 || matches!(signal, Signal::Event(_)),
                "{signal:?}"
            );
        }
    }
    for (chat, receiver) in chats.iter().zip(&mut receivers) {
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
    // What stays where it is.
    let mut others = Vec::new();
    for _ in 0..4 {
        let other = ids().next();
        others.push((other, follow(&there, other).await));
    }
    let channel = format!("talksy:bus:chat:{chat}");
    let slot = slot_of(&cluster, &channel).await;
    let (slot, source) = (&*slot, node_of(&cluster, &channel).await);
    let target = (source + 1) % 3;
    let target = cluster.nodes[target].run(&["CLUSTER", "MYID"]).await;
    for node in &cluster.nodes {
        node.run(&["CLUSTER", "SETSLOT", slot, "NODE", target.trim()])
            .await;
    }
    interruption(&mut receiver).await;
    gets_through(&*here.bus(), chat, &mut receiver).await;
    gets_through(&*there.bus(), chat, &mut receiver).await;
    for (other, receiver) in &mut others {
        assert!(receiver.try_recv().is_none(), "nothing was missed of it");
        gets_through(&*here.bus(), *other, receiver).await;
    }
}

async fn slot_of(cluster: &RedisCluster, channel: &str) -> String {
    let ask = ["CLUSTER", "KEYSLOT", channel];
    let slot = cluster.nodes[0].run(&ask).await;
    slot.trim().to_owned()
}

/// The number of the node that carries a channel, in a Cluster that is as it was made.
async fn node_of(cluster: &RedisCluster, channel: &str) -> usize {
    let slot: usize = slot_of(cluster, channel).await.parse().unwrap();
    slot * 3 / 16_384
}

/// A name that leads to one server or another: what has connected stays connected.
struct Name {
    port: u16,
    leads_to: Arc<AtomicU16>,
    _relay: AbortOnDropHandle<()>,
}

impl Name {
    async fn of(server: &RedisServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let leads_to = Arc::new(AtomicU16::new(server.0.port));
        let target = Arc::clone(&leads_to);
        let relay = async move {
            let mut connections = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let target = ("127.0.0.1", target.load(Ordering::SeqCst));
                connections.spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(target).await {
                        // Either side may go.
                        let _ = copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        };
        Self {
            port,
            leads_to,
            _relay: AbortOnDropHandle::new(tokio::spawn(relay)),
        }
    }

    fn url(&self) -> SecretString {
        format!("redis://127.0.0.1:{}", self.port).into()
    }

    fn lead_to(&self, server: &RedisServer) {
        self.leads_to.store(server.0.port, Ordering::SeqCst);
    }
}

/// As behind a managed service's name: the old primary goes on as a replica, and closes no connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_becomes_a_replica_is_left_for_who_has_its_name_then() {
    let (first, second) = (RedisServer::start().await, RedisServer::start().await);
    let name = Name::of(&first).await;
    let (here, there) = (instance(&name.url()).await, instance(&name.url()).await);
    let chat: ChatId = ids().next();
    let mut receiver = follow(&there, chat).await;
    gets_through(&*here.bus(), chat, &mut receiver).await;
    here.limiter().check(RULE, "key").await.unwrap();

    // Nobody has the name yet but the replica: that is an outage, and no fault of who asks.
    let primary = second.0.port.to_string();
    first.run(&["REPLICAOF", "127.0.0.1", &primary]).await;
    let refused = here.limiter().check(RULE, "key").await.unwrap_err();
    assert!(
        matches!(refused, PortError::Unavailable { .. }),
        "{refused:?}"
    );
    let unready = here.ping().await.unwrap_err();
    assert!(unready.contains("replica"), "{unready}");

    name.lead_to(&second);
    eventually("limits on the new primary", async || {
        here.limiter().check(RULE, "key").await.ok()
    })
    .await;
    eventually("readiness", async || here.ping().await.ok()).await;
    // All that is published goes by way of the new primary, and who followed follows there.
    gets_through(&*here.bus(), chat, &mut receiver).await;
    eventually("the subscriber on the new primary", async || {
        let channel = format!("talksy:bus:chat:{chat}");
        let subscribers = second.run(&["PUBSUB", "NUMSUB", &channel]).await;
        subscribers.trim().ends_with("\n1").then_some(())
    })
    .await;
}
