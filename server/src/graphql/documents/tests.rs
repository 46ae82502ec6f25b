//! What a request may say of its document, and the forms of a registry.

use std::path::Path;

use serde_json::json;

use super::*;
use crate::config::QueryLimits;

const TEXT: &str = "{ __typename }";

fn open(change: impl FnOnce(&mut DocumentsConfig)) -> Result<Documents, DocumentsError> {
    let mut config = DocumentsConfig::default();
    change(&mut config);
    let sdl = talksy_schema::schema::sdl();
    Documents::open(Guard::new(QueryLimits::default(), &sdl, true), &config)
}

fn params(json: serde_json::Value) -> Params {
    serde_json::from_value(json).unwrap()
}

fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

fn by_hash(hash: &str) -> serde_json::Value {
    json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } })
}

/// The text that runs, or the code and the message of the refusal.
fn found(documents: &Documents, request: serde_json::Value) -> Result<String, (String, String)> {
    match documents.find(&params(request)) {
        Ok(document) => Ok(document.text().to_string()),
        Err(error) => {
            let code = error.source::<ApiError>().map(|refusal| refusal.code);
            let code = code.map_or("none", ErrorCode::as_str);
            Err((code.to_owned(), error.message))
        }
    }
}

fn code(documents: &Documents, request: serde_json::Value) -> String {
    found(documents, request).unwrap_err().0
}

/// A registry in a file of this text.
fn registered(text: &str, trusted_only: bool) -> Result<Documents, DocumentsError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("documents.json");
    std::fs::write(&path, text).unwrap();
    open(|config| {
        config.trusted = Some(path);
        config.trusted_only = trusted_only;
    })
}

#[test]
fn a_document_is_kept_by_its_hash_and_found_by_it() {
    let documents = open(|_| {}).unwrap();
    let named = json!({ "extensions": by_hash(&hash(TEXT)) });
    let missing = (
        "PERSISTED_QUERY_NOT_FOUND".to_owned(),
        "PersistedQueryNotFound".to_owned(),
    );
    assert_eq!(found(&documents, named.clone()), Err(missing.clone()));
    let both = json!({ "query": TEXT, "extensions": by_hash(&hash(TEXT)) });
    assert_eq!(found(&documents, both).as_deref(), Ok(TEXT));
    assert_eq!(found(&documents, named).as_deref(), Ok(TEXT));
    // Some clients send an empty text with it, and digits in capitals.
    let capitals = json!({ "query": "", "extensions": by_hash(&hash(TEXT).to_uppercase()) });
    assert_eq!(found(&documents, capitals).as_deref(), Ok(TEXT));
    // What does not pass the guard is not kept.
    let broken = json!({ "query": "{", "extensions": by_hash(&hash("{")) });
    assert_eq!(code(&documents, broken), "GRAPHQL_PARSE_FAILED");
    let broken = json!({ "extensions": by_hash(&hash("{")) });
    assert_eq!(found(&documents, broken), Err(missing));
}

#[test]
fn a_request_that_contradicts_itself_is_refused() {
    let documents = open(|_| {}).unwrap();
    for extension in [
        json!({ "version": 1, "sha256Hash": hash("{ other }") }),
        json!({ "version": 1, "sha256Hash": "no hash" }),
        json!({ "version": 1, "sha256Hash": "" }),
        json!({ "version": 1, "sha256Hash": 7 }),
        json!({ "version": 1 }),
        json!({ "version": 2, "sha256Hash": hash(TEXT) }),
        json!({ "sha256Hash": hash(TEXT) }),
        json!("hash"),
    ] {
        let extensions = json!({ "persistedQuery": extension });
        let request = json!({ "query": TEXT, "extensions": extensions });
        assert_eq!(code(&documents, request), "BAD_REQUEST", "{extensions}");
    }
    let null = json!({ "query": TEXT, "extensions": { "persistedQuery": null } });
    assert_eq!(found(&documents, null).as_deref(), Ok(TEXT));
    assert_eq!(code(&documents, json!({})), "BAD_USER_INPUT");
}

#[test]
fn a_server_that_keeps_no_documents_says_so() {
    let documents = open(|config| config.automatic_bytes = 0).unwrap();
    let named = json!({ "extensions": by_hash(&hash(TEXT)) });
    let refused = (
        "PERSISTED_QUERY_NOT_SUPPORTED".to_owned(),
        "PersistedQueryNotSupported".to_owned(),
    );
    assert_eq!(found(&documents, named), Err(refused));
    let id = json!({ "documentId": "me" });
    assert_eq!(code(&documents, id), "PERSISTED_QUERY_NOT_SUPPORTED");
    // The text is there all the same.
    let both = json!({ "query": TEXT, "documentId": "me", "extensions": by_hash(&hash(TEXT)) });
    assert_eq!(found(&documents, both).as_deref(), Ok(TEXT));
}

