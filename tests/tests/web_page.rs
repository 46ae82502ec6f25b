//! The web chat's page at `/`: what browsers are told of it, and that it is whole.

use http::Method;
use talksy_tests::app::TestApp;
use talksy_tests::wire::{Answer, Wire};

/// As a browser asks for a page.
const BROWSER: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";

async fn get(app: &TestApp, path: &str, headers: &str) -> Answer {
    let mut wire = Wire::connect(app.address).await;
    wire.write(format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n"))
        .await;
    wire.answer().await
}

/// The files that a page names, which are there where it was built: `make pages`.
fn named_in(page: &str) -> Vec<String> {
    let quoted = page.split('"').filter(|text| text.starts_with('/'));
    quoted.map(str::to_owned).collect()
}

fn assert_confined(answer: &Answer) {
    let policy = answer.header("content-security-policy");
    for directive in [
        "default-src 'none'",
        "script-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.split("; ").any(|one| one == directive), "{policy}");
    }
    assert!(!policy.contains("unsafe-"), "{policy}");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_loads_its_own_files_alone() {
    let app = TestApp::start().await;
    let answer = get(&app, "/", BROWSER).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert_confined(&answer);
    let page = answer.text();
    assert!(page.to_lowercase().starts_with("<!doctype html>"));
    // Nothing inside of the page that the policy would keep from it.
    assert!(
        !page.contains("<style") && !page.contains(" style="),
        "{page}"
    );
    assert!(
        !page.contains("http://") && !page.contains("https://"),
        "{page}"
    );
    for script in page.split("<script").skip(1) {
        assert!(script.contains(" src=\"/assets/"), "{script}");
    }
    let named = named_in(&page);
    assert!(!named.is_empty(), "the page is not built: make pages");
    for path in named {
        let asset = get(&app, &path, "").await;
        assert_eq!(asset.status, 200, "{path}");
        assert_ne!(asset.header("content-type"), "application/octet-stream");
        assert_confined(&asset);
        let kept = if path.starts_with("/assets/") {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        };
        assert_eq!(asset.header("cache-control"), kept, "{path}");
        let tag = format!("If-None-Match: {}\r\n", asset.header("etag"));
        let again = get(&app, &path, &tag).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_asked_for_again_and_not_sent_again() {
    let app = TestApp::start().await;
    let answer = get(&app, "/", BROWSER).await;
    assert_eq!(answer.header("cache-control"), "no-cache");
    let tag = format!("{BROWSER}If-None-Match: {}\r\n", answer.header("etag"));
    let again = get(&app, "/", &tag).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_confined(&again);
    let head = Answer::to(app.client().request(Method::HEAD, "/")).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_sent_as_small_as_the_browser_takes_them() {
    let app = TestApp::start().await;
    let page = get(&app, "/", BROWSER).await.text();
    let named = named_in(&page);
    let script = named
        .iter()
        .find(|path| path.rsplit('.').next() == Some("js"));
    let script = script.map_or("/", |path| &**path);
    let mut lengths = Vec::new();
    for (accepted, coding) in [
        ("", ""),
        ("Accept-Encoding: gzip\r\n", "gzip"),
        ("Accept-Encoding: gzip, deflate, br, zstd\r\n", "br"),
    ] {
        for path in ["/", script] {
            let answer = get(&app, path, &format!("{BROWSER}{accepted}")).await;
            assert_eq!(answer.status, 200, "{path}");
            assert_eq!(answer.header("content-encoding"), coding, "{path}");
            let varies = answer.headers.get_all("vary").iter();
            let varies = varies.filter_map(|value| value.to_str().ok());
            assert!(varies.collect::<Vec<_>>().contains(&"accept-encoding"));
            if path == script {
                lengths.push(answer.body.len());
            }
        }
    }
    assert!(lengths.is_sorted_by(|one, next| one > next), "{lengths:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_are_told_in_a_line() {
    let app = TestApp::start().await;
    let answer = get(&app, "/", "Accept: application/json\r\n").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert!(answer.text().contains("/graphql"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_not_found() {
    let app = TestApp::start().await;
    for path in [
        "/nothing",
        "/index.html",
        "/assets/nothing.js",
        "/assets/../index.html",
        "/assets/%2e%2e/index.html",
        "/assets/%2e%2e/%2e%2e/policy.txt",
        // The pages of `talksy demo`.
        "/demo",
        "/demo.html",
        "/demo/pane",
        "/demo/state",
        "/pane.html",
    ] {
        assert_eq!(get(&app, path, BROWSER).await.status, 404, "{path}");
    }
    let ticket = app.client().request(Method::POST, "/demo/ticket");
    let ticket = Answer::to(ticket.body(r#"{"as":"ada"}"#)).await;
    assert_eq!(ticket.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_switches_the_page_off() {
    let app = TestApp::builder()
        .config(|config| config.http.web_chat = false)
        .start()
        .await;
    assert_eq!(
        get(&app, "/", BROWSER).await.header("location"),
        "/graphiql"
    );
    assert_eq!(get(&app, "/icon.svg", "").await.status, 404);
}
