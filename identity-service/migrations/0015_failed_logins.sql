-- Logins that failed, for the trail of whoever has the address: the same row for every address. The worker finds out
-- whether there is an account, seconds later, and deletes the row.
CREATE TABLE failed_logins (
    -- Becomes the id of the person's event.
    attempt_id uuid PRIMARY KEY,
    -- The address, user agent and network.
    sealed bytea NOT NULL,
    service_key_id uuid NOT NULL REFERENCES service_keys,
    created_at timestamptz NOT NULL
);
CREATE INDEX failed_logins_by_time ON failed_logins (created_at);
