//! All subscribers of a chat: their sockets, the check of what they receive, and the count.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::frames::NumberAfter;
use super::outcome::{Context as _, Outcome};
use super::socket::Socket;
use super::stats::{Clock, Latency, histogram};
use super::template::SENT_AT;

/// How many sockets are opened at a time.
const OPENING: usize = 32;
/// Readers share so many histograms.
const HISTOGRAMS: usize = 16;
/// How long nothing may arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// Opens sockets, a few at a time.
pub(super) async fn open_all<F: Future<Output = Outcome<Socket>>>(
    sockets: impl Iterator<Item = F>,
) -> Outcome<Vec<Socket>> {
    stream::iter(sockets).buffered(OPENING).try_collect().await
}

/// The readers of many sockets. Dropping them closes the sockets.
pub(super) struct Readers {
    tasks: JoinSet<Outcome<()>>,
    tally: Arc<Tally>,
}

/// What all readers have counted.
pub(super) struct Tally {
    clock: Clock,
    readers: u64,
    received: AtomicU64,
    /// A permit for each message that, on average, all have received.
    pub(super) complete: Semaphore,
    measures: AtomicBool,
    latency: Vec<Mutex<Histogram<u64>>>,
}

impl Readers {
    /// Reads from each socket the messages behind number `after`. All of them receive the same.
    pub(super) fn start(sockets: Vec<Socket>, after: u64, clock: Clock) -> Outcome<Self> {
        let latency = (0..HISTOGRAMS).map(|_| Ok(Mutex::new(histogram()?)));
        let tally = Arc::new(Tally {
            clock,
            readers: sockets.len() as u64,
            received: AtomicU64::new(0),
            complete: Semaphore::new(0),
            measures: AtomicBool::new(false),
            latency: latency.collect::<Outcome<_>>()?,
        });
        let mut tasks = JoinSet::new();
        for (number, socket) in sockets.into_iter().enumerate() {
            tasks.spawn(read(socket, after, number, Arc::clone(&tally)));
        }
        Ok(Self { tasks, tally })
    }

    pub(super) fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// Waits until every reader has received so many messages.
    ///
    /// # Errors
    /// Where one of them met a hole, a double or the end of its socket, or has too few.
    pub(super) async fn all_received(&mut self, messages: u64) -> Outcome<()> {
        let wanted = messages * self.tally.readers;
        let (mut before, mut since) = (self.tally.received(), Instant::now());
        loop {
            let received = self.tally.received();
            if received >= wanted {
                return Ok(());
            }
            let so_far = format_args!("{received} of {wanted} messages have arrived");
            if received > before {
                (before, since) = (received, Instant::now());
            } else if since.elapsed() > PATIENCE {
                return Outcome::Err("no more come".into()).context(so_far);
            }
            tokio::select! {
                Some(ended) = self.tasks.join_next() => ended?.context(so_far)?,
                () = tokio::time::sleep(Duration::from_millis(2)) => {}
            }
        }
    }
}

impl Tally {
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Notes latencies from now on.
    pub(super) fn begin(&self) {
        self.measures.store(true, Ordering::Relaxed);
    }

    /// The latencies noted since [`Tally::begin`].
    pub(super) fn end(&self) -> Outcome<Latency> {
        self.measures.store(false, Ordering::Relaxed);
        let mut sum = histogram()?;
        for part in &self.latency {
            let mut part = part.lock();
            sum.add(&*part).context("cannot add histograms")?;
            part.reset();
        }
        Ok(Latency::from(&sum))
    }

    fn count(&self, messages: u64) {
        let before = self.received.fetch_add(messages, Ordering::Relaxed);
        let complete = (before + messages) / self.readers - before / self.readers;
        if complete > 0 {
            let complete = usize::try_from(complete).unwrap_or(usize::MAX);
            self.complete.add_permits(complete);
        }
    }
}

async fn read(mut socket: Socket, after: u64, number: usize, tally: Arc<Tally>) -> Outcome<()> {
    let mut last = after;
    let mut seq = NumberAfter::new("\"seq\":");
    let mut sent_at = NumberAfter::new(SENT_AT);
    let mut times = Vec::new();
    let latency = &tally.latency[number % HISTOGRAMS];
    loop {
        socket
            .take(|text| {
                let fields = seq.find(text).zip(sent_at.find(text));
                let (found, time) = fields.context(format_args!(
                    "no message: {}",
                    String::from_utf8_lossy(text)
                ))?;
                if found != last + 1 {
                    return Err(format!("message {found} came behind {last}").into());
                }
                last = found;
                times.push(time);
                Ok(())
            })
            .await?;
        if tally.measures.load(Ordering::Relaxed) {
            let now = tally.clock.micros();
            let mut latency = latency.lock();
            for time in &times {
                latency.record(now.saturating_sub(*time))?;
            }
        }
        tally.count(times.len() as u64);
        times.clear();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// What a reader that knows message 4 makes of these messages, sent in pieces.
    async fn read_all(messages: &[u64]) -> Outcome<()> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let client = TcpStream::connect(listener.local_addr()?).await?;
        let (mut server, _) = listener.accept().await?;
        let socket = Socket::over(client);
        let mut readers = Readers::start(vec![socket], 4, Clock::start())?;
        for seq in messages {
            let text = format!("{{\"seq\":{seq},\"text\":\"{SENT_AT}0000000000000001 hi\"}}");
            let mut frame = vec![0x81, u8::try_from(text.len())?];
            frame.extend(text.as_bytes());
            let (start, end) = frame.split_at(frame.len() / 2);
            server.write_all(start).await?;
            tokio::task::yield_now().await;
            server.write_all(end).await?;
        }
        readers.all_received(messages.len() as u64).await?;
        assert_eq!(readers.tally().received(), messages.len() as u64);
        assert_eq!(readers.tally().complete.available_permits(), messages.len());
        Ok(())
    }

    #[tokio::test]
    async fn every_message_is_counted_once() {
        read_all(&[5, 6, 7]).await.unwrap();
    }

    #[tokio::test]
    async fn a_hole_a_double_and_an_old_message_are_noticed() {
        for messages in [&[5, 7][..], &[5, 5], &[4]] {
            let error = read_all(messages).await.unwrap_err().to_string();
            assert!(error.contains("came behind"), "{error}");
        }
    }
}
