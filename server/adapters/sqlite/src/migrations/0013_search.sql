-- The search of messages by their words; see `search.rs`.

-- A message's words, folded, each between spaces; the sender among them. NULL where it has no text, and
-- where it was kept by an earlier release and the job below has not come to it yet.
ALTER TABLE messages ADD COLUMN words TEXT;

-- Which parts of a chat have a word. A node of level 1 is 32 messages, one of level 2 is 32 of those, and
-- so on; there are only such that are full. Bit n of `children` says that the n-th part has the word.
CREATE TABLE search_nodes (
    chat_id  BLOB    NOT NULL,
    level    INTEGER NOT NULL,
    node     INTEGER NOT NULL,  -- from 0
    word     TEXT    NOT NULL,
    children INTEGER NOT NULL,
    PRIMARY KEY (chat_id, level, node, word)
) STRICT, WITHOUT ROWID;

-- What is there is indexed by a job, step by step.
INSERT OR IGNORE INTO jobs (id, kind, payload, created_at, state, due_at, version, attempts, last_error)
SELECT x'00000000000000000000000000000100', 'fillSearchIndex.1', '{}',
    unixepoch() * 1000, 0, unixepoch() * 1000, 0, 0, NULL
WHERE EXISTS (SELECT 1 FROM users);
