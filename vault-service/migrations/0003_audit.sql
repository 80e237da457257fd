-- Who opened, made or destroyed what: one chain of records for each run of a replica, each record bound to all before it
-- by a MAC whose key is derived from a master key. Nothing here is ever changed or deleted.
CREATE TABLE audit_chains (
    chain_id uuid PRIMARY KEY,
    mek_version bigint NOT NULL REFERENCES master_keys,
    opened_at timestamptz NOT NULL,
    -- Where the other chains were when this one began: chain (16 bytes), number (8, big endian) and MAC (32) of the
    -- newest record of each that had moved since it was last noted so. Under the MAC of this chain's first record.
    others bytea NOT NULL CHECK (octet_length(others) % 56 = 0)
);

CREATE TABLE audit_records (
    chain_id uuid NOT NULL REFERENCES audit_chains,
    number bigint NOT NULL CHECK (number >= 0),
    at timestamptz NOT NULL,
    -- NULL for what the vault does by itself.
    caller text,
    operation text NOT NULL,
    purpose text,
    subject uuid,
    dek_id uuid,
    outcome text NOT NULL,
    request_id text,
    mac bytea NOT NULL CHECK (octet_length(mac) = 32),
    PRIMARY KEY (chain_id, number)
);
CREATE INDEX audit_records_by_caller ON audit_records (caller, at);
CREATE INDEX audit_records_by_subject ON audit_records (subject, at DESC) WHERE subject IS NOT NULL;
