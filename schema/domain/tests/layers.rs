//! Holds the crate's modules to their layers: no circle of imports, and nothing imports what
//! stands above it.

#![expect(clippy::unwrap_used, reason = "the sources are there")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The modules of the crate by their path (`chats::model`), each with the modules it names.
type Graph = BTreeMap<String, BTreeSet<String>>;

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn module_of(file: &Path, root: &Path) -> String {
    let inside = file.strip_prefix(root).unwrap().with_extension("");
    let mut parts: Vec<_> = inside
        .iter()
        .map(|part| part.to_str().unwrap().to_owned())
        .collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib")) {
        parts.pop();
    }
    parts.join("::")
}

/// The modules that a file names by `crate::…` or `super::…`, outside of comments.
fn imports(
    text: &str,
    module: &str,
    is_folder: bool,
    known: &BTreeSet<String>,
) -> BTreeSet<String> {
    let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
    let above = if is_folder { module } else { parent };
    let mut found = BTreeSet::new();
    // What a module's own tests use is not what the module needs.
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    for line in code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
    {
        for (start, base) in [("crate::", ""), ("super::", above)] {
            for (at, _) in line.match_indices(start) {
                let path = line[at + start.len()..]
                    .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
                    .next()
                    .unwrap_or_default();
                let path = [base, path].join("::");
                let parts: Vec<_> = path.split("::").filter(|part| !part.is_empty()).collect();
                // The longest beginning that is a module.
                let named = (1..=parts.len())
                    .rev()
                    .map(|length| parts[..length].join("::"))
                    .find(|path| known.contains(path));
                found.extend(named.filter(|named| named != module));
            }
        }
    }
    found
}

fn graph() -> Graph {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    files(&root, &mut paths);
    let known: BTreeSet<_> = paths.iter().map(|path| module_of(path, &root)).collect();
    let mut graph = Graph::new();
    for path in &paths {
        let module = module_of(path, &root);
        let text = std::fs::read_to_string(path).unwrap();
        let is_folder = path.ends_with("mod.rs");
        let named = imports(&text, &module, is_folder, &known);
        graph.insert(module, named);
    }
    graph
}

/// A circle that begins and ends at some module, where there is one.
fn circle(graph: &Graph) -> Option<Vec<String>> {
    fn walk<'a>(
        graph: &'a Graph,
        at: &'a str,
        way: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
    ) -> bool {
        if let Some(start) = way.iter().position(|seen| *seen == at) {
            way.drain(..start);
            way.push(at);
            return true;
        }
        if !done.contains(at) {
            way.push(at);
            if graph[at].iter().any(|next| walk(graph, next, way, done)) {
                return true;
            }
            way.pop();
            done.insert(at);
        }
        false
    }
    let mut done = BTreeSet::new();
    graph.keys().find_map(|start| {
        let mut way = Vec::new();
        walk(graph, start, &mut way, &mut done)
            .then(|| way.into_iter().map(str::to_owned).collect())
    })
}

/// The layer of a module, from the bottom up.
fn layer(module: &str) -> u8 {
    match module.rsplit("::").next().unwrap_or_default() {
        _ if module.starts_with("events") => 3,
        // The door, the ports, and the rules by which a store judges within its commit: they tell
        // the door's verdict, whose type alone they name.
        "access" | "store" | "rules" => 4,
        "service" | "sign_in" | "runner" | "claiming" | "erasing" | "reading" | "searching"
        | "total_unread" | "uploads"
            if !module.starts_with("feeds") =>
        {
            5
        }
        _ if module.starts_with("feeds") => 6,
        "services" => 7,
        "" => 8,
        _ if module == "auth::error" => 2,
        "model" | "content" | "notice" | "codes" | "challenge" | "tokens" => 2,
        _ => 1,
    }
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    assert_eq!(circle(&graph()), None);
}

#[test]
fn nothing_imports_what_stands_above_it() {
    let graph = graph();
    let mut wrong = Vec::new();
    for (module, named) in graph.iter().filter(|(module, _)| !module.is_empty()) {
        // A room's own `mod.rs` shows all of it.
        let is_room = graph
            .keys()
            .any(|inner| inner.starts_with(&format!("{module}::")));
        for other in named.iter().filter(|other| layer(other) > layer(module)) {
            if !is_room {
                wrong.push(format!("{module} imports {other}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_circle_is_found() {
    let edges = [("a", vec!["b"]), ("b", vec!["c"]), ("c", vec!["b"])];
    let graph = edges
        .map(|(module, named)| {
            let named = named.into_iter().map(str::to_owned).collect();
            (module.to_owned(), named)
        })
        .into();
    let found = circle(&graph).unwrap();
    assert_eq!(found, ["b", "c", "b"]);
}
