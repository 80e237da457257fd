-- Nothing here is readable to whoever steals it: addresses are a keyed index and a sealed text, passwords
-- are bcrypt over a peppered HMAC, tokens are hashes.

-- An account exists only when its address is confirmed.
CREATE TABLE accounts (
    user_id uuid PRIMARY KEY,
    -- HMAC of the normalised address: for looking up, and for being the only account of its address.
    email_index bytea NOT NULL UNIQUE,
    email_sealed bytea NOT NULL,
    -- The person's data key, as the vault wrapped it.
    wrapped_key bytea NOT NULL,
    key_generation bigint NOT NULL CHECK (key_generation BETWEEN 1 AND 4294967295),
    password_hash text NOT NULL,
    pepper_version bigint NOT NULL,
    -- Sessions of an older epoch are over.
    session_epoch bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    disabled_at timestamptz
);

-- The service's own data keys, for what belongs to no account yet. The id is the vault's subject.
CREATE TABLE service_keys (
    key_id uuid PRIMARY KEY,
    purpose text NOT NULL UNIQUE,
    wrapped_key bytea NOT NULL,
    created_at timestamptz NOT NULL
);

-- Sign-ups that wait for their mail to be answered. Any number for one address, none of which touches
-- another or an account until one is confirmed. The id becomes the person's.
CREATE TABLE pending_signups (
    pending_id uuid PRIMARY KEY,
    email_index bytea NOT NULL,
    -- The address, and from where it was signed up.
    sealed bytea NOT NULL,
    service_key_id uuid NOT NULL REFERENCES service_keys,
    password_hash text NOT NULL,
    pepper_version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX pending_signups_by_address ON pending_signups (email_index);
CREATE INDEX pending_signups_by_end ON pending_signups (expires_at);

-- What was mailed for a sign-up, hashed. A further mail voids none before it: whoever asks for one must not be
-- able to take the link out of another person's hands.
CREATE TABLE verification_tokens (
    token_hash bytea PRIMARY KEY,
    pending_id uuid NOT NULL REFERENCES pending_signups ON DELETE CASCADE
);
CREATE INDEX verification_tokens_by_signup ON verification_tokens (pending_id);

-- Mail to be decided and sent, at least once.
CREATE TABLE outbox (
    message_id uuid PRIMARY KEY,
    sealed bytea NOT NULL,
    service_key_id uuid NOT NULL REFERENCES service_keys,
    created_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    attempts bigint NOT NULL DEFAULT 0
);
CREATE INDEX outbox_by_time ON outbox (due_at);