#[test]
fn memory_for_automatic_documents_is_bounded() {
    let documents = open(|config| config.automatic_bytes = 1000).unwrap();
    for n in 0..100 {
        let text = format!("{{ a{n}: __typename }}");
        let request = json!({ "query": text, "extensions": by_hash(&hash(&text)) });
        assert!(found(&documents, request).is_ok());
    }
    let cache = documents.automatic.as_ref().unwrap();
    cache.run_pending_tasks();
    assert!(cache.weighted_size() <= 1000, "{}", cache.weighted_size());
    assert!(cache.entry_count() > 0);
}

#[test]
fn registered_documents_run_by_id_in_every_form_of_the_registry() {
    let manifest = json!({
        "format": "apollo-persisted-query-manifest",
        "version": 1,
        "operations": [{ "id": "me", "name": "Me", "type": "query", "body": TEXT }],
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("me.graphql"), format!("{TEXT}\n")).unwrap();
    std::fs::write(folder.path().join("README.md"), "no document").unwrap();
    let of_folder = open(|config| config.trusted = Some(folder.path().into()));
    for documents in [
        registered(&manifest.to_string(), false),
        registered(&json!({ "me": TEXT }).to_string(), false),
        of_folder,
    ] {
        let documents = documents.unwrap();
        for request in [
            json!({ "documentId": "me" }),
            json!({ "documentId": "sha256:me" }),
            json!({ "documentId": "me", "query": TEXT }),
            json!({ "extensions": by_hash("me") }),
            json!({ "extensions": by_hash("me"), "query": TEXT }),
            json!({ "query": "{ __typename }" }),
        ] {
            assert_eq!(
                found(&documents, request.clone()).as_deref(),
                Ok(TEXT),
                "{request}"
            );
        }
        let (code, message) = found(&documents, json!({ "documentId": "you" })).unwrap_err();
        assert_eq!(code, "PERSISTED_QUERY_NOT_FOUND");
        assert_eq!(message, "No document is registered as `you`.");
        let other = json!({ "documentId": "me", "query": "{ other }" });
        assert_eq!(found(&documents, other).unwrap_err().0, "BAD_REQUEST");
    }
}

#[test]
fn where_only_trusted_documents_run_nothing_else_does() {
    let documents = registered(&json!({ "me": TEXT }).to_string(), true).unwrap();
    assert_eq!(
        found(&documents, json!({ "documentId": "me" })).as_deref(),
        Ok(TEXT)
    );
    assert_eq!(
        found(&documents, json!({ "query": TEXT })).as_deref(),
        Ok(TEXT)
    );
    let other = "{ me { id } }";
    for request in [
        json!({ "query": other }),
        json!({ "query": other, "documentId": "you" }),
        json!({ "query": other, "extensions": by_hash(&hash(other)) }),
        json!({ "query": "{ __schema { types { name } } }" }),
    ] {
        assert_eq!(
            code(&documents, request.clone()),
            "PERSISTED_QUERY_ONLY",
            "{request}"
        );
    }
    let unknown = json!({ "extensions": by_hash(&hash(other)) });
    assert_eq!(code(&documents, unknown), "PERSISTED_QUERY_NOT_FOUND");
}

#[test]
fn a_registry_that_cannot_be_used_says_why() {
    let manifest = |format: &str, version: u32| {
        json!({ "format": format, "version": version, "operations": [{ "id": "a", "body": TEXT }] })
            .to_string()
    };
    let twice = json!({
        "format": "apollo-persisted-query-manifest",
        "version": 1,
        "operations": [{ "id": "a", "body": TEXT }, { "id": "a", "body": TEXT }],
    });
    let schema = json!({ "a": "{ ...F } fragment F on Query { x: __schema { types { name } } }" });
    for (text, trusted_only, told) in [
        ("nonsense".to_owned(), false, "is not JSON"),
        ("[]".to_owned(), false, "is not JSON"),
        ("{}".to_owned(), false, "has no documents"),
        ("{\"a\":7}".to_owned(), false, "must be a manifest"),
        (manifest("another", 1), false, "must be a manifest"),
        (
            manifest("apollo-persisted-query-manifest", 2),
            false,
            "must be a manifest",
        ),
        (twice.to_string(), false, "two documents with the id `a`"),
        (
            json!({ "a": "{" }).to_string(),
            false,
            "the document `a` cannot be run",
        ),
        (
            schema.to_string(),
            true,
            "the document `a` cannot be run: it asks for introspection, which is off",
        ),
    ] {
        let error = registered(&text, trusted_only).unwrap_err().to_string();
        assert!(error.contains(told), "{text}: {error}");
    }
    assert!(registered(&schema.to_string(), false).is_ok());
    let nowhere = open(|config| config.trusted = Some(Path::new("/nowhere").into()));
    let error = nowhere.unwrap_err().to_string();
    assert_eq!(error, "/nowhere cannot be read");
}
