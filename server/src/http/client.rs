//! Who calls: the client's address behind trusted proxies, its user agent, and its bearer token.
//! Proves nothing; the application does.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::ConnectInfo;
use http::HeaderMap;
use http::header::{AUTHORIZATION, USER_AGENT};
use http::request::Parts;
use ipnet::IpNet;
use talksy_domain::error::{ApiError, ErrorCode};
use talksy_domain::viewer::{Authentication, ClientInfo, Viewer};

use super::Transports;
use super::application::{Application, KeyEpoch};
use super::connections::Connection;
use super::operations::Counted;
use super::shares::Bound;
use crate::graphql::errors::log_fault;
use crate::graphql::{Answer, Documents, Params, Prepared, prepare};

/// Longest user agent that is kept, in characters.
const MAX_USER_AGENT: usize = 256;

/// A caller: what is put beside each of its requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Caller {
    /// What the credentials came to.
    pub(super) authentication: Authentication,
    /// How often keys had been revoked ahead of that.
    pub(super) key_epoch: KeyEpoch,
    /// The client's side of the connection.
    pub(super) client: ClientInfo,
    /// The connection that it came over.
    pub(super) connection: Option<Arc<Connection>>,
}

impl Caller {
    /// Reads and proves what an HTTP request says of its sender.
    pub(super) async fn of(app: &dyn Application, trusted: &[IpNet], parts: &Parts) -> Self {
        let key_epoch = app.key_epoch();
        let authentication = match bearer_token(&parts.headers) {
            None => Authentication::Anonymous,
            Some(Err(refusal)) => Authentication::Refused(refusal),
            Some(Ok(token)) => match app.authenticate(token).await {
                Ok(viewer) => Authentication::SignedIn(viewer),
                Err(refusal) => Authentication::Refused(logged(refusal)),
            },
        };
        Self {
            authentication,
            key_epoch,
            client: client_info(trusted, parts),
            connection: parts.extensions.get::<Arc<Connection>>().cloned(),
        }
    }

    /// The address by which the caller's sockets and streams are counted.
    pub(super) fn counted_address(&self, trusted: &[IpNet]) -> Option<IpAddr> {
        counted_address(trusted, &self.client)
    }

    /// Counts one more operation of the caller's, among those on sockets and event streams.
    ///
    /// # Errors
    /// The bound that is reached.
    pub(super) fn begin_operation(&self, server: &Transports) -> Result<Counted, Bound> {
        let address = self.counted_address(&server.config.trusted_proxies);
        let user = self.viewer().map(|viewer| viewer.user_id);
        server.operations.begin(address, user)
    }

    /// Who is signed in.
    pub(super) fn viewer(&self) -> Option<Viewer> {
        self.authentication.viewer().ok().copied()
    }

    /// Checks a request of this caller and chooses its operation.
    ///
    /// # Errors
    /// See [`prepare`].
    pub(super) fn prepare(
        &self,
        documents: &Documents,
        params: Params,
    ) -> Result<Prepared, Box<Answer>> {
        prepare(documents, params, &self.authentication, &self.client)
    }
}

/// Logs why credentials could not be proved: once, though every field that needs them is refused.
fn logged(mut refusal: ApiError) -> ApiError {
    log_fault(&refusal);
    refusal.fault = None;
    refusal
}

/// Whether a trusted proxy brought the request.
pub(super) fn is_trusted_peer(trusted: &[IpNet], extensions: &http::Extensions) -> bool {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    peer.is_some_and(|ConnectInfo(peer)| is_trusted(trusted, peer.ip()))
}

/// The address by which a client's sockets and streams are counted: its own. None where a trusted
/// proxy did not say whose they are, so that not all of its clients are counted as one.
pub(super) fn counted_address(trusted: &[IpNet], client: &ClientInfo) -> Option<IpAddr> {
    client.ip.filter(|ip| !is_trusted(trusted, *ip))
}

/// Whether one of the ranges holds the address. An IPv4 address that comes as an IPv6 one, as it
/// does on a socket that serves both, counts as the IPv4 address.
pub(super) fn is_trusted(trusted: &[IpNet], ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    trusted.iter().any(|network| network.contains(&ip))
}

/// The client's address and user agent.
pub(super) fn client_info(trusted: &[IpNet], parts: &Parts) -> ClientInfo {
    let peer = parts
        .extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map(|ConnectInfo(address)| address.ip().to_canonical());
    let user_agent = parts.headers.get(USER_AGENT).map(|value| {
        String::from_utf8_lossy(value.as_bytes())
            .chars()
            .take(MAX_USER_AGENT)
            .collect()
    });
    ClientInfo {
        ip: peer.map(|peer| origin_address(trusted, peer, &parts.headers)),
        user_agent,
        renewal: None,
    }
}

