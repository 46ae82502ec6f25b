-- Who has blocked whom.

CREATE TABLE blocks (
    blocker_id BLOB    NOT NULL,
    blocked_id BLOB    NOT NULL,
    number     INTEGER NOT NULL,  -- the blocker's block_version with which it came
    PRIMARY KEY (blocker_id, blocked_id)
) STRICT, WITHOUT ROWID;

-- Whom a user has blocked, in the list's order; how many.
CREATE UNIQUE INDEX blocks_by_number ON blocks (blocker_id, number);
-- Who has blocked a user whose account is deleted.
CREATE INDEX blocks_by_blocked ON blocks (blocked_id);

-- Rises with every change of whom the user has blocked.
ALTER TABLE users ADD COLUMN block_version INTEGER NOT NULL DEFAULT 0;
-- In a direct chat: whether either of the two has blocked the other. It stands where each message
-- looks for its sender.
ALTER TABLE members ADD COLUMN is_blocked INTEGER NOT NULL DEFAULT 0;
