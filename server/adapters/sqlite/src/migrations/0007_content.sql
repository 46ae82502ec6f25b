-- What an application keeps for itself beside users, messages and groups: JSON, at most 4 KiB.

ALTER TABLE users ADD COLUMN metadata TEXT;
ALTER TABLE messages ADD COLUMN metadata TEXT;
-- Of a group, the number of the system message that says it; 0 for none. The row is rewritten by each
-- message and stays short.
ALTER TABLE chats ADD COLUMN metadata_seq INTEGER NOT NULL DEFAULT 0;

-- Replies: the number of the message that one answers. A deleted reply is none any more.
ALTER TABLE messages ADD COLUMN reply_to INTEGER;
CREATE INDEX messages_by_reply ON messages (chat_id, reply_to, seq) WHERE reply_to IS NOT NULL;

-- Mentions: the list of each message, ids of 16 bytes one behind the other; and who is mentioned in a
-- message of somebody else, by number.
ALTER TABLE messages ADD COLUMN mentions BLOB;
CREATE TABLE mentions (
    chat_id BLOB    NOT NULL,
    user_id BLOB    NOT NULL,
    seq     INTEGER NOT NULL,
    PRIMARY KEY (chat_id, user_id, seq)
) STRICT, WITHOUT ROWID;

-- From which message on a member shows the chat as unread by hand.
ALTER TABLE members ADD COLUMN unread_from_seq INTEGER;
