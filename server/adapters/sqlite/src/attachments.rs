//! What attachments are, and who uses them.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use talksy_domain::attachments::{
    Attachment, AttachmentState, AttachmentStore, ContentType, FileName, ImageFacts, Kept,
    Thumbnail,
};
use talksy_domain::clock::Timestamp;
use talksy_domain::error::PortError;
use talksy_domain::id::{self, AttachmentId, UserId};

use super::SqliteStore;
use super::fault::{Fault, Why};
use super::rows::{self, all, change, filled, one, statements};

/// What [`attachment`] reads.
macro_rules! attachment_columns {
    () => {
        "id, owner_id, file_name, content_type, byte_size, created_at, state, changed_at, version, attempt, width, height, thumbnail_type, thumbnail_size, used_by"
    };
}

statements! {
    INSERT = concat!("INSERT INTO attachments (", attachment_columns!(), ")
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)");
    ATTACHMENTS = concat!("SELECT ", attachment_columns!(), " FROM rarray(?1) AS wanted
        CROSS JOIN attachments ON id = wanted.value");
    BYTES_OF_OWNER = "SELECT coalesce(sum(byte_size), 0) FROM attachments WHERE owner_id = ?1";
    ADVANCE = "UPDATE attachments SET file_name = ?3, content_type = ?4, byte_size = ?5,
        state = ?7, changed_at = ?8, version = ?9, attempt = ?10, width = ?11, height = ?12,
        thumbnail_type = ?13, thumbnail_size = ?14, used_by = ?15
        WHERE id = ?1 AND version = ?9 - 1";
    STANDING = concat!("SELECT ", attachment_columns!(), " FROM attachments
        WHERE state = ?1 AND changed_at <= ?2 ORDER BY changed_at LIMIT ?3");
    OF_OWNER = concat!("SELECT ", attachment_columns!(), " FROM attachments
        WHERE owner_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3");
    DELETE = "DELETE FROM attachments WHERE id IN (SELECT value FROM rarray(?1))";
}

#[async_trait]
impl AttachmentStore for SqliteStore {
    async fn announce(&self, attachment: &Attachment, most: u64) -> Result<Kept, PortError> {
        let attachment = attachment.clone();
        self.write(move |conn| {
            let owner = id::bytes(attachment.owner_id);
            let used: Option<i64> = one(conn, BYTES_OF_OWNER, [owner], |row| Ok(row.get(0)?))?;
            let used = u64::try_from(used.unwrap_or_default()).unwrap_or_default();
            if used.saturating_add(attachment.byte_size) > most {
                return Ok(Kept::Full(used));
            }
            write(conn, INSERT, &attachment)?;
            Ok(Kept::Done)
        })
        .await
    }

    async fn attachments(&self, ids: &[AttachmentId]) -> Result<Vec<Attachment>, PortError> {
        let keys = rows::keys(ids, id::bytes);
        self.read(move |conn| all(conn, ATTACHMENTS, [rows::list(&keys)], attachment))
            .await
    }

    async fn advance(&self, changed: &[Attachment]) -> Result<Vec<AttachmentId>, PortError> {
        let changed = changed.to_vec();
        self.write(move |conn| {
            let mut taken = Vec::new();
            for attachment in &changed {
                if write(conn, ADVANCE, attachment)? > 0 {
                    taken.push(attachment.id);
                }
            }
            Ok(taken)
        })
        .await
    }

    async fn standing(
        &self,
        state: AttachmentState,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<Attachment>, PortError> {
        let values = (code(state), before.as_millis(), rows::limit(limit));
        self.look(move |conn| all(conn, STANDING, values, attachment))
            .await
    }

    async fn of_owner(
        &self,
        owner: UserId,
        after: Option<AttachmentId>,
        limit: usize,
    ) -> Result<Vec<Attachment>, PortError> {
        // Nothing sorts ahead of every id.
        let after = after.map_or_else(Vec::new, |id| id::bytes(id).to_vec());
        let (owner, wanted) = (id::bytes(owner), limit);
        self.read(move |conn| {
            let values = |limit| (owner, &after, limit);
            filled(conn, OF_OWNER, wanted, values, attachment)
        })
        .await
    }

    async fn forget(&self, ids: &[AttachmentId]) -> Result<(), PortError> {
        let keys = rows::keys(ids, id::bytes);
        self.upkeep(move |conn| {
            change(conn, DELETE, [rows::list(&keys)])?;
            Ok(())
        })
        .await
    }
}

/// Runs a statement over all of an attachment's columns.
fn write(conn: &Connection, sql: &str, attachment: &Attachment) -> Result<usize, Fault> {
    let image = attachment.image.as_ref();
    let thumbnail = image.and_then(|image| image.thumbnail);
    let values = params![
        id::bytes(attachment.id),
        id::bytes(attachment.owner_id),
        attachment.file_name.as_str(),
        attachment.content_type.as_str(),
        size(attachment.byte_size),
        attachment.created_at.as_millis(),
        code(attachment.state),
        attachment.changed_at.as_millis(),
        attachment.version,
        attachment.attempt,
        image.map(|image| image.width),
        image.map(|image| image.height),
        thumbnail.map(|thumbnail| thumbnail.content_type.as_str()),
        thumbnail.map(|thumbnail| size(thumbnail.byte_size)),
        attachment.used_by.map(|used_by| used_by.to_string()),
    ];
    change(conn, sql, values)
}

fn size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn code(state: AttachmentState) -> i64 {
    match state {
        AttachmentState::Awaited => 0,
        AttachmentState::Ready => 1,
        AttachmentState::Claimed => 2,
        AttachmentState::Used => 3,
        AttachmentState::Erasing => 4,
    }
}

fn attachment(row: &Row<'_>) -> Result<Attachment, Fault> {
    let attachment_id: AttachmentId = id::from_bytes(row.get(0)?);
    let parse = || -> Result<Attachment, Why> {
        let content_type = |text: String| ContentType::parse(&text).unwrap_or(ContentType::UNKNOWN);
        let state: i64 = row.get(6)?;
        let mut states = AttachmentState::ALL.into_iter();
        let facts: (Option<u32>, Option<u32>) = (row.get(10)?, row.get(11)?);
        let thumbnail = match (row.get(12)?, row.get::<_, Option<i64>>(13)?) {
            (Some(text), Some(byte_size)) => Some(Thumbnail {
                content_type: content_type(text),
                byte_size: byte_size.try_into()?,
            }),
            _ => None,
        };
        let image = |(width, height)| ImageFacts {
            width,
            height,
            thumbnail,
        };
        let used_by: Option<String> = row.get(14)?;
        Ok(Attachment {
            id: attachment_id,
            owner_id: id::from_bytes(row.get(1)?),
            file_name: FileName::cleaned(&row.get::<_, String>(2)?),
            content_type: content_type(row.get(3)?),
            byte_size: row.get::<_, i64>(4)?.try_into()?,
            created_at: Timestamp::from_millis(row.get(5)?),
            state: states
                .find(|known| code(*known) == state)
                .ok_or_else(|| format!("{state} is no state"))?,
            changed_at: Timestamp::from_millis(row.get(7)?),
            version: row.get(8)?,
            attempt: row.get(9)?,
            image: facts.0.zip(facts.1).map(image),
            used_by: used_by.map(|text| text.parse()).transpose()?,
        })
    };
    parse().map_err(|why| Fault::row(format_args!("attachment {attachment_id}"), why))
}
