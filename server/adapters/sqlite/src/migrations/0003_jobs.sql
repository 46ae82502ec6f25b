-- Durable jobs, each written in the transaction of its cause.

CREATE TABLE jobs (
    id         BLOB    NOT NULL PRIMARY KEY,
    kind       TEXT    NOT NULL,
    payload    TEXT    NOT NULL,  -- JSON
    created_at INTEGER NOT NULL,
    state      INTEGER NOT NULL,  -- 0 waiting, 1 running, 2 failed
    due_at     INTEGER NOT NULL,
    version    INTEGER NOT NULL,  -- rises with each change
    attempts   INTEGER NOT NULL,
    last_error TEXT
) STRICT, WITHOUT ROWID;

-- What is due of a kind; what runs; what has failed.
CREATE INDEX jobs_by_state ON jobs (state, kind, due_at);
