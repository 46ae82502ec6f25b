//! What travels between instances: the channel of a topic, and the envelope of an event.
//!
//! An envelope is JSON: `{"v":1,"from":"…","event":{…}}`, or, where its sender could not publish
//! some events of the topic, `{"v":1,"from":"…","gap":true}`. `from` names the instance, which
//! has told its own followers already; `trace`, where requests are traced, the span that
//! published the event, as a W3C `traceparent`. Instances of different versions may share a Redis during
//! an upgrade: what one does not know it leaves alone.

use std::borrow::Cow;
use std::fmt::Display;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use talksy_domain::clock::{Entropy as _, SystemEntropy};
use talksy_domain::events::{Event, Topic};

/// The version of the envelope that this build writes and reads.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct NewEnvelope<'a> {
    v: u32,
    from: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a Event>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    gap: bool,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    v: u32,
    #[serde(borrow, default)]
    from: Cow<'a, str>,
    #[serde(borrow, default)]
    event: Option<&'a RawValue>,
    #[serde(default)]
    trace: Option<String>,
    #[serde(default)]
    gap: bool,
}

/// What an envelope holds for this instance.
#[derive(Debug, PartialEq)]
pub(super) enum Decoded {
    /// An event, and the trace that it belongs to.
    Event(Box<Event>, Option<String>),
    /// The sender could not publish some events of the topic.
    Gap,
    /// This instance's own.
    Own,
    /// Something that this version does not know.
    Unknown,
}

/// How this instance writes and reads.
pub(crate) struct Wire {
    prefix: String,
    instance: String,
}

impl Wire {
    /// Channels begin with the prefix. They are not of a numbered database: its number is in
    /// their names.
    pub(crate) fn new(prefix: &str, database: i64) -> Self {
        let mut id = [0; 8];
        // Not from the environment's entropy, which a test may make repeat: two instances of one
        // name would take each other's events for their own.
        SystemEntropy.fill(&mut id);
        let prefix = match database {
            0 => format!("{prefix}bus:"),
            number => format!("{prefix}bus@{number}:"),
        };
        Self {
            prefix,
            instance: hex::encode(id),
        }
    }

    /// The channel of a topic.
    pub(super) fn channel(&self, topic: Topic) -> String {
        let (kind, id): (&str, &dyn Display) = match &topic {
            Topic::Chat(chat) => ("chat", chat),
            Topic::User(user) => ("user", user),
            Topic::Presence(user) => ("presence", user),
        };
        format!("{}{kind}:{id}", self.prefix)
    }

    /// The topic of a channel, where it is one of ours.
    pub(super) fn topic(&self, channel: &[u8]) -> Option<Topic> {
        let channel = std::str::from_utf8(channel).ok()?;
        let (kind, id) = channel.strip_prefix(&self.prefix)?.split_once(':')?;
        match kind {
            "chat" => id.parse().ok().map(Topic::Chat),
            "user" => id.parse().ok().map(Topic::User),
            "presence" => id.parse().ok().map(Topic::Presence),
            _ => None,
        }
    }

    /// The envelope of an event.
    pub(super) fn event(
        &self,
        event: &Event,
        trace: Option<&str>,
    ) -> Result<Vec<u8>, serde_json::Error> {
        self.write(Some(event), trace, false)
    }

    /// The envelope that says that events were not published.
    pub(super) fn gap(&self) -> Result<Vec<u8>, serde_json::Error> {
        self.write(None, None, true)
    }

    fn write(
        &self,
        event: Option<&Event>,
        trace: Option<&str>,
        gap: bool,
    ) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&NewEnvelope {
            v: VERSION,
            from: &self.instance,
            event,
            trace,
            gap,
        })
    }

    /// Decodes an envelope.
    pub(super) fn read(&self, envelope: &[u8]) -> Decoded {
        match serde_json::from_slice::<Envelope<'_>>(envelope) {
            Ok(envelope) if envelope.v != VERSION => Decoded::Unknown,
            Ok(envelope) if envelope.from == self.instance => Decoded::Own,
            Ok(Envelope { gap: true, .. }) => Decoded::Gap,
            Ok(Envelope { event, trace, .. }) => event
                .and_then(|event| serde_json::from_str(event.get()).ok())
                .map_or(Decoded::Unknown, |event| {
                    Decoded::Event(Box::new(event), trace)
                }),
            Err(_) => Decoded::Unknown,
        }
    }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use talksy_domain::id::{self, ChatId, UserId};

    use super::*;

    fn joined() -> Event {
        Event::ChatJoined {
            chat_id: id::from_bytes([7; 16]),
        }
    }

    #[test]
    fn another_instances_event_arrives_and_ones_own_does_not() {
        let (here, there) = (Wire::new("t:", 0), Wire::new("t:", 0));
        let envelope = here.event(&joined(), None).unwrap();
        assert_eq!(
            there.read(&envelope),
            Decoded::Event(Box::new(joined()), None)
        );
        let traced = here.event(&joined(), Some("00-1-2-01")).unwrap();
        let trace = Some("00-1-2-01".to_owned());
        assert_eq!(
            there.read(&traced),
            Decoded::Event(Box::new(joined()), trace)
        );
        assert_eq!(here.read(&envelope), Decoded::Own);
        assert_eq!(there.read(&here.gap().unwrap()), Decoded::Gap);
    }

    #[test]
    fn what_a_newer_instance_says_is_left_alone() {
        let wire = Wire::new("t:", 0);
        for envelope in [
            r#"{"v":2,"body":"…"}"#,
            r#"{"v":2,"from":"x","event":{"type":"chatJoined"}}"#,
            r#"{"v":1,"from":"x","event":{"type":"reactionAdded","emoji":"👍"}}"#,
            r#"{"v":1,"from":"x"}"#,
            r#"{"from":"x"}"#,
            "no JSON",
            "",
        ] {
            assert_eq!(
                wire.read(envelope.as_bytes()),
                Decoded::Unknown,
                "{envelope}"
            );
        }
        // Parts that were added are not in the way.
        let event = serde_json::to_string(&joined()).unwrap();
        let envelope = format!(r#"{{"v":1,"from":"\u0078","priority":1,"event":{event}}}"#);
        assert_eq!(
            wire.read(envelope.as_bytes()),
            Decoded::Event(Box::new(joined()), None)
        );
    }

    #[test]
    fn channels_are_topics() {
        let chat: ChatId = id::from_bytes([1; 16]);
        let user: UserId = id::from_bytes([1; 16]);
        let (wire, other) = (Wire::new("t:", 0), Wire::new("t:", 1));
        for topic in [Topic::Chat(chat), Topic::User(user), Topic::Presence(user)] {
            let channel = wire.channel(topic);
            assert_eq!(wire.topic(channel.as_bytes()), Some(topic));
            assert_ne!(other.channel(topic), channel, "another database");
            assert_eq!(other.topic(channel.as_bytes()), None);
        }
        assert_eq!(wire.topic(b"t:bus:chat:nonsense"), None);
        assert_eq!(wire.topic(b"\xff"), None);
    }
}
