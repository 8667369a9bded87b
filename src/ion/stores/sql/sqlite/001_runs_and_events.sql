-- The log is the truth: `runs` and `requests` are derived from it in the same transaction. The frozen source stands
-- apart from the row, so that updating or listing runs never touches it. Times are milliseconds since the epoch.

CREATE TABLE runs (
    run_id TEXT PRIMARY KEY,
    workflow TEXT NOT NULL,
    project TEXT NOT NULL,
    status TEXT NOT NULL,
    digest TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    last_seq INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    owner TEXT,
    lease_expires_at INTEGER
) STRICT;

CREATE INDEX runs_newest ON runs (started_at, run_id);

CREATE INDEX runs_of_project ON runs (project, started_at, run_id);

CREATE TABLE sources (
    run_id TEXT PRIMARY KEY REFERENCES runs (run_id) ON DELETE CASCADE,
    source BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;

CREATE TABLE events (
    run_id TEXT NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    event TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (run_id, seq)
) STRICT, WITHOUT ROWID;

-- Requests that wait for an answer: what a compare-and-set looks at.
CREATE TABLE requests (
    run_id TEXT NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
    request TEXT NOT NULL,
    node TEXT NOT NULL,
    PRIMARY KEY (run_id, request)
) STRICT, WITHOUT ROWID;

CREATE INDEX requests_of_node ON requests (run_id, node);
