-- Stores an entry beside the key that it was sealed under, which stays until it is stored; false when that key is not there in these
-- bytes any more, or the journal is closed. As one statement it took longer to plan than to execute: Postgres keeps the plans of
-- a function for as long as a session lasts, also behind a pooler that would lose a prepared statement.
CREATE FUNCTION store_entry(
    person uuid, id uuid, day date, counted bigint, created timestamptz, updated timestamptz,
    title bytea, body bytea, details bytea, beside bytea
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM data_keys WHERE user_id = person AND wrapped_key = beside FOR KEY SHARE;
    -- Each statement sees what was committed before it: nobody closes the journal unseen while the key is waited for.
    IF NOT FOUND OR EXISTS (SELECT FROM closed_journals WHERE user_id = person) THEN
        RETURN false;
    END IF;
    INSERT INTO entries (user_id, entry_id, date, revision, created_at, updated_at, title_sealed, body_sealed, details_sealed)
    VALUES (person, id, day, counted, created, updated, title, body, details);
    RETURN true;
END $$;
