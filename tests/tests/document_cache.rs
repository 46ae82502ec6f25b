//! The cache of checked documents takes the memory that its setting says: what a document is reckoned
//! to take is compared with what the allocator has given out for it.

#![expect(
    clippy::unwrap_used,
    reason = "a document that is refused fails the test"
)]

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use talksy_server::config::QueryLimits;
use talksy_server::graphql::Guard;
use tracking_allocator::{
    AllocationGroupId, AllocationGroupToken, AllocationRegistry, AllocationTracker, Allocator,
};

#[global_allocator]
static ALLOCATOR: Allocator<std::alloc::System> = Allocator::system();

/// Bytes that live of what was allocated within a group: on the thread that measures.
#[derive(Clone, Default)]
struct Live(Arc<AtomicUsize>);

impl Live {
    fn bytes(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl AllocationTracker for Live {
    fn allocated(&self, _: usize, size: usize, _: usize, group: AllocationGroupId) {
        if group != AllocationGroupId::ROOT {
            self.0.fetch_add(size, Ordering::SeqCst);
        }
    }

    fn deallocated(
        &self,
        _: usize,
        size: usize,
        _: usize,
        group: AllocationGroupId,
        _: AllocationGroupId,
    ) {
        if group != AllocationGroupId::ROOT {
            self.0.fetch_sub(size, Ordering::SeqCst);
        }
    }
}

/// So many numbered parts in a row.
fn parts(count: usize, part: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for n in 0..count {
        write!(text, "{} ", part(n)).unwrap();
    }
    text
}

/// Documents of all shapes, those among them that take the most for their length.
fn documents() -> Vec<(&'static str, String)> {
    let nested = |depth: usize| format!("{}a{}", "{a".repeat(depth), "}".repeat(depth));
    vec![
        ("one field", "{a}".to_owned()),
        (
            "fields",
            format!("{{ {} }}", parts(1_000, |_| "a".to_owned())),
        ),
        ("nested fields", nested(12)),
        (
            "nested fields, often",
            format!("{{ {} }}", parts(60, |n| format!("a{n} {}", nested(10)))),
        ),
        (
            "aliases",
            format!("{{ {} }}", parts(90, |n| format!("b{n}: a"))),
        ),
        (
            "arguments",
            format!(
                "{{ {} }}",
                parts(200, |n| format!("a{n}(b: 1, c: $d, e: F)"))
            ),
        ),
        (
            "a long text",
            format!("{{ a(b: \"{}\") }}", "x".repeat(20_000)),
        ),
        (
            "lists",
            format!("{{ a(b: [{}]) }}", parts(900, |_| "1".to_owned())),
        ),
        (
            "objects",
            format!(
                "{{ a(b: [{}]) }}",
                parts(200, |n| format!("{{c: {n}, d: 1}}"))
            ),
        ),
        (
            "objects of all sizes",
            format!(
                "{{ {} }}",
                parts(30, |n| {
                    let fields = parts(n, |n| format!("f{n}: 1"));
                    format!("a(b: {{{fields}}})")
                })
            ),
        ),
        (
            "variables",
            format!(
                "query A({}) {{ a }}",
                parts(200, |n| format!("$v{n}: [[Int!]!] = [{n}]"))
            ),
        ),
        (
            "directives",
            format!(
                "{{ {} }}",
                parts(150, |_| "a @include(if: true) @b".to_owned())
            ),
        ),
        (
            "fragments",
            format!(
                "{{ {} }} {}",
                parts(100, |n| format!("...F{n}")),
                parts(100, |n| format!(
                    "fragment F{n} on A {{ b ... on C {{ d }} }}"
                ))
            ),
        ),
        (
            "operations",
            parts(150, |n| format!("query Q{n} {{ a {{ b }} }}")),
        ),
        (
            "long names",
            format!("{{ {} }}", parts(20, |_| "n".repeat(500))),
        ),
    ]
}

#[test]
fn a_document_takes_no_more_than_it_is_reckoned_to() {
    let live = Live::default();
    assert!(AllocationRegistry::set_global_tracker(live.clone()).is_ok());
    AllocationRegistry::enable_tracking();
    let limits = QueryLimits {
        // Each is checked anew, and kept by nobody but the test.
        cache_bytes: 0,
        max_root_fields: 1_000,
        ..QueryLimits::default()
    };
    let guard = Guard::new(limits, &talksy_schema::schema::sdl(), true);
    let documents = documents();
    // What is made once for all documents is made here.
    for (_, text) in &documents {
        guard.check(text).unwrap();
    }
    let mut group = AllocationGroupToken::register().unwrap();
    for (what, text) in &documents {
        let before = live.bytes();
        let entered = group.enter();
        let checked = guard.check(text);
        drop(entered);
        let checked = checked.unwrap();
        let (taken, reckoned) = (live.bytes() - before, checked.bytes());
        assert!(taken > text.len(), "{what}: {taken} were counted");
        assert!(
            reckoned >= taken,
            "{what}: {reckoned} were reckoned, {taken} taken"
        );
        assert!(
            reckoned <= taken * 3,
            "{what}: {reckoned} were reckoned, {taken} taken: the cache would hold too few"
        );
        drop(checked);
        assert_eq!(live.bytes(), before, "{what} has left something behind");
    }
}
