//! How often the server has called its store, by its own metrics.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};

use super::http::Connection;
use super::outcome::Outcome;

/// The ports whose calls are calls of the store.
const STORES: [&str; 5] = ["users", "sessions", "chats", "messages", "groups"];

/// A free address for the page of metrics, and the setting that puts it there.
pub(super) fn page() -> Outcome<(SocketAddr, String)> {
    let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
    Ok((address, format!("metrics.listen={address}")))
}

/// How often each method of the store was called since the server's start.
pub(super) async fn store_calls(metrics: SocketAddr) -> Outcome<BTreeMap<String, f64>> {
    let mut connection = Connection::open(metrics).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {metrics}\r\n\r\n");
    let page = connection.send(request.as_bytes()).await?;
    Ok(calls(std::str::from_utf8(page.body)?))
}

fn calls(page: &str) -> BTreeMap<String, f64> {
    let call = |line: &str| {
        let (labels, count) = line
            .strip_prefix("talksy_store_call_duration_seconds_count{")?
            .split_once("} ")?;
        let label = |name: &str| {
            let (_, rest) = labels.split_once(&format!("{name}=\""))?;
            Some(rest.split_once('"')?.0.to_owned())
        };
        let port = label("port")?;
        let is_store = STORES.contains(&port.as_str());
        let name = format!("{port}.{}", label("method")?);
        is_store.then_some((name, count.parse().ok()?))
    };
    page.lines().filter_map(call).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_from_the_page_of_metrics() {
        let page = "# TYPE talksy_store_call_duration_seconds histogram\n\
            talksy_store_call_duration_seconds_bucket{port=\"chats\",method=\"ends\",le=\"1\"} 1\n\
            talksy_store_call_duration_seconds_count{port=\"chats\",method=\"ends\"} 7\n\
            talksy_store_call_duration_seconds_count{method=\"page\",port=\"messages\"} 2\n\
            talksy_store_call_duration_seconds_count{port=\"limiter\",method=\"take\"} 9\n";
        let expected = [("chats.ends", 7.0), ("messages.page", 2.0)];
        let expected = expected.map(|(name, calls)| (name.to_owned(), calls));
        assert_eq!(calls(page), BTreeMap::from(expected));
    }
}
