//! Which pages may open a socket.
//!
//! A browser lets any page open a WebSocket to anywhere, without asking as it does for HTTP, and
//! only says where the page comes from. No page gets a user's identity by that, since credentials
//! are never cookies; but it could use up connections in the name of who looks at it, from inside
//! their network. So what CORS says of HTTP is held to here too.

use http::HeaderMap;
use http::header::{HOST, ORIGIN};

/// Whether who sends these headers may open a socket: no page at all, a page of this host, or one of
/// an allowed origin. `is_proxied` where a trusted proxy brought the request, so that the host it
/// was asked for counts.
pub(super) fn may_connect(allowed: &[String], headers: &HeaderMap, is_proxied: bool) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else {
        return true;
    };
    if origins.next().is_some() {
        return false;
    }
    if allowed.iter().any(|allowed| allowed == "*") {
        return true;
    }
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    let is_allowed = |allowed: &String| allowed.eq_ignore_ascii_case(origin);
    allowed.iter().any(is_allowed) || is_own(origin, headers, is_proxied)
}

/// Whether the origin is this host, as the client has named it.
fn is_own(origin: &str, headers: &HeaderMap, is_proxied: bool) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    let port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let text = |value: &http::HeaderValue| value.to_str().ok().map(str::to_owned);
    let forwarded = headers.get("x-forwarded-host").filter(|_| is_proxied);
    let hosts = [forwarded, headers.get(HOST)];
    let mut hosts = hosts.into_iter().flatten().filter_map(text);
    // Either may name the port that goes without saying.
    let bare = |authority: &str| authority.trim_end_matches(port).to_ascii_lowercase();
    hosts.any(|host| bare(&host) == bare(authority))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|&(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        pairs.collect()
    }

    fn admits(allowed: &[&str], pairs: &[(&'static str, &'static str)], is_proxied: bool) -> bool {
        let allowed: Vec<_> = allowed.iter().map(|&origin| origin.to_owned()).collect();
        may_connect(&allowed, &headers(pairs), is_proxied)
    }

    #[test]
    fn pages_of_this_host_and_of_allowed_origins_may_connect() {
        let host = ("host", "chat.example.org");
        for (origin, wanted) in [
            ("https://chat.example.org", true),
            ("HTTPS://chat.example.org", false),
            ("https://CHAT.example.org:443", true),
            ("http://chat.example.org:80", true),
            ("http://chat.example.org:443", false),
            ("https://chat.example.org.evil.example", false),
            ("https://evil.example", false),
            ("file://chat.example.org", false),
            ("null", false),
            ("chat.example.org", false),
        ] {
            assert_eq!(
                admits(&[], &[host, ("origin", origin)], false),
                wanted,
                "{origin}"
            );
        }
        let local = ("host", "127.0.0.1:4000");
        assert!(admits(
            &[],
            &[local, ("origin", "http://127.0.0.1:4000")],
            false
        ));
        assert!(!admits(
            &[],
            &[local, ("origin", "http://127.0.0.1:3000")],
            false
        ));
        let app = ("origin", "https://app.example.org");
        assert!(admits(&["https://app.example.org"], &[host, app], false));
        assert!(!admits(&["https://other.example.org"], &[host, app], false));
        assert!(admits(&["*"], &[host, ("origin", "null")], false));
    }

    #[test]
    fn what_is_no_page_connects_and_a_page_with_two_origins_does_not() {
        assert!(admits(&[], &[("host", "chat.example.org")], false));
        let mut two = headers(&[("host", "a.example"), ("origin", "http://a.example")]);
        two.append(ORIGIN, HeaderValue::from_static("http://b.example"));
        assert!(!may_connect(&["*".to_owned()], &two, false));
    }

    #[test]
    fn the_host_that_a_proxy_was_asked_for_counts_if_the_proxy_is_trusted() {
        let pairs = [
            ("host", "10.0.0.7:4000"),
            ("x-forwarded-host", "chat.example.org"),
            ("origin", "https://chat.example.org"),
        ];
        assert!(admits(&[], &pairs, true));
        assert!(!admits(&[], &pairs, false));
    }
}
