//! Why a socket is closed: the codes of the GraphQL over WebSocket protocol and the few of
//! RFC 6455 that clients take as "come back later" (1012, 1013).

use std::borrow::Cow;

use axum::extract::ws::CloseFrame;
use talksy_domain::error::{ApiError, ErrorCode};

use super::super::shares::Bound;

/// Longest reason: a control frame carries 125 bytes, the code takes two.
const MAX_REASON: usize = 123;

/// A close code with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) struct Close {
    pub(in crate::http) code: u16,
    pub(in crate::http) reason: Cow<'static, str>,
}

impl Close {
    /// Nobody signed in, and nothing was asked. Neither protocol has a code for it; clients come
    /// back on this one only if they have something to ask.
    pub(in crate::http) const IDLE: Self =
        Self::fixed(1000, "Nobody has signed in, and nothing was asked");
    /// The client said good-bye.
    pub(in crate::http) const NORMAL: Self = Self::fixed(1000, "");
    /// The peer answered no ping.
    pub(in crate::http) const DEAD_PEER: Self =
        Self::fixed(1001, "Nothing was heard from the client");
    /// Bytes that are no WebSocket frames.
    pub(in crate::http) const BROKEN_FRAME: Self = Self::fixed(1002, "Invalid frame");
    /// Text that is no UTF-8.
    pub(in crate::http) const NOT_UTF8: Self = Self::fixed(1007, "Invalid UTF-8");
    /// A message beyond the limit.
    pub(in crate::http) const TOO_BIG: Self = Self::fixed(1009, "Message too big");
    /// The server stops; come back.
    pub(in crate::http) const RESTART: Self = Self::fixed(1012, "The server is restarting");
    /// The client does not read fast enough.
    pub(in crate::http) const SLOW: Self = Self::fixed(1013, "The client reads too slowly");
    /// `subscribe` before the acknowledgement.
    pub(in crate::http) const UNAUTHORIZED: Self = Self::fixed(4401, "Unauthorized");
    /// The access token has expired.
    pub(in crate::http) const EXPIRED: Self = Self::fixed(4403, "The access token has expired");
    /// The session was revoked.
    pub(in crate::http) const REVOKED: Self = Self::fixed(4403, "The session was revoked");
    /// No subprotocol that is spoken here.
    pub(in crate::http) const NO_SUBPROTOCOL: Self =
        Self::fixed(4406, "Subprotocol not acceptable");
    /// No acknowledged `connection_init` in time.
    pub(in crate::http) const INIT_TIMEOUT: Self =
        Self::fixed(4408, "Connection initialisation timeout");
    /// A second `connection_init`.
    pub(in crate::http) const INIT_TWICE: Self =
        Self::fixed(4429, "Too many initialisation requests");

    const fn fixed(code: u16, reason: &'static str) -> Self {
        Self {
            code,
            reason: Cow::Borrowed(reason),
        }
    }

    /// 4400: a message that is not of the protocol.
    pub(in crate::http) fn bad_request(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code: 4400,
            reason: reason.into(),
        }
    }

    /// 4409: the operation's id is in use.
    pub(in crate::http) fn duplicate(id: &str) -> Self {
        Self {
            code: 4409,
            reason: format!("Subscriber for {id} already exists").into(),
        }
    }

    /// 1013: there is no place for the socket; come back later.
    pub(in crate::http) const fn full(bound: Bound) -> Self {
        Self::fixed(1013, bound.reason())
    }

    /// The token was not accepted: 4403; where it could not be looked at, or its user has too many
    /// connections, 1013.
    pub(in crate::http) fn refused(refusal: &ApiError) -> Self {
        let code = match refusal.code {
            ErrorCode::Unavailable | ErrorCode::Internal | ErrorCode::RateLimited => 1013,
            _ => 4403,
        };
        Self {
            code,
            reason: refusal.message.clone().into(),
        }
    }

    /// The frame, its reason cut where a control frame ends.
    pub(in crate::http) fn into_frame(self) -> CloseFrame {
        let reason = &self.reason[..self.reason.floor_char_boundary(MAX_REASON)];
        CloseFrame {
            code: self.code,
            reason: reason.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let frame = Close::bad_request("ä".repeat(100)).into_frame();
        assert_eq!(frame.reason.as_str(), "ä".repeat(61));
        assert_eq!(
            Close::RESTART.into_frame().reason.as_str(),
            "The server is restarting"
        );
    }
}
