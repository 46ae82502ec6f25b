//! The `sendMessage` request that all load consists of. It is written once; for each message only
//! digits change, so that neither the client nor the lengths depend on what was sent.

use std::net::SocketAddr;

use serde_json::json;

use super::frames::position;
use super::http::post;
use super::outcome::{Context as _, Outcome};

/// How long a message's text is, in bytes.
pub(super) const TEXT_LENGTH: usize = 100;

/// What stands before the time of sending in a message's text.
pub(super) const SENT_AT: &str = "at=";

const DIGITS: usize = 16;
const NO_DIGITS: &str = "0000000000000000";
const OWN_ID: &str = "own-";
const QUERY: &str = "mutation Send($input: SendMessageInput!) { \
    sendMessage(input: $input) { edge { cursor node { id seq createdAt } } } }";

/// A request for one user and chat.
#[derive(Clone, Debug)]
pub(super) struct SendRequest {
    bytes: Vec<u8>,
    /// Where the text says when it was sent; a text without words does not.
    sent_at: Option<usize>,
    own_id: usize,
}

/// A message's text, before the digits are filled in.
pub(super) fn text() -> String {
    let mut text = format!("{SENT_AT}{NO_DIGITS} the quick brown fox jumps over the lazy dog ");
    text.extend(
        "and has a rest "
            .chars()
            .cycle()
            .take(TEXT_LENGTH - text.len() - 1),
    );
    text.push('.');
    text
}

/// A message's `clientMessageId`.
pub(super) fn own_id(number: u64) -> String {
    format!("{OWN_ID}{number:0DIGITS$}")
}

impl SendRequest {
    pub(super) fn new(address: SocketAddr, path: &str, token: &str, chat: &str) -> Outcome<Self> {
        Self::of_text(address, path, token, chat, &text())
    }

    /// The same of a text that is as long and has no word.
    pub(super) fn wordless(address: SocketAddr, token: &str, chat: &str) -> Outcome<Self> {
        let text = ". ".repeat(TEXT_LENGTH / 2 - 1) + "..";
        Self::of_text(address, "/graphql", token, chat, &text)
    }

    fn of_text(
        address: SocketAddr,
        path: &str,
        token: &str,
        chat: &str,
        text: &str,
    ) -> Outcome<Self> {
        let input = json!({ "chatId": chat, "text": text, "clientMessageId": own_id(0) });
        let body = json!({ "query": QUERY, "variables": { "input": input } }).to_string();
        let bytes = post(address, path, token, &body);
        let digits_behind = |mark: &str| {
            let mark = format!("{mark}{NO_DIGITS}");
            let place = position(&bytes, mark.as_bytes())?;
            Some(place + mark.len() - DIGITS)
        };
        let (sent_at, own_id) = (digits_behind(SENT_AT), digits_behind(OWN_ID));
        Ok(Self {
            sent_at,
            own_id: own_id.context("no place for digits")?,
            bytes,
        })
    }

    /// The request for message `number`, sent at this time.
    pub(super) fn fill(&mut self, number: u64, sent_at: u64) -> &[u8] {
        write_digits(&mut self.bytes[self.own_id..], number);
        if let Some(place) = self.sent_at {
            write_digits(&mut self.bytes[place..], sent_at);
        }
        &self.bytes
    }
}

fn write_digits(place: &mut [u8], mut number: u64) {
    for digit in place[..DIGITS].iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digits_change() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut request = SendRequest::new(address, "/graphql", "token", "cht_1").unwrap();
        let length = request.bytes.len();
        let text = String::from_utf8(request.fill(42, 7).to_vec()).unwrap();
        assert_eq!(text.len(), length);
        assert!(
            text.contains(r#""clientMessageId":"own-0000000000000042""#),
            "{text}"
        );
        assert!(text.contains("at=0000000000000007 the"), "{text}");
        assert_eq!(super::text().len(), TEXT_LENGTH);
        let mut request = SendRequest::wordless(address, "token", "cht_1").unwrap();
        let others = String::from_utf8(request.fill(42, 7).to_vec()).unwrap();
        let path = "POST /graphql ";
        assert!(others.starts_with(path) && text.starts_with(path));
        // No more and no fewer bytes are sent.
        assert_eq!(others.len(), length);
    }
}
