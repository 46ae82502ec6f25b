-- What attachments are. Their bytes are kept elsewhere.

CREATE TABLE attachments (
    id             BLOB NOT NULL PRIMARY KEY,
    owner_id       BLOB NOT NULL,
    file_name      TEXT NOT NULL,
    content_type   TEXT NOT NULL,
    byte_size      INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    state          INTEGER NOT NULL,  -- 0 awaited, 1 ready, 2 claimed, 3 used, 4 erasing
    changed_at     INTEGER NOT NULL,
    version        INTEGER NOT NULL,
    attempt        BLOB,
    width          INTEGER,
    height         INTEGER,
    thumbnail_type TEXT,
    thumbnail_size INTEGER,
    used_by        TEXT  -- the id of a message, a user or a chat
) STRICT, WITHOUT ROWID;

-- What has stood somewhere for long: what nobody uses, say.
CREATE INDEX attachments_by_state ON attachments (state, changed_at);

-- The ids of a message's attachments, 16 bytes each, in their order.
ALTER TABLE messages ADD COLUMN attachment_ids BLOB;
ALTER TABLE users ADD COLUMN avatar_id BLOB;
ALTER TABLE chats ADD COLUMN avatar_id BLOB;
