-- Addresses that people want for their accounts, until they are confirmed there. Deleting the row is using its token,
-- and whatever raises the account's epoch, another change of address among it, makes it void.
CREATE TABLE address_changes (
    change_id uuid PRIMARY KEY,
    -- What was mailed to the new address, hashed.
    token_hash bytea NOT NULL UNIQUE,
    user_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    epoch bigint NOT NULL,
    -- The new address, under the person's key.
    email_sealed bytea NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX address_changes_by_person ON address_changes (user_id);
CREATE INDEX address_changes_by_end ON address_changes (expires_at);
