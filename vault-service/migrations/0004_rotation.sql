-- A master key wraps from the moment on at which every replica that runs has it; one that is no longer needed is
-- destroyed after a wait: its number, its key-check value and the key that verifies its receipts stay.
ALTER TABLE master_keys
    ADD COLUMN activated_at timestamptz,
    ADD COLUMN destroy_at timestamptz,
    ADD COLUMN destroyed_at timestamptz,
    ADD CONSTRAINT master_keys_destroyed_in_time CHECK (destroyed_at IS NULL OR destroy_at <= destroyed_at);
-- Until now the newest of each start wrapped.
UPDATE master_keys SET activated_at = first_seen_at;

-- The replicas that run, and the master keys that each has in memory. By the clock of the database: theirs may differ.
CREATE TABLE replicas (
    replica_id uuid PRIMARY KEY,
    versions bigint[] NOT NULL,
    seen_at timestamptz NOT NULL
);

-- Which of a service's keys still depend on an older master key.
CREATE INDEX data_keys_by_mek_version_and_owner ON data_keys (mek_version, owner);
DROP INDEX data_keys_by_mek_version;
