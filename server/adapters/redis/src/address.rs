//! A server's address.

use std::fmt;

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Address {
    /// `host`, `host:port` or `[ipv6]:port`.
    pub(super) fn parse(text: &str, default_port: u16) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                (host, port.strip_prefix(':'))
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let known = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        if host.is_empty() || !host.chars().all(known) {
            return None;
        }
        let port = port.map_or(Some(default_port), |port| port.parse().ok())?;
        Some(Self {
            host: host.to_owned(),
            port,
        })
    }

    /// Where a redirection leads: `host:port`, or `:port` on the host that sent it.
    pub(super) fn redirected(&self, target: &str) -> Option<Self> {
        let (host, port) = target.rsplit_once(':')?;
        let host = if host.is_empty() { &self.host } else { host };
        Some(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: port.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_perhaps_a_port() {
        let text = |text| Address::parse(text, 1).map(|address| address.to_string());
        assert_eq!(text("a").as_deref(), Some("a:1"));
        assert_eq!(text("10.0.0.1:2").as_deref(), Some("10.0.0.1:2"));
        assert_eq!(text("[::1]:2").as_deref(), Some("::1:2"));
        assert_eq!(text("[::1]").as_deref(), Some("::1:1"));
        for wrong in ["", ":1", "a:", "a:x", "a b", "[::1", "a:70000"] {
            assert_eq!(text(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_redirection_names_a_server() {
        let sender = Address {
            host: "a".to_owned(),
            port: 1,
        };
        let target = |target| sender.redirected(target).map(|address| address.to_string());
        assert_eq!(target("b:2").as_deref(), Some("b:2"));
        assert_eq!(target(":2").as_deref(), Some("a:2"));
        assert_eq!(target("::1:2").as_deref(), Some("::1:2"));
        assert_eq!(target("b"), None);
    }
}
