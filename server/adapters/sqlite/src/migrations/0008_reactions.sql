-- Reactions to messages, and pinned messages.

-- How many reactions there are of each emoji, as JSON in the order in which each came first.
ALTER TABLE messages ADD COLUMN reactions TEXT;
-- The number of the change that has pinned the message; 0 where it is not pinned.
ALTER TABLE messages ADD COLUMN pinned_seq INTEGER NOT NULL DEFAULT 0;

-- A chat's pinned messages, in the order in which they were pinned; how many there are.
CREATE INDEX messages_pinned ON messages (chat_id, pinned_seq) WHERE pinned_seq > 0;

-- Who has reacted with what.
CREATE TABLE reactions (
    message_id BLOB    NOT NULL,
    user_id    BLOB    NOT NULL,
    emoji      TEXT    NOT NULL,
    change_seq INTEGER NOT NULL,  -- of the change that it came with
    PRIMARY KEY (message_id, user_id, emoji)
) STRICT, WITHOUT ROWID;

-- Those who have reacted with an emoji, in their order.
CREATE INDEX reactions_by_emoji ON reactions (message_id, emoji, change_seq, user_id);
