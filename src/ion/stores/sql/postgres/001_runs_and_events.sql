-- The same as SQLite's, with the outputs that are too big for the log as well: kept in pieces, under their hash.
-- Texts are compared byte by byte (COLLATE "C"), as everywhere else in Ion. Times are milliseconds since the epoch.

CREATE TABLE ion.runs (
    run_id text COLLATE "C" PRIMARY KEY,
    workflow text COLLATE "C" NOT NULL,
    project text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    digest text COLLATE "C" NOT NULL,
    started_at bigint NOT NULL,
    ended_at bigint,
    last_seq bigint NOT NULL,
    epoch bigint NOT NULL,
    owner text,
    lease_expires_at bigint
);

CREATE INDEX runs_newest ON ion.runs (started_at, run_id);

CREATE INDEX runs_of_project ON ion.runs (project, started_at, run_id);

CREATE TABLE ion.sources (
    run_id text COLLATE "C" PRIMARY KEY REFERENCES ion.runs ON DELETE CASCADE,
    source bytea NOT NULL,
    checksum bigint NOT NULL
);

CREATE TABLE ion.events (
    run_id text COLLATE "C" NOT NULL REFERENCES ion.runs ON DELETE CASCADE,
    seq bigint NOT NULL,
    event text NOT NULL,
    checksum bigint NOT NULL,
    PRIMARY KEY (run_id, seq)
);

CREATE TABLE ion.requests (
    run_id text COLLATE "C" NOT NULL REFERENCES ion.runs ON DELETE CASCADE,
    request text COLLATE "C" NOT NULL,
    node text COLLATE "C" NOT NULL,
    PRIMARY KEY (run_id, request)
);

CREATE INDEX requests_of_node ON ion.requests (run_id, node);

CREATE TABLE ion.blobs (
    sha256 text COLLATE "C" PRIMARY KEY,
    size bigint NOT NULL
);

CREATE TABLE ion.blob_chunks (
    sha256 text COLLATE "C" NOT NULL REFERENCES ion.blobs ON DELETE CASCADE,
    number bigint NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (sha256, number)
);

ALTER TABLE ion.blob_chunks ALTER COLUMN data SET STORAGE EXTERNAL;
