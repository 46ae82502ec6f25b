//! Accepts connections and speaks HTTP/1.1 on them. axum's own loop waits forever for a request's
//! header and for a client that reads nothing, so that whoever opens connections and does no more
//! keeps them all.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::compression::Uncompressed;
use super::connection_io::{Answering, ConnectionIo};
use super::connections::{Connection, Connections, Cut};
use super::shares::{Bound, RETRY_SECONDS};
use crate::config::HttpConfig;

/// How long to wait where the system gives no connection, mostly because too many files are open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a connection that gives way may take to be gone, before the next is accepted anyway.
const GIVING_WAY: Duration = Duration::from_secs(1);

/// So many refusals are written at one time; who comes then is refused without a word.
const REFUSALS: usize = 16;

/// How long a refusal may take to be written and read.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// How many connections the system keeps until they are accepted, where it is not set to fewer
/// (`net.core.somaxconn`). It drops the first packet of one more, whose client tries again a whole second
/// later: nobody is to be kept out for that by a thousand who come at once.
const BACKLOG: i32 = 65_535;

/// Longest head of a request, in bytes, of which the URL may take half; and how many bytes of an
/// answer are kept until its client reads.
const BUFFER: usize = 128 * 1024;

/// How many bytes of a connection the system takes that are not on their way yet.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 256 * 1024;

/// How many bytes of the refused request are read and dropped. A connection closed over unread
/// bytes is reset, and the reset can overtake the refusal.
const DRAINED: u64 = 64 * 1024;

/// Serves until `stop`, then until the requests that run are answered. Requests carry the peer's
/// address as [`ConnectInfo`], and their [`Connection`].
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    config: HttpConfig,
    stop: CancellationToken,
) {
    if let Err(error) = widen(&listener) {
        tracing::debug!(%error, "the backlog of connections stays as it is");
    }
    let connections = Connections::new(&config);
    let running = TaskTracker::new();
    let refusals = Arc::new(Semaphore::new(REFUSALS));
    while let Some((stream, peer)) = stop
        .run_until_cancelled(accept(&listener, &connections))
        .await
    {
        if let Err(error) = prepare(&stream) {
            tracing::debug!(%error, "a connection's options were not set");
        }
        match connections.admit(peer.ip()) {
            Ok((place, gave_way)) => {
                let connection = Arc::clone(place.connection());
                let io = ConnectionIo::new(stream, place, config.write_timeout);
                let served = Served {
                    connection: Arc::clone(&connection),
                    router: router.clone(),
                    peer,
                    head_timeout: config.head_timeout,
                    idle_timeout: config.idle_timeout,
                };
                let task = running.spawn(served.run(io, stop.clone()));
                connection.runs(task.abort_handle());
                if gave_way {
                    // So that those that go and those that come are not open at the same time.
                    timeout(GIVING_WAY, connections.gone()).await.ok();
                }
                // Who is there comes first: where a thousand come at once, all of them would stand in
                // line ahead of what others are waiting for.
                tokio::task::yield_now().await;
            }
            Err(bound) => {
                bound.counted();
                if let Ok(turn) = Arc::clone(&refusals).try_acquire_owned() {
                    tokio::spawn(async move {
                        timeout(REFUSAL_TIMEOUT, refuse(stream, bound)).await.ok();
                        drop(turn);
                    });
                }
            }
        }
    }
    drop(listener);
    running.close();
    running.wait().await;
}

/// Has the system keep more connections until they are accepted: tokio has it keep 128.
fn widen(listener: &TcpListener) -> io::Result<()> {
    socket2::SockRef::from(listener).listen(BACKLOG)
}

/// Frames are small and wait for nobody; and what a client does not read waits here, where it is
/// counted and has a deadline, not in the system's memory: without a bound that takes some MiB of each
/// connection, and all of it looks as if it were read.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT)?;
    Ok(())
}

