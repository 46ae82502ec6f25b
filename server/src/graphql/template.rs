//! A response for all viewers as bytes with holes. Without a hole the bytes are those of
//! [`super::response`].

use async_graphql::{PathSegment, Value};
use serde::Serialize;
use talksy_domain::events::{Hole, Template};
use talksy_schema::sharing::RecordedHole;

/// Serializes the data of a response, and leaves out what is a hole; `None` where a hole is not
/// found, and where there are more than `most` bytes.
pub(super) fn template(data: &Value, holes: &[RecordedHole], most: usize) -> Option<Template> {
    let mut writer = Writer {
        bytes: Vec::new(),
        path: Vec::new(),
        holes,
        found: Vec::new(),
    };
    writer.bytes.extend_from_slice(br#"{"data":"#);
    writer.write(data)?;
    writer.bytes.push(b'}');
    let is_good = writer.found.len() == holes.len() && writer.bytes.len() <= most;
    is_good.then(|| Template::new(writer.bytes, writer.found))
}

struct Writer<'a> {
    bytes: Vec<u8>,
    path: Vec<PathSegment>,
    holes: &'a [RecordedHole],
    found: Vec<(usize, Hole)>,
}

impl Writer<'_> {
    fn write(&mut self, value: &Value) -> Option<()> {
        let mut here = self.holes.iter().filter(|hole| hole.path == self.path);
        match (here.next(), here.next()) {
            (Some(hole), None) => {
                self.found.push((self.bytes.len(), hole.hole));
                return Some(());
            }
            // Two holes in one place are no template.
            (Some(_), Some(_)) => return None,
            (None, _) => {}
        }
        match value {
            Value::Object(fields) => {
                self.bytes.push(b'{');
                for (index, (key, value)) in fields.iter().enumerate() {
                    self.separate(index);
                    self.write_leaf(key)?;
                    self.bytes.push(b':');
                    self.path.push(PathSegment::Field(key.to_string()));
                    self.write(value)?;
                    self.path.pop();
                }
                self.bytes.push(b'}');
            }
            Value::List(items) => {
                self.bytes.push(b'[');
                for (index, value) in items.iter().enumerate() {
                    self.separate(index);
                    self.path.push(PathSegment::Index(index));
                    self.write(value)?;
                    self.path.pop();
                }
                self.bytes.push(b']');
            }
            leaf => self.write_leaf(leaf)?,
        }
        Some(())
    }

    fn separate(&mut self, index: usize) {
        if index > 0 {
            self.bytes.push(b',');
        }
    }

    fn write_leaf(&mut self, leaf: &impl Serialize) -> Option<()> {
        serde_json::to_writer(&mut self.bytes, leaf).ok()
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::value;

    use super::*;

    fn hole(path: &[&str], hole: Hole) -> RecordedHole {
        let segment = |text: &&str| match text.parse() {
            Ok(index) => PathSegment::Index(index),
            Err(_) => PathSegment::Field((*text).to_owned()),
        };
        RecordedHole {
            path: path.iter().map(segment).collect(),
            hole,
        }
    }

    fn filled(data: &Value, holes: &[RecordedHole]) -> Option<String> {
        let filled = template(data, holes, usize::MAX)?.filled(|hole, bytes| {
            bytes.extend_from_slice(format!("<{hole:?}>").as_bytes());
            Some(())
        });
        Some(String::from_utf8(filled?.to_vec()).unwrap())
    }

    #[test]
    fn holes_are_found_by_their_place_and_never_by_what_stands_there() {
        let data = value!({
            "a": { "n": 0, "text": "\"n\":0,<IsMuted>", "m": 0 },
            "l": [{ "n": 0 }, { "n": 0 }],
        });
        let holes = [
            hole(&["l", "1", "n"], Hole::IsMuted),
            hole(&["a", "n"], Hole::UnreadCount),
        ];
        assert_eq!(
            filled(&data, &holes).unwrap(),
            r#"{"data":{"a":{"n":<UnreadCount>,"text":"\"n\":0,<IsMuted>","m":0},"l":[{"n":0},{"n":<IsMuted>}]}}"#
        );
        let whole = serde_json::to_string(&serde_json::json!({ "data": data })).unwrap();
        let sorted = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(sorted(&filled(&data, &[]).unwrap()), sorted(&whole));
    }

    #[test]
    fn a_hole_that_is_missing_or_doubled_is_no_template() {
        let data = value!({ "a": null, "n": 0 });
        let missing = [hole(&["a", "n"], Hole::IsMuted)];
        assert_eq!(filled(&data, &missing), None);
        let doubled = [hole(&["n"], Hole::IsMuted), hole(&["n"], Hole::UnreadCount)];
        assert_eq!(filled(&data, &doubled), None);
    }

    #[test]
    fn a_template_has_no_more_bytes_than_it_may() {
        let data = value!({ "a": "text" });
        let length = serde_json::json!({ "data": data }).to_string().len();
        assert!(template(&data, &[], length).is_some());
        assert!(template(&data, &[], length - 1).is_none());
    }
}
