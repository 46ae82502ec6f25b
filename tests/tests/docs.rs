//! The pages for contributors are true: every path that they name is in the repository, and every
//! relative link leads somewhere.

#![expect(clippy::unwrap_used, reason = "the pages are there")]

use std::path::{Path, PathBuf};

/// The folders whose paths are checked.
const FOLDERS: [&str; 8] = [
    "schema/",
    "server/",
    "mail-worker/",
    "tests/",
    "client-examples/",
    "docs/",
    ".github/",
    ".ci/",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn pages_in(folder: &str) -> Vec<String> {
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(root().join(folder)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(format!("{folder}{name}"));
        }
    }
    pages
}

/// The pages, by their path in the repository.
fn pages() -> Vec<String> {
    let tops = [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SECURITY.md",
    ];
    let mut pages: Vec<_> = tops.map(str::to_owned).into();
    pages.extend(pages_in("docs/"));
    pages.extend(pages_in("docs/adr/"));
    pages.sort();
    pages
}

/// The page without its blocks of code, which hold commands and diagrams.
fn prose(page: &str) -> String {
    let (mut is_fenced, mut is_code, mut after_blank) = (false, false, true);
    let mut prose = String::new();
    for line in page.lines() {
        if line.starts_with("```") {
            is_fenced = !is_fenced;
            continue;
        }
        // A paragraph goes on with any indentation; a block of code stands behind a blank line.
        is_code = line.starts_with("    ") && (is_code || after_blank);
        after_blank = line.trim().is_empty();
        if !is_fenced && !is_code {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    prose
}

/// What stands in backticks.
fn quoted(prose: &str) -> impl Iterator<Item = &str> {
    prose.split('`').skip(1).step_by(2)
}

/// Whether the text is meant as a path of this repository.
fn is_path(text: &str) -> bool {
    if text.contains(char::is_whitespace) {
        return false;
    }
    let is_inside = FOLDERS.iter().any(|folder| text.starts_with(folder));
    let is_top = text.starts_with(|first: char| first.is_ascii_uppercase())
        && !text.contains('/')
        && [".rs", ".md", ".toml"]
            .iter()
            .any(|ending| text.ends_with(ending));
    is_inside || is_top
}

/// The targets of the page's links, inline and by reference.
fn links(prose: &str) -> Vec<&str> {
    let inline = prose
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    let referenced = prose
        .lines()
        .filter(|line| line.starts_with('['))
        .filter_map(|line| line.split_once("]: ").map(|(_, target)| target.trim()));
    inline.chain(referenced).collect()
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let text = line.trim_start_matches('#').trim().to_lowercase();
            let kept = text.chars().filter_map(|c| match c {
                ' ' => Some('-'),
                c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
                _ => None,
            });
            kept.collect()
        })
        .collect()
}

/// What a link of the page at `path` misses, if anything.
fn broken(path: &str, target: &str) -> bool {
    if target.contains("://") || target.starts_with("mailto:") {
        return false;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let page = root().join(path);
    let linked = if file.is_empty() {
        page
    } else {
        page.parent().unwrap().join(file)
    };
    if !linked.exists() {
        return true;
    }
    if anchor.is_empty() {
        return false;
    }
    let text = std::fs::read_to_string(linked).unwrap_or_default();
    !anchors(&text).iter().any(|known| known == anchor)
}

#[test]
fn every_path_that_the_pages_name_exists() {
    let mut missing = Vec::new();
    let mut checked = 0;
    for path in pages() {
        let page = prose(&std::fs::read_to_string(root().join(&path)).unwrap());
        for named in quoted(&page).filter(|text| is_path(text)) {
            checked += 1;
            if !root().join(named).exists() {
                missing.push(format!("{path}: {named}"));
            }
        }
    }
    missing.dedup();
    assert!(checked > 100, "only {checked} paths were found");
    assert!(missing.is_empty(), "these are not there: {missing:#?}");
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut wrong = Vec::new();
    for path in pages() {
        let page = prose(&std::fs::read_to_string(root().join(&path)).unwrap());
        for target in links(&page) {
            if broken(&path, target) {
                wrong.push(format!("{path}: {target}"));
            }
        }
    }
    assert!(wrong.is_empty(), "these lead nowhere: {wrong:#?}");
}

#[test]
fn paths_links_and_code_are_told_from_other_text() {
    for path in [
        "server/src/app.rs",
        "docs/adr/",
        "CHANGELOG.md",
        ".ci/audit",
    ] {
        assert!(is_path(path), "{path}");
    }
    for other in [
        "keys.json",
        "model.rs",
        "talksy.toml",
        "application/json",
        "make test",
        "redis://",
    ] {
        assert!(!is_path(other), "{other}");
    }
    assert_eq!(quoted("a `b` and\n`c/d`").collect::<Vec<_>>(), ["b", "c/d"]);
    assert_eq!(
        prose("a\n    b\n\n    code\n    code\n\nc\n```\ncode\n```\n"),
        "a\n    b\n\n\nc\n"
    );
    assert_eq!(
        links("see [a](b.md#c), [d]\n\n[d]: e.md"),
        ["b.md#c", "e.md"]
    );
    assert_eq!(
        anchors("## Figures of `it`, here\n"),
        ["figures-of-it-here"]
    );
    assert!(broken("docs/README.md", "nowhere.md"));
    assert!(broken("README.md", "SECURITY.md#nowhere"));
    assert!(!broken("docs/README.md", "../SECURITY.md#security"));
}
