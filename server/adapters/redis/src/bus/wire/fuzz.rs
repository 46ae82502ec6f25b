//! Envelopes that a Redis may bring, of other versions or of who should not write to it.

use talksy_fuzz::proptest::prelude::*;
use talksy_fuzz::{edited_bytes, fuzz};

use super::*;

/// An event of each kind, a line each, as instances write them.
const EVENTS: &str = include_str!("../../../../../../tests/golden/events.jsonl");

#[test]
fn an_envelope_is_passed_on_as_it_was_read_or_not_at_all() {
    let (here, there) = (Wire::new("t:", 0), Wire::new("t:", 0));
    let mut envelopes: Vec<String> = EVENTS
        .lines()
        .map(|event| format!(r#"{{"v":1,"from":"x","trace":"00-1-2-01","event":{event}}}"#))
        .collect();
    for envelope in &envelopes {
        let read = here.read(envelope.as_bytes());
        assert!(matches!(read, Decoded::Event(..)), "{envelope}");
    }
    envelopes.push(r#"{"v":1,"from":"x","gap":true}"#.to_owned());
    let words = [
        "null",
        "-1",
        "4294967296",
        "1e99",
        "[]",
        "{}",
        "\\u0000",
        "\\ud800",
        "\"type\":",
        "\"",
    ];
    fuzz(&edited_bytes(envelopes, &words), |bytes| {
        let read = here.read(&bytes);
        let Decoded::Event(event, trace) = read else {
            return Ok(());
        };
        let written = here
            .event(&event, trace.as_deref())
            .map_err(|error| TestCaseError::fail(error.to_string()))?;
        // What is read takes no more room than what came, but for what is written out.
        prop_assert!(written.len() <= 4 * bytes.len() + 1_024);
        prop_assert_eq!(there.read(&written), Decoded::Event(event, trace));
        Ok(())
    });
}

#[test]
fn a_channel_is_a_topic_as_it_is_written_or_none() {
    let wire = Wire::new("t:", 0);
    let channels = ["chat:cht", "user:usr", "presence:usr"]
        .map(|kind| format!("t:bus:{kind}_01h455vb4pex5vsknk084sn02q"));
    for channel in &channels {
        assert!(wire.topic(channel.as_bytes()).is_some(), "{channel}");
    }
    fuzz(
        &edited_bytes(channels.to_vec(), &[":", "_", "t:bus:", "@1"]),
        |bytes| {
            if let Some(topic) = wire.topic(&bytes) {
                prop_assert_eq!(wire.channel(topic).into_bytes(), bytes);
            }
            Ok(())
        },
    );
}
