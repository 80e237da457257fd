-- Every table is keyed by the person first, so that it shards by user_id and partitions by its hash unchanged.

-- A person's data keys, wrapped by the vault: useless without it. The row is written once, before anything is
-- sealed under its key.
CREATE TABLE data_keys (
    user_id uuid NOT NULL,
    purpose text NOT NULL,
    generation bigint NOT NULL CHECK (generation BETWEEN 1 AND 4294967295),
    wrapped_key bytea NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, purpose, generation)
);

-- Entries. In clear: whose, which, about which day, which revision, when. The rest is sealed for exactly this
-- person, entry, column and revision, and repeats what is in clear.
CREATE TABLE entries (
    user_id uuid NOT NULL,
    entry_id uuid NOT NULL,
    date date NOT NULL CHECK (date BETWEEN '0001-01-01' AND '9999-12-31'),
    revision bigint NOT NULL CHECK (revision > 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    title_sealed bytea NOT NULL,
    body_sealed bytea NOT NULL,
    details_sealed bytea NOT NULL,
    PRIMARY KEY (user_id, entry_id)
);
CREATE INDEX entries_by_day ON entries (user_id, date DESC, entry_id DESC);

-- Ciphertext does not compress: do not try.
ALTER TABLE entries
    ALTER COLUMN title_sealed SET STORAGE EXTERNAL,
    ALTER COLUMN body_sealed SET STORAGE EXTERNAL,
    ALTER COLUMN details_sealed SET STORAGE EXTERNAL;
