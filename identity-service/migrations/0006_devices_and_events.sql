-- Where a session was opened: user agent and network, sealed under the person's key. NULL when the vault could not
-- be asked at that moment: a login does not wait for it.
ALTER TABLE sessions ADD COLUMN device_sealed bytea;

-- What happened to an account, for its person to see. Ids are UUIDv7, so they are also the order.
CREATE TABLE security_events (
    user_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    event_id uuid NOT NULL,
    kind text NOT NULL,
    created_at timestamptz NOT NULL,
    device_sealed bytea,
    PRIMARY KEY (user_id, event_id)
);
CREATE INDEX security_events_by_time ON security_events (created_at);
