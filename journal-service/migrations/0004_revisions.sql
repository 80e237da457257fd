-- Entries as they were before each edit, sealed as they were: the row that an edit replaces, unchanged. They go with their
-- entry.
CREATE TABLE entry_revisions (
    user_id uuid NOT NULL,
    entry_id uuid NOT NULL,
    date date NOT NULL,
    revision bigint NOT NULL CHECK (revision > 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    title_sealed bytea NOT NULL,
    body_sealed bytea NOT NULL,
    details_sealed bytea NOT NULL,
    PRIMARY KEY (user_id, entry_id, revision),
    FOREIGN KEY (user_id, entry_id) REFERENCES entries ON DELETE CASCADE
);

ALTER TABLE entry_revisions
    ALTER COLUMN title_sealed SET STORAGE EXTERNAL,
    ALTER COLUMN body_sealed SET STORAGE EXTERNAL,
    ALTER COLUMN details_sealed SET STORAGE EXTERNAL;
