//! The live stream over a bus that behaves as badly as its port allows: what subscribers see is
//! what the store holds, in order and once each, whatever is lost, doubled, held back or
//! interrupted; and nobody sees what is not theirs any more.
//!
//! The services are real and stand on the real embedded store; only the bus is bad, and in
//! places the store (see [`altered_store`]). The properties print the case that failed, with the seed of
//! its bus.

#![expect(
    clippy::unwrap_used,
    reason = "what is not as a test expects ends the test"
)]

mod altered_store;
mod blocks;
mod changes;
mod chaos;
mod chats;
mod deletions;
mod heartbeats;
mod interruptions;
mod large_groups;
mod leases;
mod messages;
mod orders;
mod outages;
mod presence;
mod property;
mod read_by_all;
mod receipts;
mod rejoining;
mod removal;
mod restored;
mod resuming;
mod script;
mod sessions;
mod typing;
mod world;
