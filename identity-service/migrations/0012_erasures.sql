-- An account whose deletion was asked for has no address any more, so nothing finds it by one and somebody else may sign
-- up with it; and it stays disabled, whoever tries to enable it.
ALTER TABLE accounts
    ALTER COLUMN email_index DROP NOT NULL,
    ADD CONSTRAINT accounts_without_address_are_disabled CHECK (email_index IS NOT NULL OR disabled_at IS NOT NULL);

-- Deletions, each with how far it has come. No reference to accounts: the row outlives the account's.
CREATE TABLE erasures (
    erasure_id uuid PRIMARY KEY,
    user_id uuid NOT NULL UNIQUE,
    requested_at timestamptz NOT NULL,
    -- Until then it can be undone; soon after, everything goes.
    purge_at timestamptz NOT NULL,
    -- When no backup holds anything that could be opened.
    total_by timestamptz NOT NULL,
    -- What the account had before, for undoing it. The index goes with the account.
    email_index bytea,
    disabled_at timestamptz,
    -- The steps, in their order.
    owner_told_at timestamptz,
    shred_id uuid,
    others_closed_at timestamptz,
    -- The vault's proof that the person's key is gone.
    receipt text,
    done_at timestamptz,
    -- When the next step, or the next look at whether it lasts, is due.
    due_at timestamptz,
    attempts bigint NOT NULL DEFAULT 0
);
CREATE INDEX erasures_by_time ON erasures (due_at) WHERE due_at IS NOT NULL;
