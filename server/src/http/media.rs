//! Content negotiation, as the GraphQL-over-HTTP draft narrows it. Knows headers only.

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};

/// How a GraphQL response is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    /// `application/graphql-response+json`: the status tells whether anything was executed.
    GraphqlResponse,
    /// `application/json`: 200 for every well-formed request, as older clients expect.
    Json,
    /// `text/event-stream`: the "distinct connections" mode of GraphQL over SSE.
    EventStream,
}

impl Media {
    /// The `Content-Type` of a response.
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
            Self::EventStream => "text/event-stream; charset=utf-8",
        }
    }
}

/// What a client accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    /// How to answer a query: JSON wherever it is acceptable, since clients list
    /// `text/event-stream` for all their operations. `None`: 406.
    pub(super) response: Option<Media>,
    /// Whether `text/event-stream` is asked for by name.
    pub(super) stream: bool,
}

impl Accepted {
    /// Reads `Accept`. Without it, `application/graphql-response+json` as the draft says since
    /// 2025; for `*/*`, which tools send that know nothing of GraphQL, `application/json`.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        if !headers.contains_key(ACCEPT) {
            return Self {
                response: Some(Media::GraphqlResponse),
                stream: false,
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
        let stream = rank_exact(&ranges, "text", "event-stream");
        let response = match (json, graphql) {
            (Some(json), Some(graphql)) if graphql > json => Some(Media::GraphqlResponse),
            (Some(_), _) => Some(Media::Json),
            (None, Some(_)) => Some(Media::GraphqlResponse),
            (None, None) => stream.then_some(Media::EventStream),
        };
        Self { response, stream }
    }
}

/// One media range. Parameters other than `q` are ignored.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    /// In thousandths.
    quality: u16,
    place: usize,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str, place: usize) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let quality = parts
            .filter_map(|part| part.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
            .map_or(Some(1000), |(_, value)| thousandths(value.trim()))?;
        Some(Self {
            kind,
            subtype,
            quality,
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

fn rank_exact(ranges: &[Range<'_>], kind: &str, subtype: &str) -> bool {
    ranges
        .iter()
        .any(|range| range.precision(kind, subtype) == Some(2) && range.quality > 0)
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
        use Media::{EventStream, GraphqlResponse, Json};
        for (accept, response, stream) in [
            ("*/*", Some(Json), false),
            ("application/*", Some(Json), false),
            ("application/json", Some(Json), false),
            (
                "application/graphql-response+json",
                Some(GraphqlResponse),
                false,
            ),
            (
                "application/graphql-response+json, */*",
                Some(GraphqlResponse),
                false,
            ),
            (
                "application/graphql-response+json, application/json;q=0.9",
                Some(GraphqlResponse),
                false,
            ),
            (
                "application/json, application/graphql-response+json",
                Some(Json),
                false,
            ),
            (
                "application/json;q=0.1, application/graphql-response+json;q=0.2",
                Some(GraphqlResponse),
                false,
            ),
            ("application/json;q=0, */*", Some(GraphqlResponse), false),
            ("APPLICATION/JSON; charset=utf-8", Some(Json), false),
            // urql, and Apollo Client with multipart subscriptions.
            (
                "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed",
                Some(GraphqlResponse),
                true,
            ),
            ("text/event-stream", Some(EventStream), true),
            (
                "text/event-stream, application/json;q=0.1",
                Some(Json),
                true,
            ),
            ("text/event-stream;q=0", None, false),
            ("text/html", None, false),
            ("application/json;q=banana", None, false),
            ("", None, false),
        ] {
            assert_eq!(accepted(accept), Accepted { response, stream }, "{accept}");
        }
        assert_eq!(
            Accepted::of(&HeaderMap::new()),
            Accepted {
                response: Some(GraphqlResponse),
                stream: false
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
