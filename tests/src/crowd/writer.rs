//! Who sends messages, and edits and deletes their own.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Person, Request, Told, Worker};
use crate::answer::{MESSAGE, Message, Messages, messages, told};
use crate::client::User;

/// Sends, edits, deletes, and now and then asks for what is refused.
pub struct Writer {
    person: Person,
    /// Who may read everything in the chat.
    witness: Person,
    chat: String,
    /// What their own ids begin with.
    name: String,
    count: usize,
    /// The messages as they were told last.
    own: Vec<Message>,
    open: Option<Open>,
}

/// A deleted message is not edited, nor one that was edited behind what was seen; and who was
/// removed does nothing.
const REFUSALS: [&str; 3] = ["CONFLICT", "FORBIDDEN", "NOT_FOUND"];

/// What nothing was told of.
#[derive(Clone, Debug)]
enum Open {
    Send(String),
    Edit(usize, String),
    Delete(usize),
}

impl Writer {
    /// Somebody who writes to the chat, and somebody who sees all of it.
    pub fn new(user: &User, witness: &User, chat: &str, name: &str) -> Self {
        Self {
            person: Person::new(user),
            witness: Person::new(witness),
            chat: chat.to_owned(),
            name: format!("{name}-"),
            count: 0,
            own: Vec::new(),
            open: None,
        }
    }

    /// What to do next, and whether only where the message has never been edited.
    fn next(&mut self) -> (Open, bool) {
        self.count += 1;
        let n = self.count;
        // One of the last twenty.
        let back = n * 7 % self.own.len().clamp(1, 20);
        let at = self.own.len().checked_sub(1 + back);
        match (n % 4, at) {
            (2, Some(at)) => (Open::Edit(at, format!("{}edit-{n}", self.name)), false),
            (3, Some(at)) if n % 8 == 3 => (Open::Delete(at), false),
            (3, Some(at)) => (Open::Edit(at, format!("{}late-{n}", self.name)), true),
            _ => (Open::Send(format!("{}{n}", self.name)), false),
        }
    }

    fn request(&self, open: &Open, if_unchanged: bool) -> Request {
        let (field, input) = match open {
            Open::Send(own_id) => {
                let (chat, text) = (&self.chat, own_id);
                let input = json!({ "chatId": chat, "text": text, "clientMessageId": own_id });
                ("sendMessage", input)
            }
            Open::Edit(index, text) => {
                let mut input = json!({ "messageId": self.own[*index].id, "text": text });
                if if_unchanged {
                    input["expectedChangeSeq"] = json!(0);
                }
                ("editMessage", input)
            }
            Open::Delete(index) => ("deleteMessage", json!({ "messageId": self.own[*index].id })),
        };
        Request::new(field, input, format!("message {{ {MESSAGE} }}"))
    }

    fn done(&mut self, open: &Open, payload: &Value) {
        let message: Message = told(&payload["message"]);
        match open {
            Open::Send(_) => self.own.push(message),
            Open::Edit(index, _) | Open::Delete(index) => self.own[*index] = message,
        }
    }

    /// Whether the message is as it was before the open thing, or as that leaves it.
    fn fits(&self, index: usize, found: &Message) -> bool {
        let own = &self.own[index];
        let is_newer = found.change_seq > own.change_seq;
        let is_after = match &self.open {
            Some(Open::Edit(of, text)) if *of == index => {
                is_newer && found.text.as_ref() == Some(text) && found.edited_at.is_some()
            }
            Some(Open::Delete(of)) if *of == index => {
                is_newer && found.text.is_none() && found.deleted_at.is_some()
            }
            _ => false,
        };
        let is_same = (found.seq, &found.id) == (own.seq, &own.id);
        found == own || (is_same && is_after)
    }

    fn compare(&self, found: &Messages) {
        for (index, own) in self.own.iter().enumerate() {
            let Some(found) = found.get(&own.seq) else {
                panic!("acknowledged, and not there: {own:?}");
            };
            let open = &self.open;
            assert!(
                self.fits(index, found),
                "{found:#?}\nis not\n{own:#?}\nor {open:?}"
            );
        }
        let own: BTreeSet<_> = self.own.iter().map(|message| message.seq).collect();
        let others = found.values().filter(|message| !own.contains(&message.seq));
        let strangers = others.filter_map(|message| message.client_message_id.as_ref());
        let strangers: Vec<_> = strangers.filter(|id| id.starts_with(&self.name)).collect();
        match &self.open {
            Some(Open::Send(id)) => assert!(strangers.is_empty() || strangers == [id]),
            _ => assert_eq!(strangers, <[&String; 0]>::default(), "sent by nobody"),
        }
    }
}

#[async_trait]
impl Worker for Writer {
    async fn work(&mut self, at: SocketAddr) -> bool {
        let (open, if_unchanged) = self.next();
        let request = self.request(&open, if_unchanged);
        match self.person.ask(at, &request).await {
            Told::Done(payload) => self.done(&open, &payload),
            Told::Refused(code) => {
                assert!(REFUSALS.contains(&code.as_str()), "{code}: {open:?}");
            }
            Told::Nothing => {
                self.open = Some(open);
                return false;
            }
        }
        true
    }

    async fn check(&mut self, at: SocketAddr) {
        let found = messages(self.witness.at(at), &self.chat).await;
        assert_eq!(found.first_key_value().map(|(seq, _)| *seq), Some(1));
        self.compare(&found);
    }

    async fn settle(&mut self, at: SocketAddr) {
        let Some(open) = self.open.take() else { return };
        let before = messages(self.witness.at(at), &self.chat).await;
        let known = match &open {
            Open::Send(id) => before
                .values()
                .find(|known| known.client_message_id.as_ref() == Some(id)),
            Open::Edit(index, _) | Open::Delete(index) => before.get(&self.own[*index].seq),
        };
        let request = self.request(&open, false);
        match self.person.insist(at, &request).await {
            Told::Done(payload) => {
                self.done(&open, &payload);
                let message: Message = told(&payload["message"]);
                let was_done = known.is_some_and(|known| match &open {
                    Open::Send(_) => true,
                    Open::Edit(_, text) => known.text.as_ref() == Some(text),
                    Open::Delete(_) => known.deleted_at.is_some(),
                });
                match known {
                    Some(known) if was_done => assert_eq!(*known, message, "done twice"),
                    Some(known) => assert!(known.change_seq < message.change_seq),
                    None => assert!(!before.contains_key(&message.seq)),
                }
            }
            // Removed meanwhile: it is as it was.
            Told::Refused(code) => {
                assert!(REFUSALS.contains(&code.as_str()), "{code}: {open:?}");
                match (known, &open) {
                    (Some(known), Open::Send(_)) => self.own.push(known.clone()),
                    (None, Open::Send(_)) => {}
                    (Some(known), Open::Edit(index, _) | Open::Delete(index)) => {
                        self.own[*index] = known.clone();
                    }
                    (None, _) => panic!("{open:?} of a message that is not there"),
                }
            }
            Told::Nothing => unreachable!("it insists"),
        }
    }
}
