//! Random schedules over every feed: at every `isCaughtUp`, and whenever nothing was written for a while,
//! the client's replica equals what its user may see in the store.
//!
//! Two instances with buses of their own share a store. People write, edit, delete, mark, mute, rename,
//! give roles, join with and without the history, are removed, leave and come back, several at the same
//! time; buses lose, double, delay and reorder; clients are cut off, read nothing for a while and come to
//! another instance; instances die between any two writes, and whoever has no answer asks another one.
//! Clients follow `messageAdded` with `messageUpdated`, `accountEvents`, `chatUpdated` with
//! `chatRemoved`, or `readReceiptUpdated`. Each checks the order of what it is told; that all of it lies within its user's
//! memberships is checked against the line. What was acknowledged is on the line, once.
//!
//! | file | what |
//! |---|---|
//! | `case` | what a schedule consists of, and how it is made |
//! | `runner` | many schedules on some threads, and what is told of one that fails |
//! | `run` | one schedule |
//! | `instances` | the instances, what is asked of them, and who takes the place of a dead one |
//! | `process` | the life of an instance: pauses and death between the calls of its ports |
//! | `deployment` | the stores, and how each is killed |
//! | `people` | who asks for what |
//! | `truth` | what the store says |
//! | `clients` | the clients by the documented rules |
//!
//! # What is simulated
//! All tasks of a schedule share a thread and Tokio's paused time, and a call of the store takes none of
//! it (see [`process`]). So a schedule waits for nothing, and what happens when follows from its seed, but
//! for the order in which the standard library walks its hash maps. The stores are the real ones.
//!
//! On SQLite a call is one transaction. An instance dies before it, or behind it so that neither the caller
//! nor the bus hears of the commit; and now and then all instances die, and the next ones have a copy of
//! the files as they are on the disk. On MongoDB a call is many writes, and an instance dies at any of
//! them: its way to the server ends there.
#![expect(
    clippy::unwrap_used,
    reason = "what is not as a test expects ends the test"
)]

mod case;
mod clients;
mod deployment;
mod instances;
mod people;
mod process;
mod run;
mod runner;
mod truth;

use deployment::Deployment;
use runner::{number, schedules};

/// The most steps of a schedule.
const STEPS: usize = 36;

#[test]
fn on_sqlite_every_replica_is_what_its_user_may_see() {
    let count = number("TALKSY_TEST_SCHEDULES").unwrap_or(20_000);
    let figures = schedules(count, STEPS, Deployment::sqlite);
    eprintln!("{figures:?}");
}

#[test]
fn on_mongodb_every_replica_is_what_its_user_may_see() {
    let count = number("TALKSY_TEST_MONGO_SCHEDULES").unwrap_or(100);
    let figures = schedules(count, STEPS, Deployment::mongo);
    eprintln!("{figures:?}");
}
