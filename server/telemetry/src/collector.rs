//! The way to the collector: HTTP/1.1 over a plain socket, one connection a batch. The exporter
//! has a thread of its own, so that blocking on it harms nobody, and a collector stands beside
//! the process, so that there is no TLS: a whole HTTP client would be most of a megabyte for that.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};

/// How long it may take to connect, and each read and write.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest head of an answer; all that counts of it is the status.
const MAX_HEAD: usize = 16 * 1024;

/// A client of the collector.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    /// Whether the last batch did not arrive, so that a change is logged and nothing else.
    away: AtomicBool,
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = send(&request);
        match &answer {
            Ok(status) if (200..300).contains(status) => {
                if self.away.swap(false, Ordering::Relaxed) {
                    tracing::info!("traces are exported again");
                }
            }
            Ok(status) => self.missed(&format!("the collector answers {status}")),
            Err(error) => self.missed(&error.to_string()),
        }
        Ok(Response::builder().status(answer?).body(Bytes::new())?)
    }
}

impl Collector {
    fn missed(&self, reason: &str) {
        if !self.away.swap(true, Ordering::Relaxed) {
            tracing::warn!(reason, "traces are not exported");
        }
    }
}

/// Sends a request and tells the answer's status.
fn send(request: &Request<Bytes>) -> io::Result<u16> {
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
    let url = request.uri();
    if url.scheme_str() != Some("http") {
        return Err(invalid("the collector's URL must begin with `http://`"));
    }
    let authority = url
        .authority()
        .ok_or_else(|| invalid("the collector's URL has no host"))?;
    let mut head = format!(
        "{} {} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\ncontent-length: {}\r\n",
        request.method(),
        url.path_and_query().map_or("/", |path| path.as_str()),
        request.body().len(),
    )
    .into_bytes();
    for (name, value) in request.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");

    // An IPv6 address is in brackets in a URL only.
    let host = authority.host();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut stream = connect(host, authority.port_u16().unwrap_or(80))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&head)?;
    stream.write_all(request.body())?;
    let head = read_head(&mut stream)?;
    status(&head).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is no HTTP"))
}

/// Reads an answer up to its body, which a server may keep open behind it.
fn read_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while head.len() < MAX_HEAD && !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => break,
            read => head.extend_from_slice(&buffer[..read]),
        }
    }
    Ok(head)
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the collector has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// The status of an answer: `HTTP/1.1 200 OK`.
fn status(answer: &[u8]) -> Option<u16> {
    let rest = answer.strip_prefix(b"HTTP/1.")?.get(1..)?;
    let digits = rest.strip_prefix(b" ")?.get(..3)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Answers one request, and tells what it was.
    fn answering(answer: &'static str) -> (String, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let served = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 1024];
            while !request.ends_with(b"\r\n\r\nspans") {
                let read = stream.read(&mut buffer).unwrap();
                assert!(read > 0, "{request:?}");
                request.extend_from_slice(&buffer[..read]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        });
        (url, served)
    }

    fn post(url: &str) -> Request<Bytes> {
        let request = Request::post(url).header("content-type", "application/x-protobuf");
        request.body(Bytes::from_static(b"spans")).unwrap()
    }

    #[test]
    fn a_batch_is_posted_and_the_status_told() {
        let (url, served) = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(send(&post(&url)).unwrap(), 200);
        let request = served.join().unwrap();
        assert!(request.starts_with("POST /v1/traces HTTP/1.1\r\nhost: 127.0.0.1:"));
        assert!(request.contains("\r\ncontent-length: 5\r\n"));
        assert!(request.contains("\r\ncontent-type: application/x-protobuf\r\n"));

        let (url, served) = answering("HTTP/1.1 503 Busy\r\nretry-after: 1\r\n\r\nlater");
        assert_eq!(send(&post(&url)).unwrap(), 503);
        served.join().unwrap();
    }

    #[test]
    fn what_cannot_be_sent_is_an_error() {
        let (url, served) = answering("220 mail.example.org\r\n");
        assert_eq!(
            send(&post(&url)).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        served.join().unwrap();
        // Nobody listens there any more.
        assert_eq!(
            send(&post(&url)).unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
        let encrypted = url.replace("http:", "https:");
        assert_eq!(
            send(&post(&encrypted)).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
    }
}
