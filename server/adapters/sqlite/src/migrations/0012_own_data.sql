-- Deleted accounts, and finding what there is of a user.

-- A deleted account keeps its row: others' messages and notices name it. In the place of its address
-- stands its id.
ALTER TABLE users ADD COLUMN deleted_at INTEGER;
-- Nobody finds it by name.
DROP INDEX users_by_name;
CREATE INDEX users_by_name ON users (name_key, id) WHERE deleted_at IS NULL;

-- A direct chat to which nobody can send any more.
ALTER TABLE chats ADD COLUMN is_closed INTEGER NOT NULL DEFAULT 0;

-- What a user has reacted to.
CREATE INDEX reactions_by_user ON reactions (user_id, message_id, emoji);
-- What a user has sent.
CREATE INDEX attachments_by_owner ON attachments (owner_id, id);
