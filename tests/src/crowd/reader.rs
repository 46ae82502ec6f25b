//! Who reads a chat: moves the read mark, and mutes the chat.

use std::net::SocketAddr;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Person, Told, Worker};
use crate::answer::{Own, messages, told};
use crate::client::User;

/// Reads on and on, and changes their mind about notifications.
pub struct Reader {
    person: Person,
    chat: String,
    count: usize,
    read: i64,
    is_muted: bool,
    open: Option<Open>,
}

/// What nothing was told of.
#[derive(Clone, Copy, Debug)]
enum Open {
    Read(i64),
    Mute(bool),
}

impl Reader {
    /// Somebody who is a member by the chat's first message, and writes nothing.
    pub fn new(user: &User, chat: &str) -> Self {
        Self {
            person: Person::new(user),
            chat: chat.to_owned(),
            count: 0,
            read: 1,
            is_muted: false,
            open: None,
        }
    }

    async fn ask(&mut self, at: SocketAddr, open: Open) -> Told {
        let chat = &self.chat;
        let (field, input, selection) = match open {
            Open::Read(seq) => {
                let input = json!({ "chatId": chat, "seq": seq });
                ("markRead", input, "receipt { lastReadSeq }")
            }
            Open::Mute(muted) => {
                let input = json!({ "chatId": chat, "muted": muted });
                ("muteChat", input, "chat { isMutedByViewer }")
            }
        };
        self.person.ask(at, field, input, selection).await
    }

    fn done(&mut self, open: Open, payload: &Value) {
        match open {
            Open::Read(seq) => {
                let read: i64 = told(&payload["receipt"]["lastReadSeq"]);
                assert!((self.read..=seq).contains(&read), "{read}: {open:?}");
                self.read = read;
            }
            Open::Mute(muted) => {
                assert_eq!(payload["chat"]["isMutedByViewer"], json!(muted));
                self.is_muted = muted;
            }
        }
    }
}

#[async_trait]
impl Worker for Reader {
    async fn work(&mut self, at: SocketAddr) -> bool {
        self.count += 1;
        // Beyond the end the mark stays at the end.
        let open = match self.count % 3 {
            0 => Open::Mute(!self.is_muted),
            _ => Open::Read(self.read + 2),
        };
        match self.ask(at, open).await {
            Told::Done(payload) => self.done(open, &payload),
            Told::Refused(code) => panic!("{open:?} was refused: {code}"),
            Told::Nothing => {
                self.open = Some(open);
                return false;
            }
        }
        true
    }

    async fn check(&mut self, at: SocketAddr) {
        const CHAT: &str = "query($id: ID!) { chat(id: $id) {
            isMutedByViewer unreadCount viewerMember { role lastReadSeq } } }";
        let client = self.person.at(at);
        let data = client.data(CHAT, json!({ "id": self.chat })).await;
        let chat = &data["chat"];
        let Own { last_read_seq, .. } = told(&chat["viewerMember"]);
        let open = self.open;
        match open {
            Some(Open::Read(seq)) => {
                assert!(
                    (self.read..=seq).contains(&last_read_seq),
                    "{last_read_seq}"
                );
            }
            _ => assert_eq!(last_read_seq, self.read, "{open:?}"),
        }
        let is_muted: bool = told(&chat["isMutedByViewer"]);
        match open {
            Some(Open::Mute(_)) => {}
            _ => assert_eq!(is_muted, self.is_muted, "{open:?}"),
        }
        // Nobody else writes now.
        let messages = messages(client, &self.chat).await;
        let unread = messages.values().filter(|message| {
            let is_text = message.system.is_none() && message.deleted_at.is_none();
            message.seq > last_read_seq && is_text
        });
        assert_eq!(chat["unreadCount"], json!(unread.count()));
    }

    async fn settle(&mut self, at: SocketAddr) {
        let Some(open) = self.open.take() else { return };
        match self.ask(at, open).await {
            Told::Done(payload) => self.done(open, &payload),
            other => panic!("{open:?} again: {other:?}"),
        }
    }
}
