//! The way to the collector: OpenTelemetry's own HTTP client, which says once when batches no
//! longer arrive, and once when they do again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use reqwest::blocking::Client;

/// How long a batch may take on its way.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client of the collector. It blocks, which the exporter's own thread is there for.
#[derive(Debug)]
pub(crate) struct Collector {
    client: Client,
    /// Whether the last batch did not arrive, so that a change is logged and nothing else.
    away: AtomicBool,
}

impl Collector {
    /// A client over HTTP or, with the system's authorities, HTTPS.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub(crate) fn new() -> Result<Self, reqwest::Error> {
        // Another one may be installed by now, which is just as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // The blocking client must not be built on a thread that runs asynchronous tasks.
        let client = || Client::builder().timeout(EXPORT_TIMEOUT).build();
        let outcome = thread::scope(|scope| scope.spawn(client).join());
        let client = outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(Self {
            client,
            away: AtomicBool::new(false),
        })
    }

    fn missed(&self, reason: &str) {
        if !self.away.swap(true, Ordering::Relaxed) {
            tracing::warn!(reason, "traces are not exported");
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.client.send_bytes(request).await;
        match &answer {
            Ok(response) if response.status().is_success() => {
                if self.away.swap(false, Ordering::Relaxed) {
                    tracing::info!("traces are exported again");
                }
            }
            Ok(response) => self.missed(&format!("the collector answers {}", response.status())),
            Err(error) => self.missed(&error.to_string()),
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use futures_util::FutureExt as _;

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

    /// The status that the collector answers; `None` where there is no answer.
    fn post(collector: &Collector, url: &str) -> Option<u16> {
        let request = Request::post(url).header("content-type", "application/x-protobuf");
        let request = request.body(Bytes::from_static(b"spans")).unwrap();
        let answer = collector.send_bytes(request).now_or_never();
        let answer = answer.expect("the client blocks");
        answer.ok().map(|response| response.status().as_u16())
    }

    #[test]
    fn a_batch_is_posted_and_the_status_told() {
        let collector = Collector::new().unwrap();
        let (url, served) = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(post(&collector, &url), Some(200));
        assert!(!collector.away.load(Ordering::Relaxed));
        let request = served.join().unwrap();
        assert!(
            request.starts_with("POST /v1/traces HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(request.contains("\r\ncontent-length: 5\r\n"));
        assert!(request.contains("\r\ncontent-type: application/x-protobuf\r\n"));
    }

    #[test]
    fn a_batch_that_does_not_arrive_is_noticed_until_one_does() {
        let collector = Collector::new().unwrap();
        let away = || collector.away.load(Ordering::Relaxed);
        let busy = "HTTP/1.1 503 Busy\r\ncontent-length: 5\r\n\r\nlater";
        for answer in [busy, "220 mail.example.org\r\n"] {
            let (url, served) = answering(answer);
            assert_ne!(post(&collector, &url), Some(200));
            assert!(away());
            served.join().unwrap();
            // Nobody listens there any more.
            assert_eq!(post(&collector, &url), None);
            let (url, served) = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            assert_eq!(post(&collector, &url), Some(200));
            assert!(!away());
            served.join().unwrap();
        }
    }
}
