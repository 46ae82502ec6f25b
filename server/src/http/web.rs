//! `/`: the web chat's page and assets, built into the binary, compressed. Without a build there is a
//! page that says how to make one. The pages of `talksy demo` are part of the same build, and are served
//! by it alone.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use http::header::{ACCEPT, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use rust_embed::RustEmbed;

use super::Transports;
use super::embedded::{HTML, Packed, confined, file};
use super::reply::uncached;

/// What Vite built; each file under its name with `.gz`, and with `.br`.
#[derive(RustEmbed)]
#[folder = "../client-examples/web/dist/packed"]
#[allow_missing = true]
struct Assets;

/// What the page may do, a directive on each line, without which pages may have it in a frame: `vite
/// preview` sends the same.
const DIRECTIVES: &str = include_str!("../../../client-examples/web/policy.txt");

/// Whether a page may stand in another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// In none.
    Alone,
    /// In one of this server.
    Framed,
    /// It has those in it.
    Frames,
}

const NOT_BUILT: &str = "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
    <title>The web chat is not built</title>\n<h1>The web chat is not built</h1>\n\
    <p>Run <code>make pages</code> (it needs Node), then build the server again.</p>\n\
    <p>GraphQL is at <code>/graphql</code>.</p></html>\n";

const TEXT: &str = "text/plain; charset=utf-8";

/// The routes of the page and of what it loads.
pub(super) fn routes(is_on: bool) -> Router<Arc<Transports>> {
    let router = Router::new().route("/", get(index));
    if !is_on {
        return router;
    }
    let beside = beside().map(|name| format!("/{name}"));
    beside.fold(
        router.route("/assets/{*path}", get(asset)),
        |router, path| router.route(&path, get(file_beside)),
    )
}

/// The files beside the pages, such as the icon.
fn beside() -> impl Iterator<Item = String> {
    Assets::iter().filter_map(|stored| {
        let name = stored.strip_suffix(".gz")?;
        let is_page = std::path::Path::new(name)
            .extension()
            .is_some_and(|kind| kind == "html");
        let is_beside = !name.contains('/') && !is_page;
        is_beside.then(|| name.to_owned())
    })
}

/// `/`: the page for who takes one; a line of text for programs; and where there is none, the way to
/// GraphiQL.
async fn index(State(server): State<Arc<Transports>>, headers: HeaderMap) -> Response {
    let mut response = if !takes_page(&headers) {
        said(&server)
    } else if server.config.web_chat {
        page("index.html", Framing::Alone, &headers)
    } else if server.config.graphiql {
        Redirect::temporary("/graphiql").into_response()
    } else {
        said(&server)
    };
    let varies = HeaderValue::from_static("accept");
    response.headers_mut().append(VARY, varies);
    response
}

fn said(server: &Transports) -> Response {
    let text = if server.config.documents.trusted_only {
        "Talksy. GraphQL is at /graphql.\n"
    } else {
        "Talksy. GraphQL is at /graphql, its schema at /schema.graphql.\n"
    };
    uncached(StatusCode::OK, TEXT, text)
}

/// Whether a page is among what the client takes; who says nothing takes anything.
fn takes_page(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(ACCEPT).iter().peekable();
    accepted.peek().is_none()
        || accepted
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|range| range.split(';').next())
            .any(|range| {
                let range = range.trim().to_ascii_lowercase();
                ["text/html", "text/*", "*/*"].contains(&&*range)
            })
}

/// A page of the build.
pub(crate) fn page(name: &str, framing: Framing, headers: &HeaderMap) -> Response {
    let page = match packed(name) {
        Some(page) => file(name, page, headers),
        None => uncached(StatusCode::OK, HTML, NOT_BUILT),
    };
    confined(page, &policy(framing))
}

/// `/assets/…`.
async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    loaded(&format!("assets/{path}"), &headers)
}

/// `/icon.svg`, and the like.
async fn file_beside(uri: http::Uri, headers: HeaderMap) -> Response {
    loaded(uri.path().trim_start_matches('/'), &headers)
}

fn loaded(path: &str, headers: &HeaderMap) -> Response {
    match packed(path) {
        Some(asset) => confined(file(path, asset, headers), &policy(Framing::Alone)),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn packed(path: &str) -> Option<Packed> {
    // Where the files are read from their folder, as by a debug build, these would lead somewhere.
    if path.split('/').any(|part| part == "..") {
        return None;
    }
    Some(Packed {
        gzip: Assets::get(&format!("{path}.gz"))?,
        brotli: Assets::get(&format!("{path}.br")),
    })
}

fn policy(framing: Framing) -> HeaderValue {
    static POLICIES: LazyLock<[HeaderValue; 3]> = LazyLock::new(|| {
        [
            "frame-ancestors 'none'",
            "frame-ancestors 'self'",
            "frame-ancestors 'none'; frame-src 'self'",
        ]
        .map(|framing| {
            let directives = DIRECTIVES.lines().map(str::trim);
            let directives = directives.filter(|line| !line.is_empty() && !line.starts_with('#'));
            let all: Vec<_> = directives.chain([framing]).collect();
            // A file that is no header would forbid the page to load anything.
            HeaderValue::from_str(&all.join("; "))
                .unwrap_or(HeaderValue::from_static("default-src 'none'"))
        })
    });
    let [alone, inside, around] = &*POLICIES;
    match framing {
        Framing::Alone => alone,
        Framing::Framed => inside,
        Framing::Frames => around,
    }
    .clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_loads_from_its_own_server_alone() {
        let alone = policy(Framing::Alone);
        let alone = alone.to_str().unwrap();
        for directive in [
            "default-src 'none'",
            "script-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(alone.split("; ").any(|one| one == directive), "{directive}");
        }
        assert!(!alone.contains("unsafe") && !alone.contains('*') && !alone.contains("http"));
        let framed = policy(Framing::Framed);
        assert!(framed.to_str().unwrap().ends_with("frame-ancestors 'self'"));
    }

    #[test]
    fn programs_that_take_no_page_are_told_in_a_line() {
        for (accept, takes) in [
            ("text/html,application/xhtml+xml,*/*;q=0.8", true),
            ("*/*", true),
            ("Text/HTML;q=0.1", true),
            ("application/json", false),
            ("application/json, text/plain", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(takes_page(&headers), takes, "{accept}");
        }
        assert!(takes_page(&HeaderMap::new()));
    }
}
