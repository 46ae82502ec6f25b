//! WebSocket frames, as far as a client of these servers needs them (RFC 6455, section 5), and
//! numbers in JSON that is not parsed.

use super::outcome::Outcome;

/// A frame from a server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    Text(&'a [u8]),
    Ping(&'a [u8]),
    /// The close code and reason as they came.
    Close(&'a [u8]),
    /// A pong, or another frame that says nothing here.
    Other,
}

/// The first frame of `bytes` and its length; `None` where it is not all there.
///
/// # Errors
/// On what these servers never send: fragments, masks, unknown frames.
pub(super) fn parse(bytes: &[u8]) -> Outcome<Option<(Frame<'_>, usize)>> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    let (header, length) = match second {
        length @ 0..=125 => (2, usize::from(*length)),
        126 => match rest.first_chunk() {
            Some(length) => (4, usize::from(u16::from_be_bytes(*length))),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(length) => (10, usize::try_from(u64::from_be_bytes(*length))?),
            None => return Ok(None),
        },
        _ => return Err("a masked frame from the server".into()),
    };
    let Some(payload) = bytes.get(header..).and_then(|rest| rest.get(..length)) else {
        return Ok(None);
    };
    let frame = match first {
        0x81 => Frame::Text(payload),
        0x88 => Frame::Close(payload),
        0x89 => Frame::Ping(payload),
        0x8a => Frame::Other,
        _ => return Err(format!("an unexpected frame {first:#x}").into()),
    };
    Ok(Some((frame, header + length)))
}

/// A text frame to a server.
pub(super) fn text(payload: &[u8]) -> Vec<u8> {
    encode(0x81, payload)
}

/// The answer to a ping.
pub(super) fn pong(payload: &[u8]) -> Vec<u8> {
    encode(0x8a, payload)
}

/// A client's frame with a mask of zeros: legal, and there is no proxy here to protect.
fn encode(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ 0..=125), _) => frame.push(0x80 | length),
        (_, Ok(length)) => {
            frame.push(0xfe);
            frame.extend(length.to_be_bytes());
        }
        _ => {
            frame.push(0xff);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// Finds the number behind a key, in texts that are mostly alike.
#[derive(Clone, Copy, Debug)]
pub(super) struct NumberAfter {
    key: &'static [u8],
    /// Where the key stood last time.
    hint: usize,
}

impl NumberAfter {
    pub(super) const fn new(key: &'static str) -> Self {
        Self {
            key: key.as_bytes(),
            hint: 0,
        }
    }

    pub(super) fn find(&mut self, text: &[u8]) -> Option<u64> {
        let is_where_it_was = text
            .get(self.hint..)
            .is_some_and(|rest| rest.starts_with(self.key));
        if !is_where_it_was {
            self.hint = position(text, self.key)?;
        }
        let digits = text.get(self.hint + self.key.len()..)?;
        let length = digits.iter().take_while(|b| b.is_ascii_digit()).count();
        if length == 0 {
            return None;
        }
        Some(digits[..length].iter().fold(0, |number: u64, digit| {
            number
                .wrapping_mul(10)
                .wrapping_add(u64::from(digit - b'0'))
        }))
    }
}

/// Where `part` begins in `text`.
pub(super) fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_one_by_one_and_only_whole() {
        let long = "x".repeat(300);
        let mut bytes = vec![0x81, 2, b'h', b'i', 0x89, 0, 0x81, 126, 1, 44];
        bytes.extend(long.as_bytes());
        assert_eq!(parse(&bytes).unwrap(), Some((Frame::Text(b"hi"), 4)));
        assert_eq!(parse(&bytes[4..]).unwrap(), Some((Frame::Ping(b""), 2)));
        let third = parse(&bytes[6..]).unwrap();
        assert_eq!(third, Some((Frame::Text(long.as_bytes()), 304)));
        for end in 6..bytes.len() {
            assert_eq!(parse(&bytes[6..end]).unwrap(), None, "{end}");
        }
        for wrong in [[0x01, 0], [0x81, 0x80], [0x82, 0]] {
            assert!(parse(&wrong).is_err());
        }
    }

    #[test]
    fn own_frames_are_masked_and_of_every_length() {
        assert_eq!(text(b"a"), [0x81, 0x81, 0, 0, 0, 0, b'a']);
        assert_eq!(text(&[7; 126])[..4], [0x81, 0xfe, 0, 126]);
        assert_eq!(text(&vec![7; 70_000])[..4], [0x81, 0xff, 0, 0]);
        assert_eq!(pong(b"").len(), 6);
    }

    #[test]
    fn a_number_is_found_wherever_its_key_has_moved_to() {
        let mut seq = NumberAfter::new("\"seq\":");
        assert_eq!(seq.find(br#"{"seq":9}"#), Some(9));
        assert_eq!(seq.find(br#"{"seq":10}"#), Some(10));
        assert_eq!(seq.find(br#"{"id":"1","seq":11}"#), Some(11));
        assert_eq!(seq.find(br#"{"seq":null}"#), None);
        assert_eq!(seq.find(b"{}"), None);
    }
}
