-- Ids are the 16 bytes of a UUID v7, times are milliseconds since the Unix epoch.
-- Tables are clustered on the key by which they are read most (WITHOUT ROWID).

CREATE TABLE users (
    id           BLOB    NOT NULL PRIMARY KEY,
    email        TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    name_key     TEXT    NOT NULL,  -- lower-cased by the server, since SQLite knows ASCII only
    about        TEXT,
    created_at   INTEGER NOT NULL,
    last_seen_at INTEGER
) STRICT, WITHOUT ROWID;

-- Sign-in: the account of an address.
CREATE UNIQUE INDEX users_by_email ON users (email);
-- Search: names that start with a prefix, in the list's order.
CREATE INDEX users_by_name ON users (name_key, id);

CREATE TABLE sessions (
    id           BLOB    NOT NULL PRIMARY KEY,
    user_id      BLOB    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token_hash   BLOB    NOT NULL,  -- of the refresh token that is valid now
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    user_agent   TEXT,
    ip_address   TEXT
) STRICT, WITHOUT ROWID;

-- A user's devices.
CREATE INDEX sessions_by_user ON sessions (user_id);
-- The purge of what has expired.
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

-- Refresh tokens that were replaced: presenting one means that somebody holds a copy.
CREATE TABLE retired_tokens (
    session_id BLOB NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    token_hash BLOB NOT NULL,
    PRIMARY KEY (session_id, token_hash)
) STRICT, WITHOUT ROWID;

-- Its row is rewritten by each message, so it is kept short and has no further index.
CREATE TABLE chats (
    id               BLOB    NOT NULL PRIMARY KEY,
    kind             INTEGER NOT NULL,  -- 0 direct, 1 group
    created_at       INTEGER NOT NULL,
    active_at        INTEGER NOT NULL,
    last_seq         INTEGER NOT NULL,
    member_count     INTEGER NOT NULL,
    membership_epoch INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The one direct chat of a pair, smaller id first.
CREATE TABLE direct_chats (
    low_user_id  BLOB NOT NULL REFERENCES users (id),
    high_user_id BLOB NOT NULL REFERENCES users (id),
    chat_id      BLOB NOT NULL REFERENCES chats (id) ON DELETE CASCADE,
    PRIMARY KEY (low_user_id, high_user_id)
) STRICT, WITHOUT ROWID;

-- The cascade from chats.
CREATE INDEX direct_chats_by_chat ON direct_chats (chat_id);
-- The reference to the larger user.
CREATE INDEX direct_chats_by_high_user ON direct_chats (high_user_id);

CREATE TABLE members (
    chat_id       BLOB    NOT NULL REFERENCES chats (id) ON DELETE CASCADE,
    user_id       BLOB    NOT NULL REFERENCES users (id),
    role          INTEGER NOT NULL,  -- 0 owner, 1 admin, 2 member
    joined_at     INTEGER NOT NULL,
    last_read_seq INTEGER NOT NULL,
    last_read_at  INTEGER,
    PRIMARY KEY (chat_id, user_id)
) STRICT, WITHOUT ROWID;

-- A user's chats.
CREATE INDEX members_by_user ON members (user_id, chat_id);
-- The members of a chat who have read least.
CREATE INDEX members_by_read ON members (chat_id, last_read_seq, user_id);

-- No foreign keys: an append has just found the chat and the member in the same transaction, and
-- looking each up again would cost as much as the insert. The text stands last, so that counting
-- unread messages need not follow long ones to their overflow pages.
CREATE TABLE messages (
    chat_id           BLOB    NOT NULL,
    seq               INTEGER NOT NULL,
    id                BLOB    NOT NULL,
    kind              INTEGER NOT NULL,  -- 0 text, 1 image, 2 file, 3 system
    sender_id         BLOB,
    created_at        INTEGER NOT NULL,
    edited_at         INTEGER,
    deleted_at        INTEGER,
    client_message_id TEXT,
    text              TEXT,
    PRIMARY KEY (chat_id, seq)  -- pages, unread counts
) STRICT, WITHOUT ROWID;

-- Messages by id. New ids sort last, so it grows at its right edge.
CREATE UNIQUE INDEX messages_by_id ON messages (id);
-- Idempotent sends: the earlier message with the same id of the sender's own.
CREATE UNIQUE INDEX messages_by_client_id ON messages (chat_id, sender_id, client_message_id)
    WHERE client_message_id IS NOT NULL;
