//! `accountEvents`: single rules of the feed. That a client which keeps a replica by the documented
//! rules has what the store holds is for `schedules`.
//!
//! | file | what |
//! |---|---|
//! | `world` | people, groups, the services on the embedded store |
//! | `feed` | single rules of the feed |
//! | `marks` | how far all others have read |
//! | `missed` | what a client would miss that is cut off, or reads, at the wrong moment |
//! | `positions` | cursors that are forged, torn or another's |
//! | `restored` | a store that was restored or set back below the stream |
//! | `socket` | the same over GraphQL and a socket |

#![expect(
    clippy::unwrap_used,
    reason = "what is not as a test expects ends the test"
)]

mod feed;
mod marks;
mod missed;
mod positions;
mod restored;
#[path = "../live_stream/script.rs"]
#[expect(dead_code, reason = "shared with the tests of the other feeds")]
mod script;
mod socket;
mod world;
