-- As SQLite's.
ALTER TABLE ion.runs ADD COLUMN due_at bigint;

CREATE INDEX runs_not_ended ON ion.runs (project, due_at) WHERE ended_at IS NULL;

CREATE TABLE ion.records (
    name text COLLATE "C" PRIMARY KEY,
    text text NOT NULL
);
