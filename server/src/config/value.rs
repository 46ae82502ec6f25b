//! How the value of a setting is read from a source, written as TOML and held to its bounds: by
//! its type, so that a section says no more than the type.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::duration;
use super::problem::Problems;
use super::values::{Directory, Introspection, LogFormat, Mailbox, Quota, SignUp};

/// A type that a setting can have.
pub(super) trait SettingValue: Sized {
    /// Reads the value. An error is the end of a sentence, "must be …", and does not repeat it.
    fn read<'de, D: Deserializer<'de>>(source: D) -> Result<Self, D::Error>;

    /// Writes the value in the form that [`SettingValue::read`] takes; of a secret no more than
    /// is none.
    fn write<S: Serializer>(&self, target: S) -> Result<S::Ok, S::Error>;
}

/// For `#[serde(with = "value")]`.
pub(super) fn deserialize<'de, T: SettingValue, D: Deserializer<'de>>(
    source: D,
) -> Result<T, D::Error> {
    T::read(source)
}

/// For `#[serde(with = "value")]`.
pub(super) fn serialize<T: SettingValue, S: Serializer>(
    value: &T,
    target: S,
) -> Result<S::Ok, S::Error> {
    value.write(target)
}

/// A value as TOML; `None` where nothing is set.
pub(super) fn to_toml(value: &impl SettingValue) -> Option<String> {
    let value = toml::Value::try_from(Written(value)).ok()?;
    Some(value.to_string())
}

/// A type whose values can be kept between a least and a greatest one.
pub(super) trait Bounded: SettingValue {
    /// "From 1s to 10m".
    fn show_bounds(bounds: &RangeInclusive<Self>) -> String;

    /// Adds a problem where the value is not within `bounds`.
    fn check(&self, setting: &str, bounds: &RangeInclusive<Self>, problems: &mut Problems);
}

/// What is bounded as a whole: it has an order, and people write it in this form.
trait Ordered: SettingValue + PartialOrd {
    fn show(&self) -> String;
}

impl<T: Ordered> Bounded for T {
    fn show_bounds(bounds: &RangeInclusive<Self>) -> String {
        format!("From {}", span(bounds))
    }
    fn check(&self, setting: &str, bounds: &RangeInclusive<Self>, problems: &mut Problems) {
        if !bounds.contains(self) {
            let rule = format!("must be from {}, not {}", span(bounds), self.show());
            problems.add(setting, rule);
        }
    }
}

fn span<T: Ordered>(bounds: &RangeInclusive<T>) -> String {
    format!("{} to {}", bounds.start().show(), bounds.end().show())
}

/// Types that serde reads and writes as it should be.
macro_rules! plain {
    ($($Type:ty),*) => {$(
        impl SettingValue for $Type {
            fn read<'de, D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
                Self::deserialize(source)
            }
            fn write<S: Serializer>(&self, target: S) -> Result<S::Ok, S::Error> {
                self.serialize(target)
            }
        }
    )*};
}

plain!(
    u8,
    u32,
    u64,
    usize,
    bool,
    String,
    PathBuf,
    Directory,
    Introspection,
    LogFormat,
    Mailbox,
    Quota,
    SignUp
);

macro_rules! ordered_number {
    ($($Type:ty),*) => {$(
        impl Ordered for $Type {
            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

ordered_number!(u8, u32, u64, usize);

impl SettingValue for Duration {
    fn read<'de, D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        duration::deserialize(source)
    }
    fn write<S: Serializer>(&self, target: S) -> Result<S::Ok, S::Error> {
        target.serialize_str(&duration::show(*self))
    }
}

impl Ordered for Duration {
    fn show(&self) -> String {
        duration::show(*self)
    }
}

/// Bounded part by part.
impl Bounded for Quota {
    fn show_bounds(bounds: &RangeInclusive<Self>) -> String {
        let (bursts, periods) = parts(bounds);
        format!("From {} in {}", span(&bursts), span(&periods))
    }
    fn check(&self, setting: &str, bounds: &RangeInclusive<Self>, problems: &mut Problems) {
        let (bursts, periods) = parts(bounds);
        self.burst
            .check(&format!("{setting}.burst"), &bursts, problems);
        self.period
            .check(&format!("{setting}.period"), &periods, problems);
    }
}

fn parts(bounds: &RangeInclusive<Quota>) -> (RangeInclusive<u32>, RangeInclusive<Duration>) {
    let (least, greatest) = (bounds.start(), bounds.end());
    (least.burst..=greatest.burst, least.period..=greatest.period)
}

impl SettingValue for SocketAddr {
    fn read<'de, D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let rule = "must be an IP address and port such as `127.0.0.1:4000`";
        parsed(source, rule, |text| text.parse().ok())
    }
    fn write<S: Serializer>(&self, target: S) -> Result<S::Ok, S::Error> {
        written(self, target)
    }
}

/// An address range in CIDR notation, or one address.
impl SettingValue for IpNet {
    fn read<'de, D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let rule = "must be address ranges such as `10.0.0.0/8` or `::1`";
        parsed(source, rule, |text| {
            let Some((address, prefix)) = text.split_once('/') else {
                return text.parse::<IpAddr>().ok().map(Self::from);
            };
            Self::new(address.parse().ok()?, prefix.parse().ok()?).ok()
        })
    }
    fn write<S: Serializer>(&self, target: S) -> Result<S::Ok, S::Error> {
        written(self, target)
    }
}

/// The URL of a backend. Its scheme is no secret, nor is an SQLite path.
impl SettingValue for SecretString {
    fn read<'de, D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        Self::deserialize(source)
    }
    fn write<S: Serializer>(&self, target: S) -> Result<S::Ok, S::Error> {
        let url = self.expose_secret();
        if url.starts_with("sqlite:") {
            return target.serialize_str(url);
        }
        match url.split_once("://") {
            Some((scheme, _)) => target.serialize_str(&format!("{scheme}://[redacted]")),
            None => target.serialize_str("[redacted]"),
        }
    }
}

