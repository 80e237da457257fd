-- What has changed in a person's journal, in an order that a client can follow. Each record is here once, at the place of
-- its latest change, or as a tombstone when it was deleted. In clear: which record of which kind, and when it was deleted.
CREATE TABLE changes (
    user_id uuid NOT NULL,
    kind text NOT NULL,
    -- Its id as the API writes it.
    record text COLLATE "C" NOT NULL,
    number bigint NOT NULL CHECK (number > 0),
    deleted_at timestamptz,
    PRIMARY KEY (user_id, kind, record)
);
CREATE UNIQUE INDEX changes_in_order ON changes (user_id, number);

-- How far the numbers of a person have come. A sequence would not do: of two transactions the one with the later number
-- may end first, and a client that read it would never see the other. This row stays locked until the transaction that
-- took a number ends, so that whoever sees a number sees all below it. It makes only writers of one person wait.
CREATE TABLE change_counters (
    user_id uuid PRIMARY KEY,
    last bigint NOT NULL,
    -- Part of every cursor. Changed after a restore (see the run book), it tells clients to begin again.
    epoch uuid NOT NULL DEFAULT gen_random_uuid()
);

-- Notes records that a statement has written. `added` says that there may be no counter yet: rows are only ever added
-- beside their person's key, and erasing takes the keys first. An edit and a deletion begin none, so that erasing leaves
-- nothing here.
CREATE FUNCTION note_changes(user_ids uuid[], kind_noted text, records text[], added boolean, deleted timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    person record;
    upto bigint;
BEGIN
    -- In one order, so that two statements about several people never wait for each other.
    FOR person IN SELECT user_id, count(*) AS rows FROM unnest(user_ids) AS noted (user_id)
                  GROUP BY user_id ORDER BY user_id LOOP
        IF added THEN
            INSERT INTO change_counters AS counter (user_id, last) VALUES (person.user_id, person.rows)
            ON CONFLICT (user_id) DO UPDATE SET last = counter.last + person.rows
            RETURNING last INTO upto;
        ELSE
            UPDATE change_counters AS counter SET last = last + person.rows
            WHERE counter.user_id = person.user_id RETURNING last INTO upto;
        END IF;
        CONTINUE WHEN upto IS NULL;
        INSERT INTO changes AS known (user_id, kind, record, number, deleted_at)
        SELECT noted.user_id, kind_noted, noted.record, upto - row_number() OVER () + 1, deleted
        FROM unnest(user_ids, records) AS noted (user_id, record)
        WHERE noted.user_id = person.user_id
        ON CONFLICT (user_id, kind, record) DO UPDATE SET number = excluded.number, deleted_at = excluded.deleted_at;
    END LOOP;
END $$;

-- Triggers, and not the statements of the service: an older version of it that still runs beside this one notes its changes
-- as well, and no statement can forget to.
CREATE FUNCTION note_entries() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    user_ids uuid[];
    records text[];
BEGIN
    SELECT array_agg(user_id), array_agg(entry_id::text) INTO user_ids, records FROM written;
    PERFORM note_changes(user_ids, 'entry', records, TG_OP = 'INSERT',
                         CASE WHEN TG_OP = 'DELETE' THEN clock_timestamp() END);
    RETURN NULL;
END $$;
CREATE TRIGGER entries_added AFTER INSERT ON entries
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION note_entries();
CREATE TRIGGER entries_edited AFTER UPDATE ON entries
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION note_entries();
CREATE TRIGGER entries_deleted AFTER DELETE ON entries
    REFERENCING OLD TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION note_entries();

-- What there is already. Nobody writes meanwhile: making the triggers has locked the table.
INSERT INTO changes (user_id, kind, record, number)
SELECT user_id, 'entry', entry_id::text,
       row_number() OVER (PARTITION BY user_id ORDER BY updated_at, entry_id)
FROM entries;
INSERT INTO change_counters (user_id, last) SELECT user_id, max(number) FROM changes GROUP BY user_id;
