//! A hostile peer: where it comes from, what it sends, and what it is answered.
//!
//! All addresses of 127.0.0.0/8 are this machine's, so an attack from many addresses needs nobody
//! else: each connection is bound to the address that it is to come from.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use crate::frames::position;
use crate::http::dial;
use crate::outcome::{Context as _, Outcome};

/// How long an answer may take before it counts as none.
const PATIENCE: Duration = Duration::from_secs(30);

/// So much of a body is kept to find the code in.
const KEPT: usize = 64 * 1024;

/// The first of the addresses that attacks come from: 127.64.0.1.
const FIRST: u32 = 0x7f40_0001;

/// An address by its number, up to 9.8 million. Two hundred share a network of 256.
pub(super) fn place(number: usize) -> Ipv4Addr {
    let number = u32::try_from(number % 9_800_000).unwrap_or_default();
    Ipv4Addr::from(FIRST + number / 200 * 256 + number % 200)
}

/// An address in a network (a /24) of its own.
pub(super) fn network(number: usize) -> Ipv4Addr {
    place(number % 49_000 * 200)
}

/// A POST of this JSON on a connection of its own.
pub(super) fn post(server: SocketAddr, token: Option<&str>, body: &str) -> Vec<u8> {
    request(server, token, body, "Connection: close\r\n")
}

/// A POST of this JSON with these headers besides, each with its end of line.
pub(super) fn request(
    server: SocketAddr,
    token: Option<&str>,
    body: &str,
    headers: &str,
) -> Vec<u8> {
    let token = token.map_or_else(String::new, |token| {
        format!("Authorization: Bearer {token}\r\n")
    });
    format!(
        "POST /graphql HTTP/1.1\r\nHost: {server}\r\nContent-Type: application/json\r\n\
         {token}{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A connection of a peer that does not read, which takes as little as the system lets it.
pub(super) async fn narrow(source: Ipv4Addr, server: SocketAddr) -> Outcome<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(2048)?;
    socket.bind((source, 0).into())?;
    Ok(socket.connect(server).await?)
}

/// What came of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    /// Of head and body.
    pub(super) bytes: u64,
    /// The code of the first error; `-` where there is none.
    pub(super) code: String,
    /// From the request's last byte to the answer's first.
    pub(super) took: Duration,
    /// The beginning of head and body.
    pub(super) text: String,
}

/// Sends a request from an address, and reads the answer to its end.
pub(super) async fn ask(source: Ipv4Addr, server: SocketAddr, request: &[u8]) -> Outcome<Answer> {
    let asked = async {
        let mut stream = dial(source, server).await?;
        // A server that refuses early need not read all.
        let _ = stream.write_all(request).await;
        answer(&mut stream).await
    };
    timeout(PATIENCE, asked)
        .await
        .context("no answer to a request")?
}

/// Reads an answer to its end, or to that of the connection. Keeps its beginning alone.
async fn answer(stream: &mut TcpStream) -> Outcome<Answer> {
    let asked = Instant::now();
    let mut buffer = vec![0; 64 * 1024];
    let (mut kept, mut answer, mut end) = (Vec::new(), Answer::default(), None);
    while end.is_none_or(|end| answer.bytes < end) {
        let read = match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        if answer.bytes == 0 {
            answer.took = asked.elapsed();
        }
        answer.bytes += u64::try_from(read)?;
        let room = KEPT.saturating_sub(kept.len()).min(read);
        kept.extend_from_slice(buffer.get(..room).unwrap_or_default());
        if end.is_none() {
            end = length(&kept);
        }
    }
    if answer.bytes == 0 {
        answer.took = asked.elapsed();
    }
    answer.text = String::from_utf8_lossy(&kept).into_owned();
    answer.code = code(&answer.text);
    Ok(answer)
}

/// The length of head and body, where the head tells.
fn length(bytes: &[u8]) -> Option<u64> {
    let head = position(bytes, b"\r\n\r\n")?;
    let text = std::str::from_utf8(bytes.get(..head)?).ok()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<u64>().ok())?
    });
    Some(u64::try_from(head).ok()? + 4 + length?)
}

/// The first error's code, or the status of an answer that is none of ours.
fn code(text: &str) -> String {
    if text.is_empty() {
        return "closed".to_owned();
    }
    let code = text
        .split_once("\"code\":\"")
        .and_then(|(_, rest)| rest.split_once('"'));
    match code {
        Some((code, _)) => code.to_owned(),
        None if text.starts_with("HTTP/1.1 200") => "-".to_owned(),
        None => text.get(9..12).unwrap_or("?").to_owned(),
    }
}

/// How often each code came.
#[derive(Clone, Debug, Default)]
pub(super) struct Codes(BTreeMap<String, usize>);

impl Codes {
    pub(super) fn add(&mut self, code: &str) {
        *self.0.entry(code.to_owned()).or_default() += 1;
    }

    /// How often this one came.
    pub(super) fn of(&self, code: &str) -> usize {
        self.0.get(code).copied().unwrap_or_default()
    }

    /// The most frequent ones, with their numbers where there are several.
    pub(super) fn show(&self) -> String {
        let mut all: Vec<_> = self.0.iter().collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        if let [(only, _)] = &*all {
            return (*only).clone();
        }
        let shown = all.iter().take(3);
        let shown = shown.map(|(code, count)| format!("{code} ×{count}"));
        shown.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_many_and_of_this_machine() {
        assert_eq!(place(0), Ipv4Addr::new(127, 64, 0, 1));
        assert_eq!(place(199), Ipv4Addr::new(127, 64, 0, 200));
        assert_eq!(place(200), Ipv4Addr::new(127, 64, 1, 1));
        assert_eq!(network(1), Ipv4Addr::new(127, 64, 1, 1));
        assert_eq!(network(257), Ipv4Addr::new(127, 65, 1, 1));
        assert!(place(9_799_999).is_loopback());
    }

    #[test]
    fn a_refusal_is_told_by_its_code() {
        let refused =
            "HTTP/1.1 200 OK\r\n\r\n{\"errors\":[{\"extensions\":{\"code\":\"TIMEOUT\"}}]}";
        assert_eq!(code(refused), "TIMEOUT");
        assert_eq!(code("HTTP/1.1 200 OK\r\n\r\n{\"data\":{}}"), "-");
        assert_eq!(code("HTTP/1.1 503 Service Unavailable\r\n\r\n"), "503");
        assert_eq!(code(""), "closed");
        let mut codes = Codes::default();
        codes.add("A");
        assert_eq!(codes.show(), "A");
        codes.add("B");
        codes.add("B");
        assert_eq!((codes.show().as_str(), codes.of("B")), ("B ×2, A ×1", 2));
    }

    #[test]
    fn an_answer_s_end_is_in_its_head() {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
        assert_eq!(length(head), Some(u64::try_from(head.len()).unwrap() + 2));
        assert_eq!(length(b"HTTP/1.1 200 OK\r\n"), None);
        assert_eq!(length(b"HTTP/1.1 200 OK\r\n\r\n"), None);
    }
}
