//! Figures from many rounds and many requests.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::outcome::{Context as _, Outcome};

/// The clock of a run: what messages carry is the time since its start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// Microseconds since the start.
    pub(super) fn micros(self) -> u64 {
        u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// An empty histogram of microseconds, to three digits.
pub(super) fn histogram() -> Outcome<Histogram<u64>> {
    Histogram::new(3).context("cannot make a histogram")
}

/// Latencies in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl From<&Histogram<u64>> for Latency {
    fn from(micros: &Histogram<u64>) -> Self {
        let milliseconds = |micros: u64| float(micros) / 1e3;
        Self {
            p50: milliseconds(micros.value_at_quantile(0.5)),
            p99: milliseconds(micros.value_at_quantile(0.99)),
            max: milliseconds(micros.max()),
        }
    }
}

/// What a round of some load has shown.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Round {
    /// Things done a second.
    pub(super) rate: f64,
    /// How long each took, under this load.
    pub(super) latency: Latency,
    /// How long each takes where there is nothing else to do.
    pub(super) calm: Option<Latency>,
    /// Processor time of the server for each, in microseconds.
    pub(super) server_cpu: f64,
    /// The same of this program.
    pub(super) client_cpu: f64,
}

impl Round {
    pub(super) fn new(done: u64, took: Duration, latency: Latency, cpu: [Duration; 2]) -> Self {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / float(done.max(1));
        Self {
            rate: float(done) / took.as_secs_f64(),
            latency,
            calm: None,
            server_cpu: each(cpu[0]),
            client_cpu: each(cpu[1]),
        }
    }
}

/// The middle one, or the mean of the middle two; 0 of none.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.len().saturating_sub(1) / 2, sorted.len() / 2);
    match (sorted.get(low), sorted.get(high)) {
        (Some(low), Some(high)) => f64::midpoint(*low, *high),
        _ => 0.0,
    }
}

/// The largest; 0 of none.
pub(super) fn largest(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(0.0, f64::max)
}

/// A count as a figure.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle() {
        for (values, middle) in [
            (vec![], 0.0),
            (vec![3.0], 3.0),
            (vec![4.0, 1.0], 2.5),
            (vec![9.0, 1.0, 2.0], 2.0),
        ] {
            assert!((median(values) - middle).abs() < 1e-9);
        }
    }

    #[test]
    fn latencies_come_out_in_milliseconds() {
        let mut micros = histogram().unwrap();
        for value in 1..=100 {
            micros.record(value * 1000).unwrap();
        }
        let latency = Latency::from(&micros);
        assert!((latency.p50 - 50.0).abs() < 0.1, "{latency:?}");
        assert!((latency.p99 - 99.0).abs() < 0.1, "{latency:?}");
        assert!((latency.max - 100.0).abs() < 0.1, "{latency:?}");
    }
}
