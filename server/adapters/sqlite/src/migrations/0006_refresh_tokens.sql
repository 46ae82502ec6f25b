-- A session's refresh tokens by their generation, in place of a row for each that was replaced.

DROP TABLE retired_tokens;

-- The refresh tokens of before name no generation and are not read any more, so that nobody can
-- go on with these sessions.
DELETE FROM sessions;

ALTER TABLE sessions ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;  -- how many tokens there were before
ALTER TABLE sessions ADD COLUMN replaced_hash BLOB;   -- of the token before
ALTER TABLE sessions ADD COLUMN successor_salt BLOB;  -- what the present token was made of
ALTER TABLE sessions ADD COLUMN replaced_at INTEGER;
