//! What somebody whom nobody knows may do, see and cost.

#![expect(
    clippy::unwrap_used,
    reason = "a fixture that cannot be made fails the test"
)]

mod directory;
mod limits;
mod sign_up;
mod starting;

use serde_json::{Value, json};
use talksy_tests::client::Reply;

/// The seconds to wait that a refusal names.
fn retry_after(reply: &Reply) -> Option<u64> {
    reply.error()["extensions"]["retryAfter"].as_u64()
}

/// The variables of a mutation with one input.
fn input(input: Value) -> Value {
    json!({ "input": input })
}
