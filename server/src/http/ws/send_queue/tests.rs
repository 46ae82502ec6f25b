use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::task::noop_waker_ref;
use tokio::time::sleep;

use super::*;
use crate::metrics::SOCKETS_STALLED_BYTES;

const BOUNDS: Bounds = Bounds {
    frames: 2,
    bytes: 10,
    operations: 2,
};

fn task() -> AbortHandle {
    tokio::spawn(std::future::pending::<()>()).abort_handle()
}

fn operation(send_queue: &SendQueue, id: &str) -> Arc<Operation> {
    let operation = Operation::new(id, "".into(), None);
    send_queue.start(&operation, task).unwrap();
    operation
}

fn stalled(most: usize) -> Arc<Stalled<SendQueue>> {
    Stalled::new(most, SOCKETS_STALLED_BYTES)
}

fn take(send_queue: &SendQueue) -> Poll<Vec<String>> {
    let mut taken = VecDeque::new();
    match send_queue.poll_take(&Context::from_waker(noop_waker_ref()), &mut taken) {
        Poll::Pending => Poll::Pending,
        Poll::Ready(Taken::Frames) => Poll::Ready(
            taken
                .into_iter()
                .map(|m| m.into_text().unwrap().to_string())
                .collect(),
        ),
        Poll::Ready(Taken::Close(close)) => Poll::Ready(vec![close.code.to_string()]),
    }
}

#[tokio::test]
async fn an_operation_waits_for_room_and_a_large_frame_passes_alone() {
    let send_queue = SendQueue::new(BOUNDS, stalled(1_000));
    let op = operation(&send_queue, "1");
    let large = "x".repeat(100);
    assert_eq!(
        send_queue.send(&op, large.as_str().into()).now_or_never(),
        Some(Ok(()))
    );
    assert_eq!(send_queue.send(&op, "b".into()).now_or_never(), None);
    assert_eq!(take(&send_queue), Poll::Ready(vec![large]));
    assert_eq!(
        send_queue.send(&op, "b".into()).now_or_never(),
        None,
        "not written yet"
    );
    send_queue.written();
    for frame in ["b", "c"] {
        assert_eq!(
            send_queue.send(&op, frame.into()).now_or_never(),
            Some(Ok(()))
        );
    }
    let mut third = Box::pin(send_queue.send(&op, "d".into()));
    assert_eq!(third.as_mut().now_or_never(), None);
    assert_eq!(take(&send_queue), Poll::Ready(vec!["b".into(), "c".into()]));
    send_queue.written();
    assert_eq!(third.now_or_never(), Some(Ok(())));
}

#[tokio::test]
async fn a_cancelled_operation_is_gone_even_while_it_waits_and_its_end_is_not_told() {
    let send_queue = SendQueue::new(BOUNDS, stalled(1_000));
    let op = operation(&send_queue, "1");
    assert_eq!(
        send_queue.send(&op, "0123456789".into()).now_or_never(),
        Some(Ok(()))
    );
    let mut waiting = Box::pin(send_queue.send(&op, "b".into()));
    assert_eq!(waiting.as_mut().now_or_never(), None);
    assert!(send_queue.cancel("1"));
    assert_eq!(waiting.now_or_never(), Some(Err(Gone)));
    let again = operation(&send_queue, "1");
    send_queue.finish(&op, || "late".into());
    send_queue.finish(&again, || "end".into());
    send_queue.finish(&again, || "twice".into());
    assert_eq!(
        take(&send_queue),
        Poll::Ready(vec!["0123456789".into(), "end".into()])
    );
    assert!(!send_queue.cancel("1"));
}

#[tokio::test]
async fn what_waits_outside_counts_and_keeps_others_from_making_more() {
    let send_queue = SendQueue::new(BOUNDS, stalled(1_000));
    let [one, other] = ["1", "2"].map(|id| operation(&send_queue, id));
    assert_eq!(send_queue.room(&one).now_or_never(), Some(Ok(())));
    assert_eq!(
        send_queue.send(&one, "12345".into()).now_or_never(),
        Some(Ok(()))
    );
    assert!(!send_queue.is_full());
    let mut waiting = Box::pin(send_queue.send(&one, "1234567".into()));
    assert_eq!(waiting.as_mut().now_or_never(), None);
    // There is room in the queue still, but what is made now would pass what waits.
    assert!(send_queue.is_full());
    let mut idle = Box::pin(send_queue.room(&other));
    assert_eq!(idle.as_mut().now_or_never(), None);

    assert_eq!(take(&send_queue), Poll::Ready(vec!["12345".into()]));
    send_queue.written();
    // What waits comes first, whoever is woken first.
    assert_eq!(idle.as_mut().now_or_never(), None);
    assert!(send_queue.is_full());
    assert_eq!(waiting.now_or_never(), Some(Ok(())));
    assert!(!send_queue.is_full());
    assert_eq!(idle.now_or_never(), Some(Ok(())));
    assert_eq!(send_queue.shut(), 12);
}