impl<T: SettingValue> SettingValue for Option<T> {
    fn read<'de, D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        Ok(Option::<Read<T>>::deserialize(source)?.map(|read| read.0))
    }
    fn write<S: Serializer>(&self, target: S) -> Result<S::Ok, S::Error> {
        self.as_ref().map(Written).serialize(target)
    }
}

impl<T: SettingValue> SettingValue for Vec<T> {
    fn read<'de, D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let read = Vec::<Read<T>>::deserialize(source)?;
        Ok(read.into_iter().map(|read| read.0).collect())
    }
    fn write<S: Serializer>(&self, target: S) -> Result<S::Ok, S::Error> {
        target.collect_seq(self.iter().map(Written))
    }
}

/// [`SettingValue::read`] for serde.
struct Read<T>(T);

impl<'de, T: SettingValue> Deserialize<'de> for Read<T> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        T::read(source).map(Self)
    }
}

/// [`SettingValue::write`] for serde.
struct Written<'a, T>(&'a T);

impl<T: SettingValue> Serialize for Written<'_, T> {
    fn serialize<S: Serializer>(&self, target: S) -> Result<S::Ok, S::Error> {
        self.0.write(target)
    }
}

fn parsed<'de, T, D: Deserializer<'de>>(
    source: D,
    rule: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, D::Error> {
    let text = String::deserialize(source)?;
    parse(&text).ok_or_else(|| D::Error::custom(rule))
}

fn written<S: Serializer>(value: &impl Display, target: S) -> Result<S::Ok, S::Error> {
    target.collect_str(value)
}

#[cfg(test)]
mod tests {
    use figment::value::Value;

    use super::*;

    fn network(text: &str) -> Option<IpNet> {
        Value::from(text)
            .deserialize()
            .ok()
            .map(|Read(network)| network)
    }

    #[test]
    fn networks_are_ranges_or_single_addresses() {
        for (text, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3/8", "10.1.2.3/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("fd00::/8", "fd00::/8"),
            ("::1", "::1/128"),
            ("::1/+128", "::1/128"),
        ] {
            let read = network(text).unwrap();
            assert_eq!(read.to_string(), shown, "{text}");
            assert_eq!(network(&read.to_string()), Some(read), "{text}");
        }
        for wrong in ["10.0.0.0/33", "::1/129", "ten", "10.0.0.0/", "", "10.0.0/8"] {
            assert_eq!(network(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_quota_is_bounded_part_by_part() {
        let quota = |burst, seconds| Quota {
            burst,
            period: Duration::from_secs(seconds),
        };
        let bounds = quota(1, 1)..=quota(9, 60);
        assert_eq!(Quota::show_bounds(&bounds), "From 1 to 9 in 1s to 1m");
        let broken = |value: Quota| {
            let mut problems = Problems::default();
            value.check("limits.send", &bounds, &mut problems);
            problems
                .into_vec()
                .into_iter()
                .map(|problem| format!("{} {}", problem.setting, problem.rule))
                .collect::<Vec<_>>()
        };
        assert_eq!(broken(quota(9, 1)), Vec::<String>::new());
        assert_eq!(
            broken(quota(0, 61)),
            [
                "limits.send.burst must be from 1 to 9, not 0",
                "limits.send.period must be from 1s to 1m, not 1m 1s",
            ]
        );
    }
}
