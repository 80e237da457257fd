-- The areas of a person's life, their order, and how each one has gone. In clear: whose, which, which revision, about which
-- day, when. The rest is sealed, and repeats what is in clear.

CREATE TABLE pillars (
    user_id uuid NOT NULL,
    pillar_id uuid NOT NULL,
    revision bigint NOT NULL CHECK (revision > 0),
    created_at timestamptz NOT NULL CHECK (created_at >= '0001-01-01T00:00Z' AND created_at < '10000-01-01T00:00Z'),
    updated_at timestamptz NOT NULL CHECK (updated_at >= '0001-01-01T00:00Z' AND updated_at < '10000-01-01T00:00Z'),
    content_sealed bytea NOT NULL,
    PRIMARY KEY (user_id, pillar_id)
);

-- One row for each person who ever put their pillars into an order: all of it, so that no place is taken twice.
CREATE TABLE pillar_orders (
    user_id uuid PRIMARY KEY,
    revision bigint NOT NULL CHECK (revision > 0),
    updated_at timestamptz NOT NULL CHECK (updated_at >= '0001-01-01T00:00Z' AND updated_at < '10000-01-01T00:00Z'),
    order_sealed bytea NOT NULL
);

-- Written once, and never changed. They go with their pillar.
CREATE TABLE pillar_scores (
    user_id uuid NOT NULL,
    pillar_id uuid NOT NULL,
    score_id uuid NOT NULL,
    date date NOT NULL CHECK (date BETWEEN '0001-01-01' AND '9999-12-31'),
    created_at timestamptz NOT NULL CHECK (created_at >= '0001-01-01T00:00Z' AND created_at < '10000-01-01T00:00Z'),
    content_sealed bytea NOT NULL,
    PRIMARY KEY (user_id, score_id),
    FOREIGN KEY (user_id, pillar_id) REFERENCES pillars ON DELETE CASCADE
);
CREATE INDEX pillar_scores_newest ON pillar_scores (user_id, pillar_id, date DESC, score_id DESC);
CREATE INDEX pillar_scores_by_day ON pillar_scores (user_id, date, score_id);

-- Ciphertext does not compress: do not try.
ALTER TABLE pillars ALTER COLUMN content_sealed SET STORAGE EXTERNAL;
ALTER TABLE pillar_orders ALTER COLUMN order_sealed SET STORAGE EXTERNAL;
ALTER TABLE pillar_scores ALTER COLUMN content_sealed SET STORAGE EXTERNAL;
