//! Who reads a chat: moves the read mark, and mutes the chat.

use std::net::SocketAddr;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Person, Request, Told, Worker};
use crate::answer::{Own, data, messages, told};
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

    fn request(&self, open: Open) -> Request {
        let chat = &self.chat;
        match open {
            Open::Read(seq) => {
                let input = json!({ "chatId": chat, "seq": seq });
                Request::new("markRead", input, "receipt { lastReadSeq }")
            }
            Open::Mute(muted) => {
                let input = json!({ "chatId": chat, "muted": muted });
                Request::new("muteChat", input, "chat { isMutedByViewer }")
            }
        }
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
        let request = self.request(open);
        match self.person.ask(at, &request).await {
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
        let data = data(client, CHAT, json!({ "id": self.chat })).await;
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
        let request = self.request(open);
        match self.person.insist(at, &request).await {
            Told::Done(payload) => self.done(open, &payload),
            other => panic!("{open:?} again: {other:?}"),
        }
    }
}
