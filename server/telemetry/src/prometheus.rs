//! The process's metrics in Prometheus's text format.

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::process;

/// What the page is sent as.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Bounds of what a person waits for, in seconds.
const REQUESTS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];
/// Bounds of what is done many times a request, in seconds.
const CALLS: [f64; 12] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0,
];

/// Bounds of what is kept in memory, in bytes: each four times the one before, from 1 KiB on.
const BYTES: [f64; 9] = [
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// How often what was measured is folded into the histograms, also when nobody scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// The metrics of this process.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Collects from now on what the crates count. On a Tokio runtime.
    pub(crate) fn install(version: &'static str) -> Result<Self, BuildError> {
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_call_duration_seconds".into()), &CALLS)?
            .set_buckets_for_metric(Matcher::Suffix("_publish_duration_seconds".into()), &CALLS)?
            .set_buckets_for_metric(Matcher::Suffix("_bytes".into()), &BYTES)?
            .set_buckets(&REQUESTS)?
            .install_recorder()?;
        metrics::describe_gauge!("talksy_build_info", "Always 1; its label is the version.");
        metrics::gauge!("talksy_build_info", "version" => version).set(1);
        let upkeep = handle.clone();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(UPKEEP);
            loop {
                ticks.tick().await;
                upkeep.run_upkeep();
            }
        });
        Ok(Self(handle))
    }

    /// The page that Prometheus scrapes.
    pub fn render(&self) -> String {
        let mut page = self.0.render();
        process::write(&mut page);
        page
    }
}
