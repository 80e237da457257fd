-- One row per signed-in device. The counter is all there is of a refresh token.
CREATE TABLE sessions (
    session_id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    counter bigint NOT NULL DEFAULT 0 CHECK (counter >= 0),
    advanced_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    -- When and how the person proved who they are (RFC 8176).
    auth_time timestamptz NOT NULL,
    amr text[] NOT NULL,
    epoch bigint NOT NULL,
    ended_at timestamptz,
    end_reason text
);
CREATE INDEX sessions_by_person ON sessions (user_id);
CREATE INDEX sessions_by_end ON sessions (expires_at);
