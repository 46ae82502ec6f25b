-- Membership and changes of messages on the lines of a chat.
-- Memberships that have ended keep their row: `left_seq` says so.

ALTER TABLE chats ADD COLUMN title TEXT;
ALTER TABLE chats ADD COLUMN title_key TEXT;  -- lower-cased by the server
ALTER TABLE chats ADD COLUMN last_change_seq INTEGER NOT NULL DEFAULT 0;
-- The newest system message; a direct chat has none.
ALTER TABLE chats ADD COLUMN applied_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE chats DROP COLUMN membership_epoch;

ALTER TABLE members ADD COLUMN joined_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE members ADD COLUMN visible_from_seq INTEGER NOT NULL DEFAULT 1;
-- The system message that ended the membership; NULL for who is a member.
ALTER TABLE members ADD COLUMN left_seq INTEGER;
ALTER TABLE members ADD COLUMN is_muted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE members ADD COLUMN version INTEGER NOT NULL DEFAULT 1;

DROP INDEX members_by_user;
DROP INDEX members_by_read;
-- A user's chats.
CREATE INDEX members_by_user ON members (user_id, chat_id) WHERE left_seq IS NULL;
-- The chats that a user has left.
CREATE INDEX members_who_left ON members (user_id, chat_id, left_seq) WHERE left_seq IS NOT NULL;
-- The versions of all memberships that a user has or had.
CREATE INDEX members_by_version ON members (user_id, version);
-- The members of a chat who have read least.
CREATE INDEX members_by_read ON members (chat_id, last_read_seq, user_id) WHERE left_seq IS NULL;
-- The owners of a group, and who would take over from the last one.
CREATE INDEX members_by_role ON members (chat_id, role, joined_seq, user_id)
    WHERE left_seq IS NULL;
-- The one group that a creator has made under an id of their own.
CREATE TABLE groups_by_client_id (
    creator_id     BLOB NOT NULL REFERENCES users (id),
    client_chat_id TEXT NOT NULL,
    chat_id        BLOB NOT NULL REFERENCES chats (id) ON DELETE CASCADE,
    PRIMARY KEY (creator_id, client_chat_id)
) STRICT, WITHOUT ROWID;

-- The cascade from chats.
CREATE INDEX groups_by_chat ON groups_by_client_id (chat_id);

ALTER TABLE messages ADD COLUMN mseq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN change_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN content_seq INTEGER NOT NULL DEFAULT 0;
-- What a system message says, as JSON.
ALTER TABLE messages ADD COLUMN notice TEXT;
-- Tells whether a retry has the same content, also when the text is gone.
ALTER TABLE messages ADD COLUMN fingerprint BLOB;

-- The line of changes: each changed message under the number of its latest change.
CREATE UNIQUE INDEX messages_by_change ON messages (chat_id, change_seq) WHERE change_seq > 0;
