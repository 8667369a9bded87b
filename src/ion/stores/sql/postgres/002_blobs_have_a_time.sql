-- When a blob was last put: one that no run refers to is only forgotten a while after (`delete_blobs`).
ALTER TABLE ion.blobs ADD COLUMN put_at timestamptz NOT NULL DEFAULT now();