#[tokio::test]
async fn what_waits_outside_no_longer_counts_when_it_is_given_up() {
    let send_queue = SendQueue::new(BOUNDS, stalled(1_000));
    let op = operation(&send_queue, "1");
    let full = "0123456789";
    assert_eq!(
        send_queue.send(&op, full.into()).now_or_never(),
        Some(Ok(()))
    );
    for _ in 0..3 {
        let mut waiting = Box::pin(send_queue.send(&op, "12345".into()));
        assert_eq!(waiting.as_mut().now_or_never(), None);
    }
    send_queue.close(Close::RESTART, When::Written);
    assert_eq!(send_queue.room(&op).now_or_never(), Some(Err(Gone)));
    assert_eq!(send_queue.shut(), 15, "never more than one of them");
}

#[tokio::test]
async fn ids_are_unique_and_operations_are_counted() {
    let send_queue = SendQueue::new(BOUNDS, stalled(1_000));
    let first = operation(&send_queue, "1");
    assert_eq!(
        send_queue.start(&Operation::new("1", "".into(), None), task),
        Err(StartError::Duplicate)
    );
    operation(&send_queue, "2");
    assert_eq!(send_queue.admits("3"), Err(StartError::TooMany));
    send_queue.finish(&first, || "end".into());
    assert_eq!(send_queue.admits("3"), Ok(()));
}

#[tokio::test]
async fn a_close_waits_for_what_is_queued_unless_it_is_urgent() {
    let send_queue = SendQueue::new(BOUNDS, stalled(1_000));
    let op = operation(&send_queue, "1");
    assert_eq!(
        send_queue.send(&op, "a".into()).now_or_never(),
        Some(Ok(()))
    );
    send_queue.close(Close::RESTART, When::Written);
    assert_eq!(
        send_queue.send(&op, "b".into()).now_or_never(),
        Some(Err(Gone))
    );
    assert_eq!(take(&send_queue), Poll::Ready(vec!["a".into()]));
    assert_eq!(take(&send_queue), Poll::Ready(vec!["1012".into()]));
    send_queue.close(Close::REVOKED, When::Now);
    send_queue.close(Close::RESTART, When::Written);
    assert_eq!(take(&send_queue), Poll::Ready(vec!["4403".into()]));
}

#[tokio::test(start_paused = true)]
async fn where_too_much_waits_for_who_does_not_read_nothing_more_is_made_and_the_longest_go() {
    let stalled = stalled(25);
    let bounds = Bounds {
        bytes: 100,
        frames: 10,
        ..BOUNDS
    };
    let queues = [0; 3].map(|_| SendQueue::new(bounds, Arc::clone(&stalled)));
    for queue in &queues {
        let op = operation(queue, "1");
        let sent = queue.send(&op, "0123456789".into());
        assert_eq!(sent.now_or_never(), Some(Ok(())));
    }
    let [first, second, third] = &queues;
    first.stall();
    second.stall();
    // What waits for a client that reads does not count.
    assert!(!first.is_full() && !third.is_full());
    third.stall();
    assert!(third.is_full());
    // They may read on, and some do.
    sleep(Duration::from_millis(500)).await;
    assert_eq!(take(second), Poll::Ready(vec!["0123456789".into()]));
    second.written();
    assert_eq!(take(third), Poll::Ready(vec!["0123456789".into()]));
    third.written();
    assert!(!third.is_full());
    sleep(Duration::from_secs(5)).await;
    for queue in &queues {
        assert_eq!(queue.poll_urgent(), Ok(true));
    }

    second.reply("a frame of 16 B.".into());
    second.stall();
    assert!(second.is_full());
    sleep(Duration::from_millis(10)).await;
    assert_eq!(first.poll_urgent(), Err(Close::SLOW));
    assert_eq!(second.poll_urgent(), Ok(true));
    for queue in &queues {
        queue.shut();
    }
    assert!(!stalled.changed(0, 25), "nothing waits any more");
}
