//! Multipart responses of Apollo's protocol for subscriptions, read as its clients do: a part is there
//! when the delimiter behind it is.

use serde_json::{Value, json};

use crate::app::must;
use crate::soon;

const DELIMITER: &[u8] = b"\r\n--graphql";
const HEAD: &str = "\r\ncontent-type: application/json";

/// What comes over a multipart response.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// The JSON of a part.
    Json(Value),
    /// The last delimiter has come.
    Terminated,
    /// The response has ended without it.
    Cut,
}

/// A multipart response.
pub struct Parts {
    response: reqwest::Response,
    read: Vec<u8>,
    has_begun: bool,
}

impl Parts {
    /// Sends a request that is answered in parts.
    ///
    /// # Panics
    /// Where it is answered otherwise.
    pub async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = must(soon("a multipart response", request.send()).await);
        assert_eq!(response.status().as_u16(), 200, "{response:?}");
        assert_eq!(
            response.headers()["content-type"],
            "multipart/mixed;boundary=\"graphql\";subscriptionSpec=1.0"
        );
        Self {
            response,
            read: Vec::new(),
            has_begun: false,
        }
    }

    /// The next part, heartbeats too, or the end.
    ///
    /// # Panics
    /// Where what comes is no part of the protocol.
    pub async fn next(&mut self) -> Part {
        loop {
            if self.has_begun && self.read.starts_with(b"--") {
                return Part::Terminated;
            }
            let mut windows = self.read.windows(DELIMITER.len());
            if let Some(end) = windows.position(|window| window == DELIMITER) {
                let rest = self.read.split_off(end + DELIMITER.len());
                let mut part = std::mem::replace(&mut self.read, rest);
                part.truncate(end);
                if !std::mem::replace(&mut self.has_begun, true) {
                    assert!(part.is_empty(), "something before the first delimiter");
                    continue;
                }
                let part = must(String::from_utf8(part));
                let Some((head, body)) = part.split_once("\r\n\r\n") else {
                    panic!("no part: {part:?}");
                };
                assert_eq!(head, HEAD);
                return Part::Json(must(serde_json::from_str(body)));
            }
            match soon("a part", self.response.chunk()).await {
                Ok(Some(chunk)) => self.read.extend_from_slice(&chunk),
                Ok(None) | Err(_) => return Part::Cut,
            }
        }
    }

    /// The next part that is no heartbeat, or the end.
    pub async fn message(&mut self) -> Part {
        loop {
            let part = self.next().await;
            if part != Part::Json(json!({})) {
                return part;
            }
        }
    }

    /// The response in the next part that is no heartbeat.
    ///
    /// # Panics
    /// Where something else comes.
    pub async fn payload(&mut self) -> Value {
        match self.message().await {
            Part::Json(mut part) if part.as_object().is_some_and(|part| part.len() == 1) => {
                part["payload"].take()
            }
            other => panic!("no payload: {other:?}"),
        }
    }
}
