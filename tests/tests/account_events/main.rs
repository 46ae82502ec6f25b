//! `accountEvents`: a client that keeps a replica by the documented rules has what the store holds,
//! over a bus that loses, doubles and reorders, across reconnections, removals and rejoinings.
//!
//! | file | what |
//! |---|---|
//! | `world` | people, groups, the services on the embedded store |
//! | `replica` | a client by the documented rules, which checks the order of what it is told |
//! | `property` | random schedules, run by `properties` |
//! | `feed` | single rules of the feed |
//! | `positions` | cursors that are forged, torn or another's |
//! | `restored` | a store that was restored or set back below the stream |
//! | `socket` | the same over GraphQL and a socket |

#![expect(
    clippy::unwrap_used,
    reason = "what is not as a test expects ends the test"
)]

mod feed;
mod positions;
#[path = "../live_stream/property.rs"]
mod properties;
mod property;
mod replica;
mod restored;
#[path = "../live_stream/script.rs"]
#[expect(dead_code, reason = "shared with the tests of the other feeds")]
mod script;
mod socket;
mod world;
