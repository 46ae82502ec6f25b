//! Reads the ends of chats for all feeds of the process together: a thousand feeds that check
//! after an interruption cost one store call, not a thousand.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::try_join_all;
use tokio::sync::{mpsc, oneshot};

use crate::error::PortError;
use crate::id::ChatId;
use crate::messages::store::{Head, MessageStore};

type Answer = oneshot::Sender<Result<Option<Head>, PortError>>;

/// How many questions are answered together at most.
const BATCH: usize = 500;
/// How many chats one store call asks for at most.
const CHATS: usize = 100;

/// Asks for ends of chats. Each answer is of a read that began after the question.
#[derive(Clone, Debug)]
pub(super) struct HeadReader {
    questions: mpsc::Sender<(ChatId, Answer)>,
}

impl HeadReader {
    /// Starts the reader's task, which ends when the last clone is dropped.
    pub(super) fn spawn(store: Arc<dyn MessageStore>) -> Self {
        let (questions, mut inbox) = mpsc::channel::<(ChatId, Answer)>(2 * BATCH);
        tokio::spawn(async move {
            let mut batch = Vec::new();
            while inbox.recv_many(&mut batch, BATCH).await > 0 {
                let mut ids: Vec<_> = batch.iter().map(|(chat, _)| *chat).collect();
                ids.sort_unstable();
                ids.dedup();
                let heads = read(&*store, &ids).await;
                for (chat, answer) in batch.drain(..) {
                    let head = heads.as_ref().map(|heads| heads.get(&chat).copied());
                    // A feed that has gone needs no answer.
                    let _ = answer.send(head.map_err(Clone::clone));
                }
            }
        });
        Self { questions }
    }

    /// The ends of these chats, where there are such.
    pub(super) async fn heads(&self, chats: &[ChatId]) -> Result<HashMap<ChatId, Head>, PortError> {
        let mut heads = HashMap::with_capacity(chats.len());
        for some in chats.chunks(BATCH) {
            let asked = try_join_all(some.iter().map(|chat| self.head(*chat))).await?;
            let found = asked.into_iter().flatten();
            heads.extend(found.map(|head| (head.chat_id, head)));
        }
        Ok(heads)
    }

    /// The chat's end; `None` where there is no such chat.
    pub(super) async fn head(&self, chat: ChatId) -> Result<Option<Head>, PortError> {
        let (answer, reply) = oneshot::channel();
        let gone = || PortError::unavailable("store", "the head reader has stopped");
        self.questions
            .send((chat, answer))
            .await
            .map_err(|_| gone())?;
        reply.await.map_err(|_| gone())?
    }
}

async fn read(
    store: &dyn MessageStore,
    chats: &[ChatId],
) -> Result<HashMap<ChatId, Head>, PortError> {
    let mut found = HashMap::with_capacity(chats.len());
    for some in chats.chunks(CHATS) {
        let heads = store.heads(some).await?;
        found.extend(heads.into_iter().map(|head| (head.chat_id, head)));
    }
    Ok(found)
}
