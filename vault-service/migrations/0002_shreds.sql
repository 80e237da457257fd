-- A shredded subject keeps its row without a salt: the tombstone that no later request can fill again, because
-- there is one row per subject and whoever makes a slot inserts it.
ALTER TABLE subjects
    ALTER COLUMN sealed_salt DROP NOT NULL,
    ALTER COLUMN mek_version DROP NOT NULL,
    ADD CONSTRAINT subjects_salt_has_a_master_key CHECK ((sealed_salt IS NULL) = (mek_version IS NULL));

-- Subjects that are being shredded, and those that have been. While one waits, its salt is still there and no key of
-- it is opened; a restore deletes the row. From `purged_at` on it stays for good.
CREATE TABLE shreds (
    shred_id uuid PRIMARY KEY,
    subject uuid NOT NULL UNIQUE,
    requested_at timestamptz NOT NULL,
    purge_at timestamptz NOT NULL,
    purged_at timestamptz,
    -- What the vault signed when the salt went.
    receipt text,
    CONSTRAINT shreds_receipt_when_purged CHECK ((purged_at IS NULL) = (receipt IS NULL))
);
CREATE INDEX shreds_waiting ON shreds (purge_at) WHERE purged_at IS NULL;
CREATE INDEX shreds_done ON shreds (purged_at) WHERE purged_at IS NOT NULL;

-- The public half of the key that signs receipts, per master key version, so that a receipt still verifies when its
-- master key has been destroyed.
ALTER TABLE master_keys ADD COLUMN receipt_key bytea CHECK (octet_length(receipt_key) = 32);

-- Service tokens that were good for one request and have been used.
CREATE TABLE spent_tokens (
    token_id uuid PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
CREATE INDEX spent_tokens_by_end ON spent_tokens (expires_at);
