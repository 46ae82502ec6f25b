//! Refresh tokens where several instances exchange them.

use std::sync::Arc;

use futures_util::future::join_all;
use mongodb::bson::{Document, RawDocumentBuf, doc};
use talksy_domain::auth::{
    Exchange, Rotation, Session, SessionLife, SessionStore as _, TokenHash, TokenSalt,
};
use talksy_domain::id::{self, SessionId};
use talksy_mongo::MongoStore;
use talksy_tests::servers::mongo::Mongo;
use tokio::sync::Barrier;

use super::{Duration, Fixture, NOW, ids, key};

const LIFE: SessionLife = SessionLife {
    idle: Duration::from_hours(24),
    longest: Duration::from_hours(48),
    retry: Duration::from_mins(1),
};

fn session(fixture: &Fixture) -> Session {
    Session {
        id: ids().next(),
        user_id: fixture.users[0],
        created_at: NOW,
        last_used_at: NOW,
        expires_at: NOW + LIFE.idle,
        user_agent: None,
        ip_address: None,
    }
}

/// Presents the token of a generation; its successor is made of this salt.
fn exchange(session: &Session, generation: u32, salt: u8) -> Exchange {
    let of = |generation: u32| {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&generation.to_be_bytes());
        TokenHash(hash)
    };
    Exchange {
        session_id: session.id,
        presented: of(generation),
        generation,
        is_sealed: true,
        replacement: of(generation + 1),
        salt: TokenSalt([salt; 32]),
        now: NOW,
        life: LIFE,
    }
}

fn by_id(session: SessionId) -> Document {
    doc! { "_id": key(id::bytes(session)) }
}

async fn created(store: &MongoStore, session: &Session) {
    let first = exchange(session, 0, 0).presented;
    store.create_session(session, first).await.unwrap();
}

/// Clients of two instances that present one token at the same instant are given one successor, in
/// each of many rounds.
#[tokio::test(flavor = "multi_thread")]
async fn two_instances_give_one_token_one_successor() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let instances = [
        fixture.store.clone(),
        mongo.store_on(&fixture.database).await,
    ];
    let session = session(&fixture);
    created(&fixture.store, &session).await;
    for generation in 0..50 {
        let start = Arc::new(Barrier::new(8));
        let tasks = (0..8_u8).map(|at| {
            let store = instances[usize::from(at) % 2].clone();
            let (exchange, start) = (exchange(&session, generation, at), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                (
                    store.rotate_session(&exchange).await.unwrap(),
                    exchange.salt,
                )
            })
        });
        let (mut first, mut again) = (Vec::new(), Vec::new());
        for answer in join_all(tasks).await {
            match answer.unwrap() {
                (Rotation::Rotated(_), salt) => first.push(salt),
                (Rotation::Repeated(_, salt), _) => again.push(salt),
                (other, _) => panic!("{other:?}"),
            }
        }
        assert_eq!(first.len(), 1, "in round {generation}");
        assert_eq!(again, vec![first[0]; 7], "in round {generation}");
    }
}

/// A session's document has the same size after one refresh and after many, and each costs two
/// commands, or one where nothing is changed.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_takes_the_same_room_however_often_it_is_refreshed() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let session = session(&fixture);
    created(&fixture.store, &session).await;
    let sessions = fixture
        .outside(mongo)
        .await
        .collection::<RawDocumentBuf>("sessions");
    let mut sizes = Vec::new();
    for generation in 0..20 {
        let commands = fixture.store.commands();
        for expected in ["Rotated", "Repeated"] {
            let exchange = exchange(&session, generation, 7);
            let answer = fixture.store.rotate_session(&exchange).await.unwrap();
            assert!(format!("{answer:?}").starts_with(expected), "{answer:?}");
        }
        assert_eq!(fixture.store.commands() - commands, 3);
        let kept = sessions.find_one(by_id(session.id)).await.unwrap().unwrap();
        sizes.push(kept.as_bytes().len());
    }
    assert_eq!(sizes, vec![sizes[0]; 20]);
}

/// Sessions of schema version 2 name no generation: they are gone once the database is prepared, and
/// no others.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_an_earlier_release_are_over() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let (before, new) = (session(&fixture), session(&fixture));
    for session in [&before, &new] {
        created(&fixture.store, session).await;
    }
    let outside = fixture.outside(mongo).await;
    let old = doc! { "$unset": { "generation": "" }, "$set": { "retired": [] } };
    let sessions = outside.collection::<Document>("sessions");
    sessions.update_one(by_id(before.id), old).await.unwrap();
    let version = doc! { "$set": { "version": 2_i64 } };
    let meta = outside.collection::<Document>("meta");
    let schema = doc! { "_id": "schema" };
    meta.update_one(schema.clone(), version).await.unwrap();

    let store = mongo.store_on(&fixture.database).await;
    assert_eq!(store.session(before.id).await.unwrap(), None);
    assert_eq!(store.session(new.id).await.unwrap(), Some(new.clone()));
    let answer = store.rotate_session(&exchange(&new, 0, 1)).await.unwrap();
    assert!(matches!(answer, Rotation::Rotated(_)), "{answer:?}");
    let kept = meta.find_one(schema).await.unwrap().unwrap();
    assert_eq!(kept.get_i64("version").unwrap(), 5);
}
