-- A person's authenticator. Until it is confirmed it protects nothing and may be replaced; afterwards logging in needs
-- it. The secret is sealed under the person's own key and bound to this row.
CREATE TABLE totp_factors (
    user_id uuid PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,
    factor_id uuid NOT NULL UNIQUE,
    secret_sealed bytea NOT NULL,
    created_at timestamptz NOT NULL,
    confirmed_at timestamptz,
    -- The time step whose code was used last: no code of it or of an older one works again.
    last_step bigint NOT NULL DEFAULT 0,
    -- Wrong codes since the last right one, and how long they make the account wait.
    failures bigint NOT NULL DEFAULT 0 CHECK (failures >= 0),
    locked_until timestamptz
);
CREATE INDEX totp_factors_unconfirmed ON totp_factors (created_at) WHERE confirmed_at IS NULL;

-- What a person wrote down for the day their authenticator is gone: keyed hashes, bound to the person. A used code's
-- row is deleted.
CREATE TABLE recovery_codes (
    user_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    code_hash bytea NOT NULL,
    PRIMARY KEY (user_id, code_hash)
);

-- Logins whose password was right and whose second factor is still to be shown. What the client holds is stored as
-- its hash.
CREATE TABLE mfa_challenges (
    token_hash bytea PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    -- Of the account when the password was compared.
    epoch bigint NOT NULL,
    tries bigint NOT NULL DEFAULT 0 CHECK (tries >= 0),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX mfa_challenges_by_person ON mfa_challenges (user_id);
CREATE INDEX mfa_challenges_by_end ON mfa_challenges (expires_at);
