//! A way to MongoDB that counts the commands on it, and keeps those that read. What the driver says of itself does not matter:
//! the bytes do.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use mongodb::bson::{Document, deserialize_from_slice};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::app::must;

/// The code of an `OP_MSG`, which every command is but a connection's first.
const OP_MSG: u32 = 2013;
/// A message's header: its length, its number, what it answers, its code.
const HEADER: usize = 16;
/// What stands ahead of a command's name: flags (4), a section's kind (1), the document's length
/// (4), the type of its first field (1).
const AHEAD_OF_NAME: usize = 10;
/// What stands ahead of a command's document.
const AHEAD_OF_DOCUMENT: usize = 5;
/// The commands that read.
const READS: [&str; 2] = ["find", "aggregate"];
/// The driver's own: the state of the server, the end of a session.
const OF_DRIVER: [&str; 4] = ["hello", "ismaster", "isMaster", "endSessions"];

/// How often each command was sent.
pub type Commands = BTreeMap<String, u64>;

/// A proxy in front of a MongoDB.
pub struct CountedMongo {
    /// Where it listens.
    pub address: SocketAddr,
    sent: Arc<Sent>,
    running: JoinHandle<()>,
}

#[derive(Default)]
struct Sent {
    commands: Mutex<Commands>,
    reads: Mutex<Vec<Document>>,
}

impl CountedMongo {
    /// A proxy to the server on this port.
    pub async fn start(port: u16) -> Self {
        let listener = must(TcpListener::bind("127.0.0.1:0").await);
        let address = must(listener.local_addr());
        let sent = Arc::<Sent>::default();
        let counted = Arc::clone(&sent);
        let running = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass_on(client, port, Arc::clone(&counted)));
            }
        });
        Self {
            address,
            sent,
            running,
        }
    }

    /// What was sent since this was asked last.
    pub fn take(&self) -> Commands {
        std::mem::take(&mut self.sent.commands.lock())
    }

    /// The commands that have read since this was asked last, without those of a cursor.
    pub fn reads(&self) -> Vec<Document> {
        std::mem::take(&mut self.sent.reads.lock())
    }
}

impl Drop for CountedMongo {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn pass_on(client: TcpStream, port: u16, sent: Arc<Sent>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = tokio::io::copy(&mut from_server, &mut to_client);
    let questions = async {
        while let Ok(message) = read_message(&mut from_client).await {
            if let Some(name) = command_in(&message)
                && !OF_DRIVER.contains(&name)
            {
                *sent.commands.lock().entry(name.to_owned()).or_default() += 1;
                let document = message.get(HEADER + AHEAD_OF_DOCUMENT..);
                if READS.contains(&name)
                    && let Some(document) = document.and_then(document_at)
                {
                    sent.reads.lock().push(document);
                }
            }
            to_server.write_all(&message).await?;
        }
        std::io::Result::Ok(())
    };
    tokio::select! {
        _ = answers => {}
        _ = questions => {}
    }
}

async fn read_message(from: &mut (impl tokio::io::AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut message = vec![0; HEADER];
    from.read_exact(&mut message).await?;
    let length = usize::try_from(number(&message, 0)).unwrap_or(0);
    message.resize(length.max(HEADER), 0);
    from.read_exact(&mut message[HEADER..]).await?;
    Ok(message)
}

/// The name of the command: the first field of the message's document.
fn command_in(message: &[u8]) -> Option<&str> {
    if number(message, HEADER - 4) != OP_MSG {
        return None;
    }
    let name = message.get(HEADER + AHEAD_OF_NAME..)?;
    let end = name.iter().position(|&byte| byte == 0)?;
    std::str::from_utf8(&name[..end]).ok()
}

/// The document that the bytes begin with.
fn document_at(bytes: &[u8]) -> Option<Document> {
    let length = usize::try_from(number(bytes, 0)).ok()?;
    deserialize_from_slice(bytes.get(..length)?).ok()
}

fn number(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    u32::from_le_bytes(four.unwrap_or_default())
}
