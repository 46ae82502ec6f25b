-- What an application keeps for itself beside users, messages and groups: JSON, at most 4 KiB.

ALTER TABLE users ADD COLUMN metadata TEXT;
ALTER TABLE messages ADD COLUMN metadata TEXT;
-- Of a group, the number of the system message that says it; 0 for none. The row is rewritten by each
-- message and stays short.
ALTER TABLE chats ADD COLUMN metadata_seq INTEGER NOT NULL DEFAULT 0;