/// The rightmost address of `X-Forwarded-For` that no trusted proxy has, as each proxy appends
/// the address it was called from; only what trusted ones appended can be believed.
fn origin_address(trusted: &[IpNet], peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let mut address = peer;
    if !is_trusted(trusted, address) {
        return address;
    }
    let hops = headers.get_all("x-forwarded-for").iter().rev();
    for hop in hops.flat_map(|value| value.to_str().unwrap_or_default().rsplit(',')) {
        let Some(ip) = parse_hop(hop.trim()) else {
            break;
        };
        address = ip;
        if !is_trusted(trusted, ip) {
            break;
        }
    }
    address
}

/// `1.2.3.4`, `1.2.3.4:80`, `::1`, `[::1]` and `[::1]:80` are all in use.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let ip = hop
        .parse::<IpAddr>()
        .or_else(|_| hop.parse::<SocketAddr>().map(|address| address.ip()))
        .or_else(|_| {
            hop.trim_start_matches('[')
                .trim_end_matches(']')
                .parse::<IpAddr>()
        });
    ip.ok().map(|ip| ip.to_canonical())
}

/// The token of an `Authorization: Bearer` header; `None` without such a header.
pub(super) fn bearer_token(headers: &HeaderMap) -> Option<Result<&str, ApiError>> {
    let value = headers.get(AUTHORIZATION)?;
    Some(
        value
            .to_str()
            .ok()
            .and_then(strip_bearer)
            .ok_or_else(not_bearer),
    )
}

/// The token of `Bearer <token>`; the scheme's case does not matter (RFC 9110, 11.1).
pub(super) fn strip_bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim_start();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The refusal of credentials that are no bearer token.
pub(super) fn not_bearer() -> ApiError {
    ApiError::new(
        ErrorCode::Unauthenticated,
        "The credentials are not understood: send `Authorization: Bearer <access token>`.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<IpNet> {
        let network = |text: &&str| {
            let single = || text.parse::<IpAddr>().unwrap().into();
            text.parse().unwrap_or_else(|_| single())
        };
        texts.iter().map(network).collect()
    }

    fn origin(trusted: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        origin_address(&networks(trusted), peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn an_address_is_trusted_where_a_range_holds_it() {
        let is_trusted =
            |range: &str, ip: &str| is_trusted(&networks(&[range]), ip.parse().unwrap());
        assert!(is_trusted("10.0.0.0/8", "10.255.0.1"));
        assert!(is_trusted("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(is_trusted("10.1.2.3/8", "10.9.9.9"));
        assert!(!is_trusted("10.0.0.0/8", "11.0.0.1"));
        assert!(is_trusted("0.0.0.0/0", "203.0.113.9"));
        assert!(!is_trusted("0.0.0.0/0", "::1"));
        assert!(is_trusted("fd00::/8", "fd12::1"));
        assert!(!is_trusted("fd00::/8", "fe80::1"));
    }

    #[test]
    fn only_what_trusted_proxies_appended_is_believed() {
        assert_eq!(origin(&[], "192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(
            origin(&["10.0.0.0/8"], "10.0.0.1", &["6.6.6.6, 203.0.113.9"]),
            "203.0.113.9"
        );
        assert_eq!(
            origin(
                &["10.0.0.0/8"],
                "10.0.0.1",
                &["6.6.6.6", "203.0.113.9:4711, 10.0.0.2"]
            ),
            "203.0.113.9"
        );
        assert_eq!(
            origin(&["::1"], "::1", &["[2001:db8::7]:80"]),
            "2001:db8::7"
        );
        assert_eq!(
            origin(&["10.0.0.0/8"], "10.0.0.1", &["6.6.6.6, nonsense"]),
            "10.0.0.1"
        );
        assert_eq!(origin(&["10.0.0.0/8"], "10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn the_bearer_scheme_is_read_in_any_case() {
        assert_eq!(strip_bearer("Bearer abc"), Some("abc"));
        assert_eq!(strip_bearer("bEARER  abc "), Some("abc"));
        assert_eq!(strip_bearer("Basic abc"), None);
        assert_eq!(strip_bearer("Bearer "), None);
        assert_eq!(strip_bearer("abc"), None);
    }
}
