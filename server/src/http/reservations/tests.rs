use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;

use super::*;
use crate::config::HttpConfig;
use crate::graphql::OperationType;
use crate::http::connections::Connections;
use crate::http::deadline::Deadline;

const BOUNDS: Bounds = Bounds {
    bytes: 10,
    executions: 1,
};

fn caller(address: &str) -> Caller {
    let mut caller = Caller::default();
    caller.client.ip = Some(address.parse().unwrap());
    caller
}

#[test]
fn streams_are_bounded_in_all_and_for_each_owner() {
    let reservations = Reservations::new(MAX_OF_OWNER + 1, BOUNDS);
    let (here, there) = (caller("192.0.2.1"), caller("192.0.2.2"));
    for n in 0..MAX_OF_OWNER {
        let token = n.to_string().into();
        assert_eq!(reservations.reserve(token, &here), Ok(()));
    }
    let one_more = reservations.reserve("x".into(), &here);
    assert_eq!(one_more, Err(NotReserved::OwnerFull));
    assert_eq!(reservations.reserve("y".into(), &there), Ok(()));
    let full = reservations.reserve("z".into(), &there);
    assert_eq!(full, Err(NotReserved::Full));
    reservations.expire("0");
    assert_eq!(reservations.reserve("x".into(), &here), Ok(()));
}

#[test]
fn a_stream_is_its_owners_and_opened_once() {
    let reservations = Arc::new(Reservations::new(1, BOUNDS));
    let (here, there) = (caller("192.0.2.1"), caller("192.0.2.2"));
    reservations.reserve("t".into(), &here).unwrap();
    assert!(reservations.find("t", &here).is_some());
    assert!(reservations.find("t", &there).is_none());
    let opened = |caller| reservations.open("t", caller);
    assert_eq!(opened(&there).err(), Some(NotOpened::Unknown));
    let open = opened(&here).ok().unwrap();
    assert_eq!(opened(&here).err(), Some(NotOpened::Twice));
    reservations.expire("t");
    assert!(reservations.find("t", &here).is_some(), "it is open");
    drop(open);
    assert!(reservations.find("t", &here).is_none());
    assert_eq!(reservations.reserve("t".into(), &there), Ok(()));
}

#[tokio::test]
async fn what_waits_for_a_stream_is_bounded_in_bytes() {
    let reservations = Arc::new(Reservations::new(1, BOUNDS));
    let here = caller("192.0.2.1");
    reservations.reserve("t".into(), &here).unwrap();
    let mut open = reservations.open("t", &here).ok().unwrap();
    let stream = Arc::clone(&open.stream);
    let queue = stream.queue();
    let mut large = Box::pin(queue.send(Bytes::from_static(b"more than all the room")));
    assert!(queue.send(Bytes::from_static(b"eight...")).await);
    assert!(!queue.is_full());
    assert_eq!(large.as_mut().now_or_never(), None);
    assert!(queue.is_full());
    assert_eq!(Box::pin(queue.room()).now_or_never(), None);
    // It takes all the room that the first one leaves, and waits alone.
    drop(open.events.next().await);
    assert!(large.await);
    assert!(queue.is_full());
    drop(open.events.next().await);
    assert!(queue.room().await);
    assert!(!queue.is_full());
    // Who waits learns of the end.
    assert!(queue.send(Bytes::from_static(b"all of it.")).await);
    let mut waits = Box::pin(queue.room());
    assert_eq!(waits.as_mut().now_or_never(), None);
    drop(open.end);
    assert!(!waits.await);
}

#[tokio::test]
async fn what_waits_counts_as_held_for_the_connection_that_will_bring_it() {
    let connections = Connections::new(&HttpConfig::default());
    let (place, _) = connections.admit("192.0.2.1".parse().unwrap()).unwrap();
    let connection = place.connection();
    let reservations = Arc::new(Reservations::new(1, BOUNDS));
    let mut here = caller("192.0.2.1");
    here.connection = Some(Arc::clone(connection));
    reservations.reserve("t".into(), &here).unwrap();
    let stream = reservations.find("t", &here).unwrap();
    let queue = stream.queue();
    let deadline = Deadline::after(Duration::from_secs(1));
    let turns = || {
        let once = stream.executions().once(OperationType::Query, deadline);
        once.unwrap().turns
    };
    assert_eq!(turns().available_permits(), 0, "nobody reads it yet");
    let mut open = reservations.open("t", &here).ok().unwrap();
    assert_eq!(turns().available_permits(), BOUNDS.executions);
    assert!(queue.send(Bytes::from_static(b"all of it.")).await);
    let mut outside = Box::pin(queue.send(Bytes::from_static(b"outside")));
    assert_eq!(outside.as_mut().now_or_never(), None);
    assert_eq!(connection.held(), 17);
    drop(open.events.next().await);
    assert_eq!(connection.held(), 7);
    drop(outside);
    assert_eq!(connection.held(), 0);
}

#[tokio::test]
async fn an_operation_that_is_stopped_does_not_end_the_next_one_of_its_id() {
    let reservations = Reservations::new(1, BOUNDS);
    let here = caller("192.0.2.1");
    reservations.reserve("t".into(), &here).unwrap();
    let stream = reservations.find("t", &here).unwrap();
    let start = |id| stream.start(id, 2, None, |_| std::future::pending());
    assert_eq!(start("a"), Ok(()));
    assert_eq!(start("a"), Err(NotStarted::Duplicate));
    assert_eq!(start("b"), Ok(()));
    assert_eq!(start("c"), Err(NotStarted::TooMany));
    stream.stop("a");
    assert_eq!(start("a"), Ok(()));
    assert!(!stream.ended("a", 1), "the first one was stopped");
    assert!(stream.ended("a", 3));
    assert_eq!(stream.running(), [Box::from("b")]);
    reservations.expire("t");
    assert_eq!(start("c"), Err(NotStarted::Ended));
    assert!(stream.running().is_empty());
}
