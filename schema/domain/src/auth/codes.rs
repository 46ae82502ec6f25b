//! The port of one-time sign-in codes. A store sees keyed hashes alone: neither the address nor
//! the challenge nor the code.

use std::fmt;

use crate::clock::Timestamp;
use crate::error::PortError;
use crate::port::port;

/// Names an open challenge without telling it: an HMAC-SHA-256 of its id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChallengeKey(pub [u8; 32]);

/// Names a mailbox without telling it: an HMAC-SHA-256 of the address without its `+tag`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MailboxKey(pub [u8; 32]);

/// An HMAC-SHA-256 of challenge and code. Compare in constant time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CodeDigest(pub [u8; 32]);

impl fmt::Debug for ChallengeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChallengeKey(…)")
    }
}

impl fmt::Debug for MailboxKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MailboxKey(…)")
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

/// How many wrong codes were presented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WrongCodes {
    /// For the mailbox, since its last right one, or in the last day where none was right.
    pub of_mailbox: u32,
    /// For all mailboxes, in about the last hour: between the last one and two hours.
    pub of_all: u32,
}

port! {
    /// Keeps the code of each open challenge, and counts wrong ones. Each method is atomic across all
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

        /// How many wrong codes were presented.
        async fn wrong_codes(
            &self,
            mailbox: MailboxKey,
            now: Timestamp,
        ) -> Result<WrongCodes, PortError>;

        /// Counts a wrong code of the mailbox, or, where it was right, forgets those before it.
        async fn note_attempt(
            &self,
            mailbox: MailboxKey,
            was_right: bool,
            now: Timestamp,
        ) -> Result<(), PortError>;
    }
}