/// The next connection. Where the system gives none, the one that has been silent for longest ends.
async fn accept(listener: &TcpListener, connections: &Connections) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // Of the one connection that was about to come.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionRefused
                        | io::ErrorKind::ConnectionAborted
                        | io::ErrorKind::ConnectionReset
                ) => {}
            Err(error) => {
                tracing::error!(%error, "no connection is accepted");
                connections.make_room();
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Tells a client that there is no place for it, without having read what it asks for.
async fn refuse(mut stream: TcpStream, bound: Bound) -> io::Result<()> {
    let status = bound.status();
    let body = format!(
        r#"{{"errors":[{{"message":"{}. Try again shortly.","extensions":{{"code":"{}","retryAfter":{RETRY_SECONDS}}}}}]}}"#,
        bound.reason(),
        bound.code().as_str()
    );
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncache-control: no-store\r\n\
         retry-after: {RETRY_SECONDS}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(DRAINED), &mut tokio::io::sink()).await?;
    Ok(())
}

/// A connection that is served.
struct Served {
    connection: Arc<Connection>,
    router: Router,
    peer: SocketAddr,
    head_timeout: Duration,
    idle_timeout: Duration,
}

impl Served {
    /// Serves the connection to its end, or to its upgrade.
    async fn run(self, io: ConnectionIo, stop: CancellationToken) {
        let Self {
            connection,
            router,
            peer,
            head_timeout,
            idle_timeout,
        } = self;
        let service = {
            let connection = Arc::clone(&connection);
            service_fn(move |request: Request<Incoming>| {
                answer(&connection, &router, peer, request)
            })
        };
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(idle_timeout)
            .max_buf_size(BUFFER);
        let served = http
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades();
        let mut served = pin!(served);
        let mut first = pin!(sleep(head_timeout));
        let (mut is_new, mut is_stopping) = (true, false);
        loop {
            tokio::select! {
                ended = &mut served => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection has ended");
                    }
                    break;
                }
                () = &mut first, if is_new => {
                    is_new = false;
                    if !connection.has_begun() {
                        Cut::NoRequest.counted();
                        break;
                    }
                }
                () = stop.cancelled(), if !is_stopping => {
                    is_stopping = true;
                    served.as_mut().graceful_shutdown();
                }
            }
        }
        connection.ended();
    }
}

/// Answers a request. The connection is busy until the answer is written.
fn answer(
    connection: &Arc<Connection>,
    router: &Router,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> impl Future<Output = Result<http::Response<Answering>, Infallible>> + use<> {
    let busy = connection.begin();
    let mut request = request.map(Body::new);
    let extensions = request.extensions_mut();
    extensions.insert(ConnectInfo::<SocketAddr>(peer));
    extensions.insert(Arc::clone(connection));
    let answer = router.clone().oneshot(request);
    async move {
        let response = answer.await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            busy.connection().upgrades();
        }
        let uncompressed = response.extensions().get::<Uncompressed>();
        let uncompressed = uncompressed.map_or(0, |one| one.0);
        Ok(response.map(|body| Answering::new(body, busy, uncompressed)))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hundreds_may_come_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        widen(&listener).unwrap();
        let address = listener.local_addr().unwrap();
        let mut clients = Vec::new();
        // None is accepted: one for which there is no room never comes in.
        for _ in 0..400 {
            let client = timeout(Duration::from_mins(1), TcpStream::connect(address)).await;
            clients.push(client.expect("there is room").unwrap());
        }
    }

    #[tokio::test]
    async fn the_system_takes_little_for_a_client_that_does_not_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        prepare(&stream).unwrap();
        let (piece, mut taken) = (vec![0; 1024 * 1024], 0);
        while let Ok(written) = timeout(Duration::from_millis(200), stream.write(&piece)).await {
            taken += written.unwrap();
        }
        // With what the client's system takes. Without the bound it is some MiB.
        assert!(taken > 0 && taken < 1024 * 1024, "{taken} bytes");
    }
}
