-- The audit keys of older master keys, each sealed under the one that wraps now: their chains are still checked when they
-- have been destroyed. An audit key verifies records and opens nothing.
CREATE TABLE kept_audit_keys (
    mek_version bigint PRIMARY KEY REFERENCES master_keys,
    sealed_under bigint NOT NULL REFERENCES master_keys,
    sealed bytea NOT NULL CHECK (octet_length(sealed) = 100)
);
