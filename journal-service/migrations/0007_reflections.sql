-- What a person writes once for a day (how it began, how it ended) or for a week (whose Monday it is). In clear: whose, of
-- which kind, about which day, which revision, when. The rest is sealed, and repeats what is in clear.
CREATE TABLE reflections (
    user_id uuid NOT NULL,
    date date NOT NULL CHECK (date BETWEEN '0001-01-01' AND '9999-12-31'),
    kind text NOT NULL CHECK (kind IN ('morning', 'evening', 'week')),
    revision bigint NOT NULL CHECK (revision > 0),
    created_at timestamptz NOT NULL CHECK (created_at >= '0001-01-01T00:00Z' AND created_at < '10000-01-01T00:00Z'),
    updated_at timestamptz NOT NULL CHECK (updated_at >= '0001-01-01T00:00Z' AND updated_at < '10000-01-01T00:00Z'),
    content_sealed bytea NOT NULL,
    PRIMARY KEY (user_id, date, kind)
);

-- Ciphertext does not compress: do not try.
ALTER TABLE reflections ALTER COLUMN content_sealed SET STORAGE EXTERNAL;
