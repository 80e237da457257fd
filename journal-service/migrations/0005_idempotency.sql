-- Requests to create an entry that name themselves (`Idempotency-Key`), so that one that is repeated makes no second entry.
-- Forgotten after a day.
CREATE TABLE idempotency_keys (
    user_id uuid NOT NULL,
    -- SHA-256 of what the client sent.
    key_hash bytea NOT NULL CHECK (octet_length(key_hash) = 32),
    -- What it made.
    entry_id uuid NOT NULL,
    -- A digest of what was asked for, sealed: in clear it would tell whoever guesses the text that they are right.
    request_sealed bytea NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, key_hash)
);
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (created_at);
