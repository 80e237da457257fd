-- How often somebody has tried of late to guess one thing: the password of an address, whether or not it has an
-- account, or the password of an account from one device that it knows. Rows live for minutes: no reference to
-- accounts, so that no attempt can fail because an account went.
CREATE TABLE lockouts (
    -- A MAC of what is guessed at.
    bucket bytea PRIMARY KEY,
    -- Whose device it is. Never told of an address: the row is the same for every address.
    user_id uuid,
    -- Counted before anything is compared; those that were turned away count on.
    attempts bigint NOT NULL CHECK (attempts >= 0),
    -- When all of them are forgotten, and a full bucket opens again.
    over_at timestamptz NOT NULL
);
CREATE INDEX lockouts_by_person ON lockouts (user_id) WHERE user_id IS NOT NULL;
