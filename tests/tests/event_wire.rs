//! The form in which events travel between instances, held to files: while servers are replaced one
//! after the other, the version before and the one behind read each other's.
//!
//! `tests/golden/events.jsonl` has an event of each kind as this version writes it. Where a change
//! of the code changes it on purpose, run this test with `TALKSY_WRITE_GOLDEN=1`, and add what the
//! version before has written to `tests/golden/events-before.jsonl`: it has to be read for ever.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};
use talksy_domain::events::Event;
use talksy_tests::contract::bus::every_event;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("golden")
        .join(name)
}

/// The events of a file, each with its JSON.
fn events(name: &str) -> Vec<(Value, Event)> {
    let text = std::fs::read_to_string(golden(name)).unwrap();
    let read = |line: &str| {
        let json: Value = serde_json::from_str(line).unwrap();
        let event = serde_json::from_value(json.clone());
        (
            json,
            event.unwrap_or_else(|error| panic!("{error}: {line}")),
        )
    };
    text.lines().map(read).collect()
}

fn kinds(events: impl IntoIterator<Item = Event>) -> BTreeSet<String> {
    let kind = |event| {
        let json: Value = serde_json::to_value(event).unwrap();
        json["type"].as_str().unwrap().to_owned()
    };
    events.into_iter().map(kind).collect()
}

#[test]
fn events_have_the_form_of_the_files() {
    if std::env::var_os("TALKSY_WRITE_GOLDEN").is_some() {
        let lines = every_event().into_iter();
        let lines = lines.map(|event| serde_json::to_string(&event).unwrap() + "\n");
        std::fs::write(golden("events.jsonl"), lines.collect::<String>()).unwrap();
    }
    let golden = events("events.jsonl");
    for (json, event) in &golden {
        assert_eq!(serde_json::to_value(event).unwrap(), *json);
    }
    let of_files = kinds(golden.into_iter().map(|(_, event)| event));
    assert_eq!(of_files, kinds(every_event()), "a file of each kind");
}

#[test]
fn what_the_version_before_has_written_is_read() {
    for (json, event) in events("events-before.jsonl") {
        // What it says is there, under the same names.
        let now = serde_json::to_value(event).unwrap();
        assert_eq!(now["type"], json["type"]);
        for part in [
            "chatId",
            "userId",
            "sessionId",
            "receipt",
            "chatKind",
            "isTyping",
        ] {
            if let Some(before) = json.get(part) {
                assert_eq!(now[part], *before, "{part}");
            }
        }
        for (part, before) in json["message"].as_object().into_iter().flatten() {
            assert_eq!(now["message"][part], *before, "{part}");
        }
    }
}

/// Adds a part that nobody knows to every object.
fn with_more(json: &mut Value) {
    match json {
        Value::Object(parts) => {
            parts.values_mut().for_each(with_more);
            parts.insert("somethingNew".to_owned(), json!({ "a": [1] }));
        }
        Value::Array(items) => items.iter_mut().for_each(with_more),
        _ => {}
    }
}

/// A message that has none says nothing of them, as the version before.
#[test]
fn reactions_and_pins_travel_with_their_message() {
    let mut golden = events("events.jsonl").into_iter();
    let (mut json, event) = golden
        .find(|(json, _)| json["type"] == "messageChanged")
        .unwrap();
    let plain = serde_json::to_value(event).unwrap();
    for part in ["reactions", "pinned_seq"] {
        assert!(plain["message"].get(part).is_none(), "{part}");
    }
    json["message"]["reactions"] =
        json!([{ "emoji": "❤️", "count": 3 }, { "emoji": "👍", "count": 1 }]);
    json["message"]["pinned_seq"] = json!(7);
    let read: Event = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), json);
    let Event::MessageChanged { message, .. } = read else {
        panic!("a change of a message");
    };
    let counts = message.reactions.counts().iter();
    let counts: Vec<_> = counts.map(|one| (one.emoji.as_str(), one.count)).collect();
    assert_eq!(
        (counts, message.pinned_seq),
        (vec![("❤️", 3), ("👍", 1)], 7)
    );
    for emoji in [String::new(), "👍".repeat(17)] {
        json["message"]["reactions"] = json!([{ "emoji": emoji, "count": 1 }]);
        assert!(serde_json::from_value::<Event>(json.clone()).is_err());
    }
}

#[test]
fn what_a_newer_version_adds_is_passed_over() {
    for (json, event) in events("events.jsonl") {
        let mut newer = json;
        with_more(&mut newer);
        let read: Event = serde_json::from_value(newer.clone()).unwrap();
        assert_eq!(read, event, "{newer}");
    }
    let unknown = json!({ "type": "reactionAdded", "emoji": "👍" });
    assert!(
        serde_json::from_value::<Event>(unknown).is_err(),
        "and is left out"
    );
    // A notice of an unknown kind still says what it does.
    let (mut json, event) = events("events.jsonl")
        .into_iter()
        .find(|(json, _)| json["message"]["notice"].is_object())
        .unwrap();
    json["message"]["notice"]["kind"] = json!("somethingNew");
    let read: Event = serde_json::from_value(json).unwrap();
    let (Event::MessageAdded { message: read }, Event::MessageAdded { message }) = (read, event)
    else {
        panic!("a message");
    };
    assert_eq!(
        read.notice.unwrap().effects,
        message.notice.unwrap().effects
    );
}
