//! A store that speaks the protocol of Amazon S3: moto's server, which `tests/install-servers.sh` puts
//! into `tests/s3/.venv`. It keeps everything in memory.

use std::path::Path;

use http::Method;
use talksy_server::config::Config;
use tokio::process::Command;

use super::{Managed, watched};
use crate::app::must;

/// The bucket.
const BUCKET: &str = "talksy";

/// It wants every request to be signed, and looks at no signature.
const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, \
     SignedHeaders=host, Signature=test";

/// A running store with an empty bucket.
pub struct S3Server {
    /// The process.
    pub server: Managed,
}

impl S3Server {
    /// Starts one.
    pub async fn start() -> Self {
        let mut server = Managed::new("moto_server", command);
        server.start().await;
        let store = Self { server };
        store.request(Method::PUT, "").await;
        store
    }

    /// Has a server of Talksy keep its attachments there.
    pub fn configure(&self) -> impl FnOnce(&mut Config) + 'static {
        let endpoint = self.endpoint();
        move |config| {
            config.objects_url = Some(format!("s3://{BUCKET}/in/a/folder"));
            config.objects.endpoint = Some(endpoint);
            config.objects.access_key_id = Some("test".to_owned());
            config.objects.secret_access_key = Some("test".to_owned().into());
        }
    }

    /// Its URL.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.port)
    }

    /// How many objects there are.
    pub async fn objects(&self) -> usize {
        let listed = self.request(Method::GET, "?list-type=2").await;
        listed.matches("<Key>").count()
    }

    /// How many uploads in parts there are that were begun and not ended.
    pub async fn unfinished(&self) -> usize {
        let listed = self.request(Method::GET, "?uploads").await;
        listed.matches("<UploadId>").count()
    }

    async fn request(&self, method: Method, query: &str) -> String {
        let url = format!("{}/{BUCKET}{query}", self.endpoint());
        let request = crate::http_client().request(method, url);
        let response = must(request.header("authorization", SIGNED).send().await);
        assert!(response.status().is_success(), "{response:?}");
        must(response.text().await)
    }
}

fn command(port: u16, folder: &Path) -> Command {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/s3/.venv/bin/moto_server");
    let mut command = watched(program, folder);
    command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    command
}
