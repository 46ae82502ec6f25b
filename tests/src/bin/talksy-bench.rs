//! The load tool: see `talksy_tests::bench`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    talksy_tests::bench::main().await
}
