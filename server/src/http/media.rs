//! Content negotiation, as the GraphQL-over-HTTP draft narrows it. Knows headers only.

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};

use super::framing::Framing;

/// How a GraphQL response is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    /// `application/graphql-response+json`: the status tells whether anything was executed.
    GraphqlResponse,
    /// `application/json`: 200 for every well-formed request, as older clients expect.
    Json,
    /// As one piece of a response that could go on.
    Stream(Framing),
}

impl Media {
    /// The form of an answer that is no stream.
    pub(super) const fn json(self) -> Self {
        match self {
            Self::GraphqlResponse => self,
            Self::Json | Self::Stream(_) => Self::Json,
        }
    }

    /// The `Content-Type` of a response.
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
            Self::Stream(framing) => framing.content_type(),
        }
    }
}

/// What a client accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    /// How to answer a query: JSON wherever it is acceptable, since clients list
    /// `text/event-stream` for all their operations. `None`: 406.
    pub(super) response: Option<Media>,
    /// How to answer a subscription: as `text/event-stream` where that is asked for by name, else as
    /// `multipart/mixed` with `subscriptionSpec=1.0`.
    pub(super) stream: Option<Framing>,
}

impl Accepted {
    /// Reads `Accept`. Without it, `application/graphql-response+json` as the draft says since
    /// 2025; for `*/*`, which tools send that know nothing of GraphQL, `application/json`.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        if !headers.contains_key(ACCEPT) {
            return Self {
                response: Some(Media::GraphqlResponse),
                stream: None,
            };
        }
        let ranges: Vec<Range<'_>> = headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .enumerate()
            .filter_map(|(place, text)| Range::parse(text, place))
            .collect();
        let json = rank(&ranges, "json");
        let graphql = rank(&ranges, "graphql-response+json");
        let named = |kind, subtype| {
            let exactly = move |range: &&Range<'_>| range.precision(kind, subtype) == Some(2);
            ranges
                .iter()
                .filter(exactly)
                .filter(|range| range.quality > 0)
        };
        let stream = if named("text", "event-stream").next().is_some() {
            Some(Framing::EventStream)
        } else if named("multipart", "mixed").any(|range| range.has_subscriptions) {
            Some(Framing::Multipart)
        } else {
            None
        };
        let response = match (json, graphql) {
            (Some(json), Some(graphql)) if graphql > json => Some(Media::GraphqlResponse),
            (Some(_), _) => Some(Media::Json),
            (None, Some(_)) => Some(Media::GraphqlResponse),
            (None, None) => stream.map(Media::Stream),
        };
        Self { response, stream }
    }
}

/// One media range. Parameters other than `q` and `subscriptionSpec` are ignored.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    /// In thousandths.
    quality: u16,
    /// Whether it has `subscriptionSpec=1.0`, quoted or not.
    has_subscriptions: bool,
    place: usize,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str, place: usize) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let parameters: Vec<(&str, &str)> = parts
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (name.trim(), value.trim().trim_matches(['"', '\''])))
            .collect();
        let parameter = |wanted: &str| {
            let mut named = parameters.iter();
            named.find(|(name, _)| name.eq_ignore_ascii_case(wanted))
        };
        let quality = parameter("q").map_or(Some(1000), |(_, value)| thousandths(value))?;
        let has_subscriptions =
            parameter("subscriptionSpec").is_some_and(|(_, value)| matches!(*value, "1.0" | "1"));
        Some(Self {
            kind,
            subtype,
            quality,
            has_subscriptions,
            place,
        })
    }

    /// 2 for the very type, 1 for `application/*`, 0 for `*/*`.
    fn precision(&self, kind: &str, subtype: &str) -> Option<u8> {
        if self.kind.eq_ignore_ascii_case(kind) {
            if self.subtype.eq_ignore_ascii_case(subtype) {
                return Some(2);
            }
            return (self.subtype == "*").then_some(1);
        }
        (self.kind == "*" && self.subtype == "*").then_some(0)
    }
}

/// `0.85` → 850. `None` where it is no quality value.
fn thousandths(text: &str) -> Option<u16> {
    let value: f32 = text.parse().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0..=1000 is left"
    )]
    (0.0..=1.0)
        .contains(&value)
        .then_some((value * 1000.0).round() as u16)
}

