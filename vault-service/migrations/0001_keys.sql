-- Which master key each version is, as eight bytes that tell keys apart and reveal neither. A start with
-- another key under a known version is refused.
CREATE TABLE master_keys (
    version bigint PRIMARY KEY CHECK (version BETWEEN 1 AND 4294967295),
    kcv bytea NOT NULL CHECK (octet_length(kcv) = 8),
    first_seen_at timestamptz NOT NULL
);

-- One slot per subject: the salt that every key of theirs depends on, sealed under a master key.
CREATE TABLE subjects (
    subject uuid PRIMARY KEY,
    sealed_salt bytea NOT NULL CHECK (octet_length(sealed_salt) = 100),
    mek_version bigint NOT NULL REFERENCES master_keys,
    created_at timestamptz NOT NULL
);
CREATE INDEX subjects_by_mek_version ON subjects (mek_version);

-- Every data key ever handed out and the master key that wraps it; the key itself is with its owner.
-- A key whose subject is gone can never be opened again, so it no longer holds a master key back.
CREATE TABLE data_keys (
    dek_id uuid PRIMARY KEY,
    owner text NOT NULL,
    subject uuid NOT NULL REFERENCES subjects ON DELETE CASCADE,
    purpose text NOT NULL,
    mek_version bigint NOT NULL REFERENCES master_keys,
    created_at timestamptz NOT NULL
);
CREATE INDEX data_keys_by_mek_version ON data_keys (mek_version);
CREATE INDEX data_keys_by_subject ON data_keys (subject);
