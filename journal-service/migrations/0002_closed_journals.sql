-- People whose accounts are being deleted, or have been. From then on nothing of theirs is read or written, whatever
-- tokens still live and whichever replica is asked. `erased_at` is when their rows went; the row here stays, so that
-- nothing new comes after them.
CREATE TABLE closed_journals (
    user_id uuid PRIMARY KEY,
    closed_at timestamptz NOT NULL,
    erased_at timestamptz
);

-- Service tokens that were good for one request and have been used. Of no person: a table of its own kind.
CREATE TABLE spent_tokens (
    token_id uuid PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
CREATE INDEX spent_tokens_by_end ON spent_tokens (expires_at);
