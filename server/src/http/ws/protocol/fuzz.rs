//! Messages that a socket may bring, in both protocols, and the frames that are written for them.

use serde_json::{Value, json};
use talksy_fuzz::proptest::prelude::*;
use talksy_fuzz::{Case, edited, fuzz};

use super::*;

fn messages() -> Vec<String> {
    [
        r#"{"type":"connection_init","payload":{"authorization":"Bearer x"}}"#,
        r#"{"type":"ping","payload":{"a":[1,"é",null]}}"#,
        r#"{"type":"pong"}"#,
        r#"{"type":"subscribe","id":"1","payload":{"query":"subscription{x}","variables":{"a":1}}}"#,
        r#"{"type":"start","id":"\u0031","payload":{"query":"{x}"}}"#,
        r#"{"id":"a\"b","type":"complete"}"#,
        r#"{"id":"1","type":"stop"}"#,
        r#"{"type":"connection_terminate"}"#,
    ]
    .map(str::to_owned)
    .to_vec()
}

fn is_sound(protocol: Protocol, text: &str) -> Case {
    match protocol.decode(text) {
        Err(reason) => {
            // It goes into a close frame and the log.
            prop_assert!(!reason.is_empty() && reason.len() <= 1_024, "{}", reason);
        }
        Ok(Incoming::Subscribe { id, payload }) => {
            is_frame(protocol, &id)?;
            prop_assert!(is_json(payload.get()));
        }
        Ok(Incoming::Complete(id)) => is_frame(protocol, &id)?,
        Ok(Incoming::Ping(payload)) => {
            prop_assert!(is_json(&pong(payload)));
        }
        Ok(Incoming::Init(_) | Incoming::Pong | Incoming::Terminate) => {}
    }
    Ok(())
}

/// By its grammar: numbers and surrogates may be what no `Value` can hold.
fn is_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}

/// The frames of an operation are JSON, and have its id.
fn is_frame(protocol: Protocol, id: &str) -> Case {
    prop_assert!(!id.is_empty());
    let payload = br#"{"data":{"x":"\u0000"}}"#;
    let frames = [
        next(&protocol.next_prefix(id), payload),
        Some(complete(id)),
        Some(protocol.error(id, br#"[{"message":"a"},{"message":"b"}]"#)),
    ];
    for frame in frames {
        let frame = frame.map(|frame| serde_json::from_str::<Value>(&frame).unwrap_or_default());
        prop_assert_eq!(frame.as_ref().map(|frame| &frame["id"]), Some(&json!(id)));
    }
    Ok(())
}

#[test]
fn any_message_is_answered_for() {
    let words = [
        "null",
        "\"id\":",
        "\"payload\":",
        "{",
        "}",
        "[",
        "]",
        "\\u0000",
        "\\ud83d",
        "\"",
        ",",
        "1e999",
        "\u{feff}",
    ];
    fuzz(&edited(messages(), &words), |text| {
        is_sound(Protocol::Transport, &text)?;
        is_sound(Protocol::Legacy, &text)
    });
    fuzz(&any::<String>(), |text| {
        is_sound(Protocol::Transport, &text)?;
        is_sound(Protocol::Legacy, &text)
    });
}

#[test]
fn an_operation_is_read_as_it_was_sent() {
    fuzz(&("\\PC{1,60}", any::<String>()), |(id, text)| {
        let payload = json!({ "query": text });
        for (protocol, kind) in [
            (Protocol::Transport, "subscribe"),
            (Protocol::Legacy, "start"),
        ] {
            let message = json!({ "type": kind, "id": id, "payload": payload }).to_string();
            match protocol.decode(&message) {
                Ok(Incoming::Subscribe {
                    id: read,
                    payload: sent,
                }) => {
                    prop_assert_eq!(read, id.as_str());
                    let sent = serde_json::from_str::<Value>(sent.get()).ok();
                    prop_assert_eq!(sent.as_ref(), Some(&payload));
                }
                other => return Err(TestCaseError::fail(format!("{other:?}"))),
            }
        }
        Ok(())
    });
}
