//! What Talksy's tests share: a server on a port of its own with a clock that only the test
//! moves and a mailbox that it reads, the clients to talk to it, and the contract suites that
//! every adapter of a port passes.

pub mod chaos;
