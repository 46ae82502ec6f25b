//! The port of one-time sign-in codes. A store sees keyed hashes alone: neither the address nor
//! the code.

use std::fmt;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::PortError;
use crate::port::port;

/// Names an address without telling it: an HMAC-SHA-256 of the address.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CodeKey(pub [u8; 32]);

/// An HMAC-SHA-256 of address and code. Compare in constant time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CodeDigest(pub [u8; 32]);

impl fmt::Debug for CodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeKey(…)")
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
    /// Tells this code from others of the same address.
    pub id: [u8; 16],
    /// What a presented code must hash to.
    pub digest: CodeDigest,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// From this instant on it is refused as expired.
    pub expires_at: Timestamp,
    /// How many wrong codes it survives before it is void, at least 1.
    pub tries: u8,
}

/// What came of issuing a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issue {
    /// It is the address's code now; an earlier one is void.
    Issued,
    /// Another was issued too short a time ago. Nothing was changed.
    TooSoon(Duration),
}

/// What came of presenting a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It was right, and is used up now.
    Accepted,
    /// It was wrong; so many tries are left. At 0 the code is void.
    Wrong(u8),
    /// The address's code has expired or was tried too often.
    Expired,
    /// The address has no code: none was asked for, or it was used or withdrawn.
    NoCode,
}

port! {
    /// Keeps at most one code an address. Each method is atomic across all instances that share the
    /// backend.
    pub trait CodeStore as "codes" with CodeStoreLayer {
        /// Makes `code` the address's code, unless one was issued less than `resend_after` before
        /// `code.issued_at` (used up or not). A withdrawn code does not count.
        async fn issue(
            &self,
            key: CodeKey,
            code: &IssuedCode,
            resend_after: Duration,
        ) -> Result<Issue, PortError>;

        /// Takes a code back as if it had never been issued. Does nothing where `id` is not the
        /// address's present code.
        async fn withdraw(&self, key: CodeKey, id: [u8; 16]) -> Result<(), PortError>;

        /// Presents a code. A right one is accepted once; a wrong one costs a try. A code stays
        /// known as expired for at least as long as it was valid.
        async fn attempt(
            &self,
            key: CodeKey,
            presented: CodeDigest,
            now: Timestamp,
        ) -> Result<Attempt, PortError>;
    }
}
