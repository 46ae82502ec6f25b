//! A collector that takes OTLP over HTTP, and the trace it receives: from the request through the
//! store to the mail job.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use prost::Message as _;
use secrecy::ExposeSecret as _;
use serde_json::json;
use talksy_tests::client::SEND;
use talksy_tests::eventually;
use talksy_tests::process::{ServerProcess, binary, outbox_code};
use talksy_tests::servers::free_port;
use talksy_tests::servers::rabbitmq::RabbitMq;
use tokio::process::Command;

use crate::scrape::Page;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// Keeps what it is sent.
pub struct Collector {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    pub async fn start() -> Self {
        let spans = Arc::<Mutex<Vec<Span>>>::default();
        let router = Router::new()
            .route("/v1/traces", post(take))
            .with_state(Arc::clone(&spans));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, spans }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that came, as text.
    pub fn everything(&self) -> String {
        format!("{:?}", self.spans.lock())
    }

    /// The span of the caller's trace with this name, which must have come.
    fn span(&self, name: &str) -> Span {
        let spans = self.spans.lock();
        let names: Vec<_> = spans.iter().map(|span| span.name.clone()).collect();
        let mut spans = spans.iter();
        let found = spans.find(|span| span.name == name && hex::encode(&span.trace_id) == TRACE);
        match found {
            Some(span) => span.clone(),
            None => panic!("no span `{name}` in the trace: {names:?}"),
        }
    }
}

async fn take(State(spans): State<Arc<Mutex<Vec<Span>>>>, body: Bytes) -> StatusCode {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let resources = request.resource_spans.into_iter();
    let scopes = resources.flat_map(|resource| resource.scope_spans);
    spans.lock().extend(scopes.flat_map(|scope| scope.spans));
    StatusCode::OK
}

/// Asks for a code as a caller whose trace goes on.
async fn login(server: &ServerProcess) {
    let query =
        "mutation Login { login(input: { email: \"ada.secretive@example.org\" }) { expiresIn } }";
    let client = server.client();
    let request = client
        .request(http::Method::POST, "/graphql")
        .header("traceparent", format!("00-{TRACE}-{CALLER}-01"))
        .json(&json!({ "query": query }));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
}

async fn stop(mut server: ServerProcess) {
    server.signal("TERM").await;
    server.ended().await;
}

/// The path that every sign-in takes, whatever carries the mail.
fn assert_one_trace(collector: &Collector) {
    let request = collector.span("POST /graphql");
    assert_eq!(hex::encode(&request.parent_span_id), CALLER);
    let operation = collector.span("mutation");
    assert_eq!(operation.parent_span_id, request.span_id);
    let store = collector.span("issue");
    assert_eq!(store.parent_span_id, operation.span_id);
    let enqueue = collector.span("enqueue");
    assert_eq!(enqueue.parent_span_id, operation.span_id);
    let job = collector.span("mail job");
    assert_eq!(job.parent_span_id, enqueue.span_id);
    // Nothing personal leaves with them.
    let all = collector.everything();
    assert!(!all.contains("secretive"), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_from_the_request_over_the_bus_to_the_subscribers() {
    let collector = Collector::start().await;
    let data = tempfile::tempdir().unwrap();
    let server = server(data.path(), &collector, &[]).await;
    let ada = server.sign_in(data.path(), "ada").await;
    let bob = server.sign_in(data.path(), "bob").await;
    let chat = ada.start_chat(&bob).await;
    let mut followed = [bob.follow(&chat, None).await, bob.follow(&chat, None).await];
    let request = ada
        .client
        .request(http::Method::POST, "/graphql")
        .header("traceparent", format!("00-{TRACE}-{CALLER}-01"))
        .json(&json!({
            "query": SEND,
            "variables": { "input": { "chatId": chat, "text": "secretive" } },
        }));
    request.send().await.unwrap();
    for followed in &mut followed {
        assert_eq!(followed.added().await["node"]["text"], "secretive");
    }
    stop(server).await;
    let operation = collector.span("mutation");
    let append = collector.span("append");
    assert_eq!(append.parent_span_id, operation.span_id);
    // It follows from the commit, and not from the request that waits for it.
    let publish = collector.span("publish");
    assert_eq!(publish.parent_span_id, append.span_id);
    assert_eq!(collector.span("deliver").parent_span_id, publish.span_id);
    let all = collector.spans.lock();
    let delivered = all.iter().filter(|span| span.name == "deliver");
    assert_eq!(delivered.count(), 1, "one for all subscribers");
    assert!(!format!("{all:?}").contains("secretive"));
}

/// A server that takes this machine for a proxy which it trusts.
async fn server(data: &Path, collector: &Collector, arguments: &[&str]) -> ServerProcess {
    let trusted = ["--set", "http.trusted_proxies=[\"127.0.0.0/8\"]"];
    distrustful(data, collector, &[&trusted, arguments].concat()).await
}

/// A server that trusts nobody.
async fn distrustful(data: &Path, collector: &Collector, arguments: &[&str]) -> ServerProcess {
    let endpoint = format!("telemetry.otlp_endpoint={}", collector.url());
    let arguments = [&["--set", &endpoint], arguments].concat();
    ServerProcess::start(data, &arguments).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_s_trace_does_not_go_on() {
    let collector = Collector::start().await;
    let data = tempfile::tempdir().unwrap();
    let server = distrustful(data.path(), &collector, &[]).await;
    login(&server).await;
    stop(server).await;
    let spans = collector.spans.lock();
    let request = spans.iter().find(|span| span.name == "POST /graphql");
    let Some(request) = request else {
        panic!("the request is in a trace of its own");
    };
    assert_ne!(hex::encode(&request.trace_id), TRACE);
    assert_eq!(request.parent_span_id, [0_u8; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_from_the_request_through_the_store_to_the_mail() {
    let collector = Collector::start().await;
    let data = tempfile::tempdir().unwrap();
    let server = server(data.path(), &collector, &[]).await;
    login(&server).await;
    outbox_code(&data.path().join("outbox"), "ada.secretive@example.org").await;
    // What has not been sent by itself is sent at the end.
    stop(server).await;
    assert_one_trace(&collector);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_on_in_the_worker_behind_rabbitmq() {
    let collector = Collector::start().await;
    let rabbitmq = RabbitMq::start().await;
    let data = tempfile::tempdir().unwrap();
    let amqp = rabbitmq.url().expose_secret().to_owned();
    let url = format!("amqp_url={amqp}");
    let server = server(data.path(), &collector, &["--set", &url]).await;
    let outbox = data.path().join("worker");
    let listen = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut worker = Command::new(binary("talksy-mail-worker"))
        .env("TALKSY_AMQP_URL", &amqp)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
        .args(["--outbox", &outbox.to_string_lossy()])
        .args(["--listen", &listen.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    eventually("a ready server", async || {
        let request = server.client().request(http::Method::GET, "/readyz");
        (request.send().await.ok()?.status() == 200).then_some(())
    })
    .await;
    login(&server).await;
    outbox_code(&outbox, "ada.secretive@example.org").await;
    eventually("the depth of each queue", async || {
        let queues = Page::of(listen)
            .await
            .values("talksy_mail_queue_depth", "queue");
        queues
            .iter()
            .map(String::as_str)
            .eq(["dead", "jobs", "retry"])
            .then_some(())
    })
    .await;
    let id = worker.id().unwrap().to_string();
    Command::new("kill")
        .args(["-s", "TERM", &id])
        .status()
        .await
        .unwrap();
    talksy_tests::soon("the worker's end", worker.wait())
        .await
        .unwrap();
    stop(server).await;
    assert_one_trace(&collector);
}
