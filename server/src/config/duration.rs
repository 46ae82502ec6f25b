//! Durations as people write them.

use std::fmt::Write as _;
use std::time::Duration;

use humantime_serde::re::humantime;
use serde::{Deserializer, de};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_mins(1);
pub(super) const HOUR: Duration = Duration::from_hours(1);
pub(super) const DAY: Duration = Duration::from_hours(24);

/// Reads `30s`, `1h 30m`, `30days`.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    struct Text;
    impl de::Visitor<'_> for Text {
        type Value = Duration;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a duration such as `30s`, `5m` or `1h`")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
            humantime::parse_duration(text)
                .map_err(|_| E::invalid_value(de::Unexpected::Other("text"), &self))
        }
    }
    deserializer.deserialize_str(Text)
}

/// The duration in days, hours, minutes, seconds and milliseconds. Neither months nor years, which
/// `humantime` takes to be averages: 365 days would come out as 11 months and some hours.
pub(super) fn show(duration: Duration) -> String {
    let mut text = String::new();
    let mut rest = duration.as_millis();
    for (unit, millis) in [
        ("days", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ] {
        if rest >= millis {
            let space = if text.is_empty() { "" } else { " " };
            let unit = match (unit, rest / millis) {
                ("days", 1) => "day",
                (unit, _) => unit,
            };
            // Writing to a string does not fail.
            let _ = write!(text, "{space}{}{unit}", rest / millis);
            rest %= millis;
        }
    }
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_parses_back() {
        for (millis, text) in [
            (0, "0s"),
            (1_500, "1s 500ms"),
            (600_000, "10m"),
            (5_400_000, "1h 30m"),
            (90_000_000, "1day 1h"),
            (31_536_000_000, "365days"),
        ] {
            let duration = Duration::from_millis(millis);
            assert_eq!(show(duration), text);
            assert_eq!(humantime::parse_duration(text).unwrap(), duration);
        }
    }
}
