//! A way to MongoDB on which inserts and changes of messages take longer, may lose their answers,
//! on which indexes take as long to build as a test wants, and which may end after a number of writes.

#![expect(
    clippy::unwrap_used,
    reason = "what is not as a test expects ends the test"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::servers::mongo::Mongo;

/// What an insert of messages begins with: its first element, the command with its collection.
const INSERT: &[u8] = b"\x02insert\0\x09\0\0\0messages\0";

/// The same of a change of messages.
const UPDATE: &[u8] = b"\x02update\0\x09\0\0\0messages\0";

/// What builds indexes.
const BUILD: &[u8] = b"createIndexes\0";

/// Where a message of the protocol has the name of its command: behind the header, the flags, the
/// section's kind, the document's length and its first element's type.
const COMMAND: usize = 16 + 4 + 1 + 4 + 1;

/// The commands that write.
const WRITES: [&[u8]; 4] = [b"insert\0", b"update\0", b"findAndModify\0", b"delete\0"];

/// A proxy in front of a server.
#[derive(Clone)]
pub struct SlowWay {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    delay_ms: AtomicU64,
    answers_to_lose: AtomicUsize,
    /// How many writes pass before the way ends; none where it does not.
    writes_left: Mutex<Option<usize>>,
    is_over: AtomicBool,
    /// Whether commands that build indexes are held back.
    holds_builds: watch::Sender<bool>,
    /// How many have been.
    held_builds: AtomicUsize,
    builds_to_break: AtomicUsize,
}

impl State {
    /// Waits until a command that builds indexes may pass. False where its connection breaks instead.
    async fn passes_build(&self) -> bool {
        let take = |count: usize| count.checked_sub(1);
        let left = &self.builds_to_break;
        if left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
            .is_ok()
        {
            return false;
        }
        let mut holds = self.holds_builds.subscribe();
        if *holds.borrow() {
            self.held_builds.fetch_add(1, Ordering::SeqCst);
        }
        holds.wait_for(|holds| !holds).await.is_ok()
    }

    /// Whether the message may pass.
    fn passes(&self, frame: &[u8]) -> bool {
        let command = frame.get(COMMAND..).unwrap_or_default();
        if WRITES.iter().any(|write| command.starts_with(write)) {
            let mut left = self.writes_left.lock();
            match *left {
                Some(0) => self.is_over.store(true, Ordering::SeqCst),
                Some(count) => *left = Some(count - 1),
                None => {}
            }
        }
        !self.is_over.load(Ordering::SeqCst)
    }
}

impl SlowWay {
    /// A way to the server, without a delay yet.
    pub async fn to(mongo: &Mongo) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let way = Self {
            port: listener.local_addr().unwrap().port(),
            state: Arc::default(),
        };
        let (server, state) = (mongo.port, Arc::clone(&way.state));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if state.is_over.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else {
                    continue;
                };
                tokio::spawn(connection(client, server, Arc::clone(&state)));
            }
        });
        way
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> secrecy::SecretString {
        format!("mongodb://127.0.0.1:{}/{database}", self.port).into()
    }

    /// Puts this time before each insert and each change of messages from now on.
    pub fn delay(&self, delay: Duration) {
        let delay = u64::try_from(delay.as_millis()).unwrap();
        self.state.delay_ms.store(delay, Ordering::SeqCst);
    }

    /// Carries out the next `count` inserts and changes of messages, and breaks the connection instead of answering.
    pub fn lose_answers(&self, count: usize) {
        self.state.answers_to_lose.store(count, Ordering::SeqCst);
    }

    /// Lets so many writes pass from now on. The next one finds the way's end, as does all that
    /// comes then: to the server it is as if the instance had died there.
    pub fn end_after(&self, writes: usize) {
        *self.state.writes_left.lock() = Some(writes);
    }

    /// Holds back the commands that build indexes from now on, or lets them go.
    pub fn hold_builds(&self, hold: bool) {
        self.state.holds_builds.send_replace(hold);
    }

    /// How many commands that build indexes have been held back.
    pub fn held_builds(&self) -> usize {
        self.state.held_builds.load(Ordering::SeqCst)
    }

    /// Breaks the connection instead of passing on the next `count` commands that build indexes.
    pub fn break_builds(&self, count: usize) {
        self.state.builds_to_break.store(count, Ordering::SeqCst);
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.state.is_over.load(Ordering::SeqCst)
    }

    /// How many answers are still to be lost.
    pub fn answers_to_lose(&self) -> usize {
        self.state.answers_to_lose.load(Ordering::SeqCst)
    }
}

async fn connection(client: TcpStream, server: TcpStream, state: Arc<State>) {
    for side in [&client, &server] {
        side.set_nodelay(true).unwrap();
    }
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let is_lost = AtomicBool::new(false);
    let up = async {
        while let Some(frame) = frame(&mut from_client).await {
            if !state.passes(&frame) {
                break;
            }
            let command = frame.get(COMMAND..).unwrap_or_default();
            if command.starts_with(BUILD) && !state.passes_build().await {
                break;
            }
            if holds(&frame, INSERT) || holds(&frame, UPDATE) {
                let delay = state.delay_ms.load(Ordering::SeqCst);
                if delay > 0 {
                    tokio::time::sleep(Duration::from_millis(delay)).await;
                }
                let take = |count: usize| count.checked_sub(1);
                let left = &state.answers_to_lose;
                let taken = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
                is_lost.store(taken.is_ok(), Ordering::SeqCst);
            }
            if !send(&mut to_server, &frame).await {
                break;
            }
        }
    };
    let down = async {
        while let Some(frame) = frame(&mut from_server).await {
            if is_lost.load(Ordering::SeqCst) || !send(&mut to_client, &frame).await {
                break;
            }
        }
    };
    tokio::select! { () = up => {} () = down => {} }
}

fn holds(frame: &[u8], command: &[u8]) -> bool {
    frame.windows(command.len()).any(|part| part == command)
}

/// A message of MongoDB's protocol, whose first four bytes are its length.
async fn frame(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let length = from.read_u32_le().await.ok()?;
    let mut frame = length.to_le_bytes().to_vec();
    frame.resize(usize::try_from(length).unwrap(), 0);
    from.read_exact(&mut frame[4..]).await.ok()?;
    Some(frame)
}

async fn send(to: &mut OwnedWriteHalf, frame: &[u8]) -> bool {
    to.write_all(frame).await.is_ok()
}
