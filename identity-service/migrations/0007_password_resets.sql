-- Owner notices wait in the outbox beside the errands of requests. Who is told what stands in the clear, so that
-- a notice can be queued while the vault is away; the device is sealed under the person's key, and missing then.
ALTER TABLE outbox
    ALTER COLUMN sealed DROP NOT NULL,
    ALTER COLUMN service_key_id DROP NOT NULL,
    ADD COLUMN user_id uuid REFERENCES accounts ON DELETE CASCADE,
    ADD COLUMN notice text,
    ADD COLUMN device_sealed bytea,
    ADD CONSTRAINT outbox_errand_is_sealed CHECK ((sealed IS NULL) = (service_key_id IS NULL)),
    ADD CONSTRAINT outbox_notice_has_a_person CHECK ((user_id IS NULL) = (notice IS NULL)),
    ADD CONSTRAINT outbox_errand_or_notice CHECK ((sealed IS NULL) <> (notice IS NULL));
CREATE INDEX outbox_by_person ON outbox (user_id) WHERE user_id IS NOT NULL;

-- What was mailed to somebody who forgot a password, hashed. Deleting the row is using it, and whatever raises the
-- account's epoch makes it void.
CREATE TABLE password_resets (
    token_hash bytea PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    epoch bigint NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX password_resets_by_person ON password_resets (user_id);
CREATE INDEX password_resets_by_end ON password_resets (expires_at);

-- How much mail of a kind an address has had, with or without an account: every mail moves `spent_until` one
-- step on from what it is or from now (GCRA). A row whose moment has passed counts nothing.
CREATE TABLE mail_allowances (
    email_index bytea NOT NULL,
    kind text NOT NULL,
    spent_until timestamptz NOT NULL,
    PRIMARY KEY (email_index, kind)
);
CREATE INDEX mail_allowances_by_end ON mail_allowances (spent_until);
