-- What users have reported to the operators of the server. It refers to messages and keeps no copy.

CREATE TABLE reports (
    id          BLOB    NOT NULL PRIMARY KEY,
    message_id  BLOB    NOT NULL,
    chat_id     BLOB    NOT NULL,
    sender_id   BLOB    NOT NULL,
    reported_by BLOB    NOT NULL,
    reason      TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    state       INTEGER NOT NULL,  -- 0 open, 1 resolved
    resolved_by BLOB,
    resolution  TEXT
) STRICT, WITHOUT ROWID;

-- Pages of those in a state, newest first.
CREATE INDEX reports_by_state ON reports (state, id);
-- One open report for a user and a message.
CREATE UNIQUE INDEX reports_open ON reports (message_id, reported_by) WHERE state = 0;
-- What goes with a deleted account: what the user has reported, and what of theirs was.
CREATE INDEX reports_by_reporter ON reports (reported_by);
CREATE INDEX reports_by_sender ON reports (sender_id);

-- Accounts that may not be used. Those that have run out are deleted by who suspends another.
CREATE TABLE suspensions (
    user_id      BLOB    NOT NULL PRIMARY KEY,
    suspended_at INTEGER NOT NULL,
    ends_at      INTEGER,  -- null: an operator has to end it
    why          TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- Pages, last suspended first.
CREATE INDEX suspensions_by_age ON suspensions (suspended_at, user_id);
-- Those that have run out.
CREATE INDEX suspensions_by_end ON suspensions (ends_at) WHERE ends_at IS NOT NULL;

-- What operators did. Only added to.
CREATE TABLE audit_log (
    id          BLOB    NOT NULL PRIMARY KEY,
    at          INTEGER NOT NULL,
    operator_id BLOB    NOT NULL,
    act         TEXT    NOT NULL  -- JSON
) STRICT, WITHOUT ROWID;
