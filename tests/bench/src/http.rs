//! A keep-alive HTTP/1.1 client, as lean as these servers allow: one request at a time, answers
//! with `Content-Length`, no copies.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::frames::position;
use super::outcome::{Context as _, Outcome};

/// Longest answer that is taken.
const MAX_ANSWER: usize = 1 << 20;

/// One connection.
pub(super) struct Connection {
    stream: TcpStream,
    address: SocketAddr,
    buffer: Vec<u8>,
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    pub(super) body: &'a [u8],
}

/// A POST of this JSON.
pub(super) fn post(address: SocketAddr, path: &str, token: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Connects from one of this machine's own addresses.
pub(super) async fn dial(source: Ipv4Addr, server: SocketAddr) -> Outcome<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket
        .bind((source, 0).into())
        .context(format_args!("cannot come from {source}"))?;
    let stream = socket
        .connect(server)
        .await
        .context(format_args!("cannot connect to {server}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Outcome<Self> {
        Self::open_from(Ipv4Addr::LOCALHOST, address).await
    }

    /// Connects from one of this machine's own addresses.
    pub(super) async fn open_from(source: Ipv4Addr, address: SocketAddr) -> Outcome<Self> {
        let stream = dial(source, address).await?;
        Ok(Self {
            stream,
            address,
            buffer: vec![0; 4096],
        })
    }

    /// Sends a whole request and waits for its answer.
    pub(super) async fn send(&mut self, request: &[u8]) -> Outcome<Answer<'_>> {
        self.stream
            .write_all(request)
            .await
            .context("cannot send a request")?;
        let mut filled = 0;
        let answer = loop {
            if filled == self.buffer.len() {
                if filled >= MAX_ANSWER {
                    return Err("an answer is too long".into());
                }
                self.buffer.resize(filled * 2, 0);
            }
            let read = self.stream.read(&mut self.buffer[filled..]).await;
            match read.context("cannot read an answer")? {
                0 => return Err("the server has closed the connection".into()),
                read => filled += read,
            }
            if let Some(answer) = Head::parse(&self.buffer[..filled])? {
                break answer;
            }
        };
        if answer.end != filled {
            return Err("the server has sent more than an answer".into());
        }
        Ok(Answer {
            status: answer.status,
            body: &self.buffer[answer.body..answer.end],
        })
    }

    /// Runs a GraphQL operation, and returns its data.
    pub(super) async fn graphql(
        &mut self,
        token: Option<&str>,
        query: &str,
        variables: Value,
    ) -> Outcome<Value> {
        let body = json!({ "query": query, "variables": variables }).to_string();
        let mut request = post(self.address, "/graphql", token.unwrap_or_default(), &body);
        if token.is_none() {
            let text = String::from_utf8(request)?;
            request = text.replace("Authorization: Bearer \r\n", "").into_bytes();
        }
        let answer = self.send(&request).await?;
        let mut value: Value = serde_json::from_slice(answer.body)
            .context(format_args!("status {} without JSON", answer.status))?;
        match value.get("errors") {
            None => Ok(value["data"].take()),
            Some(errors) => Err(format!("the server refuses {query}: {errors}").into()),
        }
    }
}

/// Where an answer's parts are.
struct Head {
    status: u16,
    body: usize,
    end: usize,
}

impl Head {
    /// `None` where the answer is not all there.
    fn parse(bytes: &[u8]) -> Outcome<Option<Self>> {
        let Some(head) = position(bytes, b"\r\n\r\n") else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&bytes[..head])?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.get(9..12)?.parse().ok());
        let length: Option<usize> = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.trim().parse().ok())?
        });
        let (status, length) = status
            .zip(length)
            .context(format_args!("not an answer with a length: {text}"))?;
        let body = head + 4;
        let end = body + length;
        Ok((bytes.len() >= end).then_some(Self { status, body, end }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_when_it_is_all_there() {
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-type: x\r\ncontent-length: 2\r\n\r\nok";
        let head = Head::parse(bytes).unwrap().unwrap();
        assert_eq!(
            (head.status, &bytes[head.body..head.end]),
            (200, &b"ok"[..])
        );
        for end in 0..bytes.len() {
            assert!(Head::parse(&bytes[..end]).unwrap().is_none(), "{end}");
        }
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
