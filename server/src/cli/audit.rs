//! `talksy audit`: what operators did, for the server's owner. One JSON object a line, oldest first.

use std::error::Error;
use std::io::{self, Write};

use serde_json::{Map, Value};
use talksy_domain::clock::Timestamp;
use talksy_domain::id::AuditId;
use talksy_domain::moderation::{AuditEntry, ModerationStore};

use crate::adapters::moderation_beside;
use crate::config::Config;

/// How many entries are read at once.
const PAGE: usize = 500;

/// Writes the entries behind one, or all, to standard output.
pub(super) async fn run(after: Option<AuditId>, config: &Config) -> Result<(), Box<dyn Error>> {
    let (store, backend) = moderation_beside(config)?;
    let written = write(&*store, after, || io::stdout().lock()).await;
    backend.close().await;
    written
}

async fn write<W: Write>(
    store: &dyn ModerationStore,
    mut after: Option<AuditId>,
    out: impl Fn() -> W,
) -> Result<(), Box<dyn Error>> {
    loop {
        let entries = store.audit(after, PAGE).await?;
        let mut page = String::new();
        for entry in &entries {
            page.push_str(&line(entry)?);
            page.push('\n');
        }
        let written = {
            let mut out = out();
            out.write_all(page.as_bytes()).and_then(|()| out.flush())
        };
        match written {
            // A reader that closes early, like `head`, is no failure.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
        match entries.last() {
            Some(last) if entries.len() == PAGE => after = Some(last.id),
            _ => return Ok(()),
        }
    }
}

/// An entry as a JSON object: times as RFC 3339 has them.
fn line(entry: &AuditEntry) -> Result<String, serde_json::Error> {
    let mut object = Map::new();
    object.insert("id".to_owned(), entry.id.to_string().into());
    object.insert("at".to_owned(), entry.at.to_string().into());
    let operator = entry.operator_id.to_string();
    object.insert("operatorId".to_owned(), operator.into());
    if let Value::Object(act) = serde_json::to_value(&entry.act)? {
        object.extend(act);
    }
    if let Some(until) = object.get("until").and_then(Value::as_i64) {
        let until = Timestamp::from_millis(until).to_string();
        object.insert("until".to_owned(), until.into());
    }
    serde_json::to_string(&object)
}

#[cfg(test)]
mod tests {
    use talksy_domain::id;
    use talksy_domain::moderation::{OperatorAct, Reason};

    use super::*;

    #[test]
    fn an_entry_is_one_line_whatever_its_reason_says() {
        let mut bytes = [0; 16];
        bytes[15] = 1;
        let entry = AuditEntry {
            id: id::from_bytes(bytes),
            at: Timestamp::from_millis(0),
            operator_id: id::from_bytes(bytes),
            act: OperatorAct::SuspendUser {
                user_id: id::from_bytes(bytes),
                reason: Reason::parse("Spam,\n\"again\"", "reason").unwrap(),
                until: Some(Timestamp::from_millis(660_000)),
            },
        };
        let line = line(&entry).unwrap();
        assert!(!line.contains('\n'), "{line}");
        let read: Value = serde_json::from_str(&line).unwrap();
        let expected = serde_json::json!({
            "id": "aud_00000000000000000000000001",
            "at": "1970-01-01T00:00:00.000Z",
            "operatorId": "usr_00000000000000000000000001",
            "act": "suspendUser",
            "userId": "usr_00000000000000000000000001",
            "reason": "Spam,\n\"again\"",
            "until": "1970-01-01T00:11:00.000Z",
        });
        assert_eq!(read, expected);
    }
}
