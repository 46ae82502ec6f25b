//! The bot of a demo: it goes on sending, editing, deleting and reacting, at the pace of somebody who
//! types, as long as somebody looks. It does so by the services, as any client.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use talksy_domain::id::{ChatId, MessageId};
use talksy_domain::messages::{Emoji, MessageText};
use talksy_domain::services::Services;
use talksy_domain::viewer::Viewer;
use tokio::time::{Instant, sleep};

use super::script::{READINGS, corrected, reading};
use super::seed::BotChats;

/// How long the bot goes on when nobody has looked: a page asks each second.
const WATCHED_FOR: Duration = Duration::from_secs(30);

/// How many of its messages it may still change.
const RECENT: usize = 12;

/// What the bot has done since the start, for the page that shows it.
#[derive(Debug, Default)]
pub(super) struct Doings {
    is_open: AtomicBool,
    watched: Mutex<Option<Instant>>,
    sent: AtomicU64,
    edited: AtomicU64,
    deleted: AtomicU64,
    reacted: AtomicU64,
}

/// How often it has done what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    sent: u64,
    edited: u64,
    deleted: u64,
    reacted: u64,
}

impl Doings {
    /// The chats are there: who asks from now on may sign in.
    pub(super) fn open(&self) {
        self.is_open.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::SeqCst)
    }

    /// What it has done, for somebody who looks.
    pub(super) fn watch(&self) -> Counts {
        *self.watched.lock() = Some(Instant::now());
        let read = |count: &AtomicU64| count.load(Ordering::SeqCst);
        Counts {
            sent: read(&self.sent),
            edited: read(&self.edited),
            deleted: read(&self.deleted),
            reacted: read(&self.reacted),
        }
    }

    fn is_watched(&self) -> bool {
        let watched = *self.watched.lock();
        watched.is_some_and(|at| at.elapsed() < WATCHED_FOR)
    }
}

/// A message of its own that it may still change.
#[derive(Clone, Copy)]
struct Own {
    id: MessageId,
    /// Which reading it is.
    number: u32,
}

/// What it does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Send,
    SendElsewhere,
    Edit,
    Delete,
    React,
}

/// In this order, again and again: more is sent than changed, and little is deleted.
const ACTS: [Act; 8] = [
    Act::Send,
    Act::Edit,
    Act::Send,
    Act::React,
    Act::SendElsewhere,
    Act::Delete,
    Act::Send,
    Act::Edit,
];

/// The bot.
pub(super) struct Bot {
    services: Services,
    viewer: Viewer,
    chats: BotChats,
    doings: Arc<Doings>,
    pause: Duration,
    /// The oldest first.
    recent: VecDeque<Own>,
    number: u32,
}

impl Bot {
    pub(super) fn new(
        services: Services,
        viewer: Viewer,
        chats: BotChats,
        doings: Arc<Doings>,
        pause: Duration,
    ) -> Self {
        Self {
            services,
            viewer,
            chats,
            doings,
            pause,
            recent: VecDeque::new(),
            number: READINGS,
        }
    }

    /// Goes on for ever.
    pub(super) async fn run(mut self) {
        let mut acts = ACTS.iter().copied().cycle();
        loop {
            sleep(self.pause).await;
            if !self.doings.is_watched() {
                continue;
            }
            let act = acts.next().unwrap_or(Act::Send);
            if let Err(error) = self.act(act).await {
                tracing::warn!(%error, ?act, "the bot of the demo could not do this");
            }
        }
    }

    async fn act(&mut self, act: Act) -> Result<(), Box<dyn Error + Send + Sync>> {
        match act {
            Act::Send => self.send(self.chats.weather).await,
            Act::SendElsewhere => self.send(self.chats.engine).await,
            Act::Edit => self.edit().await,
            Act::Delete => self.delete().await,
            Act::React => self.react().await,
        }
    }

    async fn send(&mut self, chat: ChatId) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.number += 1;
        let text = MessageText::parse(reading(self.number))?;
        let sending = self.services.messages.send(&self.viewer, chat, text, None);
        let id = sending.await?.message.id;
        self.doings.sent.fetch_add(1, Ordering::SeqCst);
        self.recent.push_back(Own {
            id,
            number: self.number,
        });
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        Ok(())
    }

    /// Corrects the newest.
    async fn edit(&mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let Some(own) = self.recent.back() else {
            return Ok(());
        };
        let text = MessageText::parse(corrected(own.number))?;
        let messages = &self.services.messages;
        messages.edit(&self.viewer, own.id, text, None).await?;
        self.doings.edited.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Takes one of the older ones back.
    async fn delete(&mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let Some(own) = self.recent.pop_front() else {
            return Ok(());
        };
        self.services.messages.delete(&self.viewer, own.id).await?;
        self.doings.deleted.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn react(&mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let Some(own) = self.recent.front() else {
            return Ok(());
        };
        let emoji = Emoji::parse(if own.number.is_multiple_of(2) {
            "🌤️"
        } else {
            "🌡️"
        })?;
        let messages = &self.services.messages;
        messages.react(&self.viewer, own.id, emoji, true).await?;
        self.doings.reacted.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_bot_rests_when_nobody_looks() {
        let doings = Doings::default();
        assert!(!doings.is_watched(), "nobody has looked yet");
        let none = Counts {
            sent: 0,
            edited: 0,
            deleted: 0,
            reacted: 0,
        };
        assert_eq!(doings.watch(), none);
        assert!(doings.is_watched());
        tokio::time::advance(WATCHED_FOR).await;
        assert!(!doings.is_watched());
    }

    #[test]
    fn the_bot_sends_edits_deletes_and_reacts() {
        for act in [
            Act::Send,
            Act::SendElsewhere,
            Act::Edit,
            Act::Delete,
            Act::React,
        ] {
            assert!(ACTS.contains(&act), "{act:?}");
        }
    }
}
