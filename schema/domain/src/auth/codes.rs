//! The port of one-time sign-in codes. A store sees keyed hashes alone: neither the address nor
//! the challenge nor the code.

use std::fmt;

use crate::clock::Timestamp;
use crate::error::PortError;
use crate::port::port;

/// Names an open challenge without telling it: an HMAC-SHA-256 of its id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChallengeKey(pub [u8; 32]);

/// Names an address without telling it: an HMAC-SHA-256 of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddressKey(pub [u8; 32]);

/// An HMAC-SHA-256 of challenge and code. Compare in constant time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CodeDigest(pub [u8; 32]);

impl fmt::Debug for ChallengeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChallengeKey(…)")
    }
}

impl fmt::Debug for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AddressKey(…)")
    }
}

impl fmt::Debug for CodeDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeDigest(…)")
    }
}

/// A code as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IssuedCode {
    /// What a presented code must hash to.
    pub digest: CodeDigest,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// From this instant on it is refused.
    pub expires_at: Timestamp,
    /// How many wrong codes it survives before it is void, at least 1.
    pub tries: u8,
}

/// What came of presenting a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It was right, and is used up now.
    Accepted,
    /// It was wrong; so many tries are left. At 0 the code is void.
    Wrong(u8),
    /// The challenge has no code any more: it has expired, was used, withdrawn, or tried too often.
    Void,
}

/// How much guessing there may have been before a code is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guesses {
    /// How many tries the codes of the address were given since its last right one, or since none was
    /// asked for during a day. So many wrong ones there may have been, or may still come: a challenge
    /// that is open keeps its tries.
    pub of_address: u32,
    /// How many wrong codes were presented for all addresses, in about the last hour: between the last
    /// one and two hours.
    pub of_all: u32,
}

port! {
    /// Keeps the code of each open challenge, and counts guesses. Each method is atomic across all
    /// instances that share the backend.
    pub trait CodeStore as "codes" with CodeStoreLayer {
        /// Opens the challenge with this code. Those that are open, for the same address too, stay.
        async fn issue(&self, challenge: ChallengeKey, code: &IssuedCode) -> Result<(), PortError>;

        /// Takes a code back as if it had never been issued.
        async fn withdraw(&self, challenge: ChallengeKey) -> Result<(), PortError>;

        /// Presents a code. A right one is accepted once; a wrong one costs a try.
        async fn attempt(
            &self,
            challenge: ChallengeKey,
            presented: CodeDigest,
            now: Timestamp,
        ) -> Result<Attempt, PortError>;

        /// Counts the tries of a code that is about to be issued, and tells what was counted before.
        async fn count_tries(
            &self,
            address: AddressKey,
            tries: u8,
            now: Timestamp,
        ) -> Result<Guesses, PortError>;

        /// Counts a wrong code of all addresses.
        async fn note_wrong(&self, now: Timestamp) -> Result<(), PortError>;

        /// Forgets the tries of the address: a right code was presented.
        async fn note_right(&self, address: AddressKey) -> Result<(), PortError>;
    }
}
