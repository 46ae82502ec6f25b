//! Prometheus's side.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use talksy_tests::eventually;
use talksy_tests::process::ServerProcess;
use talksy_tests::servers::free_port;

/// A server process that is scraped.
pub struct Scraped {
    pub server: ServerProcess,
    pub metrics: SocketAddr,
}

impl Scraped {
    pub async fn start(data: &Path, arguments: &[&str]) -> Self {
        let metrics = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let listen = format!("metrics.listen={metrics}");
        let arguments = [&["--set", &listen], arguments].concat();
        Self {
            server: ServerProcess::start(data, &arguments).await,
            metrics,
        }
    }

    pub async fn scrape(&self) -> Page {
        Page::of(self.metrics).await
    }
}

/// A page of metrics: the value of each series.
#[derive(Debug)]
pub struct Page(BTreeMap<String, f64>);

impl Page {
    pub async fn of(address: SocketAddr) -> Self {
        let text = eventually("a page of metrics", async || {
            let url = format!("http://{address}/metrics");
            let response = talksy_tests::http_client().get(url).send().await.ok()?;
            let kind = response.headers()["content-type"]
                .to_str()
                .unwrap()
                .to_owned();
            assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
            response.text().await.ok()
        })
        .await;
        let series = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| {
                let (series, value) = line.rsplit_once(' ').unwrap();
                (series.to_owned(), value.parse().unwrap())
            });
        Self(series.collect())
    }

    /// The names of all samples.
    pub fn names(&self) -> BTreeSet<&str> {
        let name = |series: &'_ String| series.find('{').unwrap_or(series.len());
        self.0
            .keys()
            .map(|series| &series[..name(series)])
            .collect()
    }

    /// The sum of the series with this name and these labels.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let matches = |series: &str| {
            let (found, rest) = series.split_once('{').unwrap_or((series, ""));
            let has =
                |(label, value): &(&str, &str)| rest.contains(&format!("{label}=\"{value}\""));
            found == name && labels.iter().all(has)
        };
        let series = self.0.iter().filter(|(series, _)| matches(series));
        series.map(|(_, value)| value).sum()
    }

    /// All values of a label under this name.
    pub fn values(&self, name: &str, label: &str) -> BTreeSet<String> {
        let start = format!("{label}=\"");
        self.0
            .keys()
            .filter_map(|series| series.strip_prefix(name)?.strip_prefix('{'))
            .filter_map(|labels| labels.split_once(&start)?.1.split_once('"'))
            .map(|(value, _)| value.to_owned())
            .collect()
    }
}
