//! The registry of trusted documents: a folder, or a file in one of two forms, read once when the
//! server starts.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_graphql::parser::types::{ExecutableDocument, Selection, SelectionSet};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::guard::Guard;

/// What the prefix of a `documentId` says that the rest of it is, which needs no saying here.
const SHA_PREFIX: &str = "sha256:";

/// Extensions of files with a document.
const EXTENSIONS: [&str; 2] = ["graphql", "gql"];

/// The format of Apollo's manifests.
const MANIFEST_FORMAT: &str = "apollo-persisted-query-manifest";

/// Why a registry of documents cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DocumentsError {
    /// It cannot be read.
    #[error("{path} cannot be read")]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no JSON.
    #[error("{path} is not JSON")]
    NotJson {
        /// The file.
        path: PathBuf,
        /// Where it is none.
        #[source]
        source: serde_json::Error,
    },
    /// It is in no form that is known.
    #[error(
        "{path} must be a manifest of format `{MANIFEST_FORMAT}` and version 1, or a JSON object of \
         documents by their id"
    )]
    Form {
        /// The file.
        path: PathBuf,
    },
    /// It has no documents.
    #[error("{path} has no documents; a folder has them as `<id>.graphql`")]
    Empty {
        /// The file or folder.
        path: PathBuf,
    },
    /// Two documents have one id.
    #[error("{path} has two documents with the id `{id}`")]
    Twice {
        /// The file or folder.
        path: PathBuf,
        /// The id.
        id: String,
    },
    /// A document that could never run.
    #[error("{path}: the document `{id}` cannot be run: {reason}")]
    Refused {
        /// The file or folder.
        path: PathBuf,
        /// The document's id.
        id: String,
        /// What a client would be told.
        reason: String,
    },
}

/// Apollo's manifest, as `generate-persisted-query-manifest` writes it.
#[derive(Deserialize)]
struct Manifest {
    format: String,
    version: u32,
    operations: Vec<Operation>,
}

#[derive(Deserialize)]
struct Operation {
    id: String,
    body: String,
}

/// Documents by their id.
#[derive(Debug)]
pub(super) struct Registry {
    by_id: HashMap<Box<str>, Arc<str>>,
    texts: HashSet<Arc<str>>,
}

impl Registry {
    /// Reads the registry at `path`. Every document must pass the guard, and where nothing but
    /// these documents runs, none may ask for introspection, which is then off.
    ///
    /// # Errors
    /// See [`DocumentsError`].
    pub(super) fn open(
        path: &Path,
        guard: &Guard,
        no_introspection: bool,
    ) -> Result<Self, DocumentsError> {
        let documents = read(path)?;
        if documents.is_empty() {
            return Err(DocumentsError::Empty { path: path.into() });
        }
        let mut registry = Self {
            by_id: HashMap::with_capacity(documents.len()),
            texts: HashSet::with_capacity(documents.len()),
        };
        for (id, text) in documents {
            let refused = |reason: String| DocumentsError::Refused {
                path: path.into(),
                id: id.clone(),
                reason,
            };
            let checked = guard.check(&text).map_err(|error| refused(error.message))?;
            if no_introspection && introspects(checked.document()) {
                let reason = "it asks for introspection, which is off".to_owned();
                return Err(refused(reason));
            }
            registry.texts.insert(Arc::clone(checked.text()));
            registry.by_id.insert(id.into(), Arc::clone(checked.text()));
        }
        tracing::info!(path = %path.display(), documents = registry.by_id.len(), "trusted documents are registered");
        Ok(registry)
    }

    /// The document with this id.
    pub(super) fn get(&self, id: &str) -> Option<Arc<str>> {
        let found = self.by_id.get(id);
        found
            .or_else(|| self.by_id.get(id.strip_prefix(SHA_PREFIX)?))
            .cloned()
    }

    /// Whether a document of this text is registered.
    pub(super) fn holds(&self, text: &str) -> bool {
        self.texts.contains(text.trim())
    }
}

/// All documents of a folder or a file, by their id.
fn read(path: &Path) -> Result<BTreeMap<String, String>, DocumentsError> {
    let unreadable = |path: &Path, source| DocumentsError::Unreadable {
        path: path.into(),
        source,
    };
    if path.is_dir() {
        let mut documents = BTreeMap::new();
        for entry in std::fs::read_dir(path).map_err(|error| unreadable(path, error))? {
            let file = entry.map_err(|error| unreadable(path, error))?.path();
            let extension = file.extension().and_then(|extension| extension.to_str());
            let stem = file.file_stem().and_then(|stem| stem.to_str());
            let (Some(extension), Some(stem)) = (extension, stem) else {
                continue;
            };
            if !EXTENSIONS.contains(&extension) {
                continue;
            }
            let text = std::fs::read_to_string(&file).map_err(|error| unreadable(&file, error))?;
            add(path, &mut documents, stem.to_owned(), text)?;
        }
        return Ok(documents);
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, error))?;
    let members: Map<String, Value> =
        serde_json::from_str(&text).map_err(|source| DocumentsError::NotJson {
            path: path.into(),
            source,
        })?;
    let form = || DocumentsError::Form { path: path.into() };
    let mut documents = BTreeMap::new();
    if members.contains_key("operations") {
        let manifest: Manifest =
            serde_json::from_value(Value::Object(members)).map_err(|_| form())?;
        if manifest.format != MANIFEST_FORMAT || manifest.version != 1 {
            return Err(form());
        }
        for Operation { id, body } in manifest.operations {
            add(path, &mut documents, id, body)?;
        }
        return Ok(documents);
    }
    for (id, text) in members {
        let Value::String(text) = text else {
            return Err(form());
        };
        add(path, &mut documents, id, text)?;
    }
    Ok(documents)
}

fn add(
    path: &Path,
    documents: &mut BTreeMap<String, String>,
    id: String,
    text: String,
) -> Result<(), DocumentsError> {
    if documents.contains_key(&id) {
        let path = path.into();
        return Err(DocumentsError::Twice { path, id });
    }
    // Files end in a line break that the clients' texts do not have.
    documents.insert(id, text.trim().to_owned());
    Ok(())
}

/// Whether a document asks for the schema. What passed the guard does not nest deeply.
fn introspects(document: &ExecutableDocument) -> bool {
    fn selects(selections: &SelectionSet) -> bool {
        selections
            .items
            .iter()
            .any(|selection| match &selection.node {
                Selection::Field(field) => {
                    let name = field.node.name.node.as_str();
                    matches!(name, "__schema" | "__type") || selects(&field.node.selection_set.node)
                }
                Selection::InlineFragment(inline) => selects(&inline.node.selection_set.node),
                Selection::FragmentSpread(_) => false,
            })
    }
    let operations = document.operations.iter();
    let mut operations = operations.map(|(_, operation)| &operation.node.selection_set.node);
    let mut fragments = document.fragments.values();
    operations.any(selects) || fragments.any(|one| selects(&one.node.selection_set.node))
}
