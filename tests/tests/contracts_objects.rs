//! The contract suite of the stores of bytes.

#![expect(
    clippy::unwrap_used,
    reason = "a fixture that cannot be made fails the test"
)]

use std::ops::Deref;
use std::sync::Arc;

use talksy_domain::attachments::ObjectStore;
use talksy_objects::{Objects, S3Options};
use talksy_tests::contract_suite;
use talksy_tests::servers::s3::S3Server;
use tempfile::TempDir;

contract_suite!(folder: objects = in_folder());
contract_suite!(s3: objects = in_bucket().await);

/// A store with what it needs.
struct Store<K> {
    objects: Arc<dyn ObjectStore>,
    _kept: K,
}

impl<K> Deref for Store<K> {
    type Target = Arc<dyn ObjectStore>;
    fn deref(&self) -> &Arc<dyn ObjectStore> {
        &self.objects
    }
}

fn in_folder() -> Store<TempDir> {
    let folder = tempfile::tempdir().unwrap();
    Store {
        objects: Arc::new(Objects::in_folder(&folder.path().join("attachments")).unwrap()),
        _kept: folder,
    }
}

async fn in_bucket() -> Store<S3Server> {
    let server = S3Server::start().await;
    let options = S3Options {
        endpoint: Some(server.endpoint()),
        region: "us-east-1".to_owned(),
        credentials: Some(("test".to_owned(), "test".to_owned().into())),
        is_virtual_hosted: false,
    };
    Store {
        objects: Arc::new(Objects::in_bucket("s3://talksy/a", &options).unwrap()),
        _kept: server,
    }
}
