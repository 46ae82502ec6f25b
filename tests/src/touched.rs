//! Notes which operations the tests run, for the test that finds the members of the schema that none of
//! them touches (`tests/tests/touched.rs`). Nothing is noted but where [`FOLDER`] names a folder, as
//! `tests/run.sh` does: each process writes a file of its own there, and each operation once for each form
//! of its variables and its answer.

use std::collections::{BTreeSet, HashSet};
use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::path::Path;
use std::sync::LazyLock;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::app::must;

/// The environment variable that names the folder.
pub const FOLDER: &str = "TESTS_TOUCHED";

/// An operation that was run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Note {
    /// The document; empty of an answer whose question is not known.
    pub query: String,
    /// Its variables.
    pub variables: Value,
    /// What in the answer may be a value of an enum, and the codes of its errors.
    pub words: BTreeSet<String>,
}

struct Notes {
    file: File,
    known: HashSet<u64>,
}

static NOTES: LazyLock<Option<Mutex<Notes>>> = LazyLock::new(|| {
    let folder = std::env::var_os(FOLDER)?;
    must(std::fs::create_dir_all(&folder));
    let path = Path::new(&folder).join(format!("{}.jsonl", std::process::id()));
    let file = must(OpenOptions::new().create(true).append(true).open(path));
    let known = HashSet::new();
    Some(Mutex::new(Notes { file, known }))
});

/// Notes an operation with its answer; null where that is not known.
pub fn note(query: &str, variables: &Value, answer: &Value) {
    let Some(notes) = &*NOTES else { return };
    let (mut form, mut words) = (BTreeSet::new(), BTreeSet::new());
    keys_of(variables, "", &mut form);
    words_of(variables, &mut form);
    words_of(answer, &mut words);
    let mut hasher = DefaultHasher::new();
    (query, &form, &words).hash(&mut hasher);
    let mut notes = notes.lock();
    if !notes.known.insert(hasher.finish()) {
        return;
    }
    let note = Note {
        query: query.to_owned(),
        variables: variables.clone(),
        words,
    };
    let mut line = must(serde_json::to_vec(&note));
    line.push(b'\n');
    must(notes.file.write_all(&line));
}

/// Notes an answer to what is not known.
pub fn note_answer(answer: &Value) {
    note("", &Value::Null, answer);
}

/// All that was noted in a folder.
///
/// # Panics
/// Where that is no folder of notes.
pub fn read(folder: &Path) -> Vec<Note> {
    let mut notes = Vec::new();
    for entry in must(std::fs::read_dir(folder)) {
        let text = must(std::fs::read_to_string(must(entry).path()));
        notes.extend(
            text.lines()
                .map(|line| must(serde_json::from_str::<Note>(line))),
        );
    }
    notes
}

/// The paths of what is given, whatever the values.
fn keys_of(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let path = format!("{path}.{key}");
                keys_of(value, &path, found);
                found.insert(path);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys_of(item, path, found)),
        _ => {}
    }
}

/// The texts that are written as values of enums are.
fn words_of(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => object.values().for_each(|value| words_of(value, found)),
        Value::Array(items) => items.iter().for_each(|item| words_of(item, found)),
        Value::String(text) => {
            let is_word = |c: char| c.is_ascii_uppercase() || c == '_';
            if text.len() > 1 && text.len() < 64 && text.chars().all(is_word) {
                found.insert(text.clone());
            }
        }
        _ => {}
    }
}