/// How much `application/<subtype>` is wanted: the quality of its most precise range, then the
/// precision, then how early it is listed.
fn rank(ranges: &[Range<'_>], subtype: &str) -> Option<(u16, u8, std::cmp::Reverse<usize>)> {
    let (precision, range) = ranges
        .iter()
        .filter_map(|range| Some((range.precision("application", subtype)?, range)))
        .max_by_key(|(precision, range)| (*precision, std::cmp::Reverse(range.place)))?;
    (range.quality > 0).then_some((range.quality, precision, std::cmp::Reverse(range.place)))
}

/// Whether a body is `application/json` in UTF-8: what a page of another origin cannot send
/// without asking first.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let mut parts = value.split(';').map(str::trim);
    parts
        .next()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
        && parts
            .filter_map(|part| part.split_once('='))
            .all(|(name, value)| {
                !name.trim().eq_ignore_ascii_case("charset")
                    || ["utf-8", "utf8"]
                        .iter()
                        .any(|c| value.trim().trim_matches('"').eq_ignore_ascii_case(c))
            })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(accept: &str) -> Accepted {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        Accepted::of(&headers)
    }

    #[test]
    fn the_response_type_follows_the_accept_header() {
        use Framing::{EventStream, Multipart};
        use Media::{GraphqlResponse, Json, Stream};
        for (accept, response, stream) in [
            ("*/*", Some(Json), None),
            ("application/*", Some(Json), None),
            ("application/json", Some(Json), None),
            (
                "application/graphql-response+json",
                Some(GraphqlResponse),
                None,
            ),
            (
                "application/graphql-response+json, */*",
                Some(GraphqlResponse),
                None,
            ),
            (
                "application/graphql-response+json, application/json;q=0.9",
                Some(GraphqlResponse),
                None,
            ),
            (
                "application/json, application/graphql-response+json",
                Some(Json),
                None,
            ),
            (
                "application/json;q=0.1, application/graphql-response+json;q=0.2",
                Some(GraphqlResponse),
                None,
            ),
            ("application/json;q=0, */*", Some(GraphqlResponse), None),
            ("APPLICATION/JSON; charset=utf-8", Some(Json), None),
            // Apollo Client 4 and 3, and what else writes the parameter.
            (
                "multipart/mixed;boundary=\"graphql\";subscriptionSpec=1.0,application/graphql-response+json,application/json;q=0.9",
                Some(GraphqlResponse),
                Some(Multipart),
            ),
            (
                "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/json",
                Some(Json),
                Some(Multipart),
            ),
            (
                "multipart/mixed; subscriptionspec=\"1.0\"",
                Some(Stream(Multipart)),
                Some(Multipart),
            ),
            (
                "multipart/mixed;subscriptionSpec=1.0, text/event-stream",
                Some(Stream(EventStream)),
                Some(EventStream),
            ),
            ("multipart/mixed;subscriptionSpec=2.0", None, None),
            ("multipart/mixed;subscriptionSpec=1.0;q=0", None, None),
            (
                "multipart/mixed;deferSpec=20220824,application/json",
                Some(Json),
                None,
            ),
            // urql.
            (
                "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed",
                Some(GraphqlResponse),
                Some(EventStream),
            ),
            (
                "text/event-stream",
                Some(Stream(EventStream)),
                Some(EventStream),
            ),
            (
                "text/event-stream, application/json;q=0.1",
                Some(Json),
                Some(EventStream),
            ),
            ("text/event-stream;q=0", None, None),
            ("text/html", None, None),
            ("application/json;q=banana", None, None),
            ("", None, None),
        ] {
            assert_eq!(accepted(accept), Accepted { response, stream }, "{accept}");
        }
        assert_eq!(
            Accepted::of(&HeaderMap::new()),
            Accepted {
                response: Some(GraphqlResponse),
                stream: None
            }
        );
    }

    #[test]
    fn only_json_in_utf8_is_a_json_body() {
        for (content_type, expected) in [
            ("application/json", true),
            ("Application/JSON;charset=\"UTF-8\"", true),
            ("application/json; charset=utf-8", true),
            ("application/json; charset=iso-8859-1", false),
            ("text/plain", false),
            ("text/plain; application/json", false),
            ("application/x-www-form-urlencoded", false),
            ("multipart/form-data; boundary=x", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
            assert_eq!(is_json(&headers), expected, "{content_type}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
