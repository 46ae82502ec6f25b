//! `GET /export`: the archive of a user, read back by Python's `tarfile`; whose it is, what is in it, what
//! it takes of the server, and what ends it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bounds;
mod content;
mod memory;
mod refusals;
mod scene;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Stdio;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use serde_json::Value;
use talksy_tests::client::{Client, User};
use tokio::process::Command;

/// Prints the entries of an archive, which it reads as a stream: their paths and their bytes.
const READ: &str = "
import base64, json, sys, tarfile
with tarfile.open(sys.argv[1], 'r|') as archive:
    entries = []
    for entry in archive:
        assert entry.isreg() and entry.mode == 0o600, entry
        entries.append([entry.name, base64.b64encode(archive.extractfile(entry).read()).decode()])
json.dump(entries, sys.stdout)
";

/// An archive that was read back.
struct Archive {
    /// The paths, in their order.
    paths: Vec<String>,
    files: BTreeMap<String, Vec<u8>>,
}

impl Archive {
    async fn read(bytes: &[u8]) -> Self {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let output = Command::new("python3")
            .args(["-c", READ])
            .arg(file.path())
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
        let entries: Vec<(String, String)> = serde_json::from_slice(&output.stdout).unwrap();
        let paths = entries.iter().map(|(path, _)| path.clone()).collect();
        let decoded = entries
            .into_iter()
            .map(|(path, bytes)| (path, BASE64_STANDARD.decode(bytes).unwrap()));
        let archive = Self {
            paths,
            files: decoded.collect(),
        };
        let different = archive.files.len();
        assert_eq!(archive.paths.len(), different, "a path comes twice");
        archive
    }

    /// The archive of somebody, which must be whole.
    async fn of(user: &User) -> Self {
        let response = get(&user.client).await;
        assert_eq!(response.status(), 200);
        let archive = Self::read(&response.bytes().await.unwrap()).await;
        assert_eq!(archive.paths.first().unwrap(), "manifest.json");
        assert_eq!(archive.paths.last().unwrap(), "complete.json");
        let entries = archive.json("complete.json")["entries"].as_u64();
        assert_eq!(entries, u64::try_from(archive.paths.len() - 1).ok());
        archive
    }

    fn json(&self, path: &str) -> Value {
        let bytes = self.files.get(path);
        let bytes = bytes.unwrap_or_else(|| panic!("no {path} in {:?}", self.paths));
        serde_json::from_slice(bytes).unwrap()
    }

    /// All lines in a folder, in the order of its files.
    fn lines(&self, folder: &str) -> Vec<Value> {
        let prefix = format!("{folder}/");
        let files = self.files.iter().filter(|(path, _)| {
            path.strip_prefix(&prefix)
                .is_some_and(|rest| !rest.contains('/'))
        });
        files
            .flat_map(|(_, bytes)| bytes.split(|byte| *byte == b'\n'))
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    /// The bytes of an attachment by its line.
    fn bytes(&self, attachment: &Value) -> &[u8] {
        &self.files[attachment["file"].as_str().unwrap()]
    }
}

async fn get(client: &Client) -> reqwest::Response {
    let request = client.request(Method::GET, "/export");
    request.send().await.unwrap()
}
