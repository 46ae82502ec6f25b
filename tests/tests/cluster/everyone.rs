//! Messages, edits, deletions and memberships on two servers, while everything is killed once:
//! what was acknowledged is there, on each server, and all who follow have it.

use std::io::Write as _;
use std::net::SocketAddr;

use talksy_tests::cluster::{Addresses, Cluster, Instance};
use talksy_tests::crowd::{Scene, kill_rounds};

/// What happens while people work.
#[derive(Clone, Copy, Debug)]
enum Disturbance {
    None,
    KillInstance(usize),
    StopInstance(usize),
    KillRedis,
    KillMongo,
}

const DISTURBANCES: [Disturbance; 6] = [
    Disturbance::None,
    Disturbance::KillInstance(0),
    Disturbance::KillRedis,
    Disturbance::KillMongo,
    Disturbance::KillInstance(1),
    Disturbance::StopInstance(0),
];

/// Two servers, and where each is followed.
struct World {
    cluster: Cluster,
    instances: [Option<Instance>; 2],
    /// Those at the one, those at the other, and those who turn to both.
    at: [Addresses; 3],
}

impl World {
    fn addresses(&self) -> Vec<SocketAddr> {
        let instances = self.instances.iter().flatten();
        instances.map(Instance::address).collect()
    }

    /// Has clients turn to where the servers are now.
    fn tell(&self) {
        for (at, instance) in self.at.iter().zip(&self.instances) {
            at.set(&instance.iter().map(Instance::address).collect::<Vec<_>>());
        }
        self.at[2].set(&self.addresses());
    }

    async fn disturb(&mut self, disturbance: Disturbance) {
        match disturbance {
            Disturbance::None => {}
            Disturbance::KillInstance(n) => {
                if let Some(instance) = self.instances[n].take() {
                    instance.process.kill().await;
                }
            }
            Disturbance::StopInstance(n) => {
                if let Some(mut instance) = self.instances[n].take() {
                    instance.process.signal("TERM").await;
                    assert!(instance.process.ended().await.success());
                }
            }
            Disturbance::KillRedis => {
                self.cluster.redis.0.kill().await;
                self.cluster.redis.0.start().await;
            }
            Disturbance::KillMongo => {
                self.cluster.mongo.kill().await;
                self.cluster.mongo.start().await;
            }
        }
    }

    /// Starts what was ended, and waits until all serve.
    async fn restore(&mut self) {
        for instance in &mut self.instances {
            match instance {
                Some(instance) => instance.ready().await,
                None => *instance = Some(self.cluster.instance(&[]).await),
            }
        }
        self.tell();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_was_acknowledged_is_there_and_every_follower_has_it_whatever_is_killed() {
    let cluster = Cluster::start().await;
    let (a, b) = (cluster.instance(&[]).await, cluster.instance(&[]).await);
    let mut people = Vec::new();
    for (n, name) in ["ada", "bob", "cyd", "dan"].into_iter().enumerate() {
        people.push([&a, &b][n % 2].sign_in(name).await);
    }
    let mut world = World {
        cluster,
        instances: [Some(a), Some(b)],
        at: Default::default(),
    };
    world.tell();
    let [ada, bob, cyd, dan] = people.iter().collect::<Vec<_>>().try_into().unwrap();
    let at = world.at.clone();
    let mut scene = Scene::start([ada, bob, cyd, dan], &at.each_ref()).await;
    for round in 0..kill_rounds(DISTURBANCES.len()) {
        let disturbance = DISTURBANCES[round % DISTURBANCES.len()];
        let enough = 40 + 10 * (round % 10);
        let addresses = world.addresses();
        let disturbing = world.disturb(disturbance);
        scene.crowd.work(&addresses, enough, disturbing).await;
        world.restore().await;
        scene.check(&world.addresses()).await;
        let line = format!(
            "{disturbance:?}: {} things acknowledged or refused so far, {} cut off, {} connections \
             of replicas\n",
            scene.crowd.answers,
            scene.crowd.unknown,
            scene.connections()
        );
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
}
