-- Keys that sign access tokens. The seed is sealed under a data key of its own, which only the vault opens. The
-- public key is not kept: it is made from the seed, so that nobody who writes here can have their own published.
CREATE TABLE signing_keys (
    kid text PRIMARY KEY,
    -- The subject of its data key in the vault.
    key_id uuid NOT NULL UNIQUE,
    state text NOT NULL CHECK (state IN ('next', 'active', 'retired')),
    sealed_seed bytea NOT NULL,
    wrapped_key bytea NOT NULL,
    created_at timestamptz NOT NULL,
    activated_at timestamptz,
    retired_at timestamptz
);
-- However many replicas start or rotate at once: one key signs, one waits.
CREATE UNIQUE INDEX signing_keys_one_of_each ON signing_keys (state) WHERE state <> 'retired';
