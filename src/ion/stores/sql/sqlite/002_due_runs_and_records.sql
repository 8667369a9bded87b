-- Since when, or from when on, there is something to do in a run that needs nobody's answer any more.
ALTER TABLE runs ADD COLUMN due_at INTEGER;

-- What has not ended is found without reading what has.
CREATE INDEX runs_not_ended ON runs (project, due_at) WHERE ended_at IS NULL;

-- What is kept beside the runs: the slots of schedules, the places of concurrency groups.
CREATE TABLE records (
    name TEXT PRIMARY KEY,
    text TEXT NOT NULL
) STRICT, WITHOUT ROWID;
