-- What has changed in a person's journal, in an order that a client can follow. Each record is here once, at the place of
-- its latest change, or as a tombstone when it was deleted. In clear: which record of which kind, and when it was deleted.
CREATE TABLE changes (
    user_id uuid NOT NULL,
    kind text NOT NULL,
    -- Its id as the API writes it: what there is once for a day or a week has that for its id, and the order of pillars,
    -- of which there is one, has a word.
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

CREATE FUNCTION note_pillars() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    user_ids uuid[];
    records text[];
BEGIN
    SELECT array_agg(user_id), array_agg(pillar_id::text) INTO user_ids, records FROM written;
    PERFORM note_changes(user_ids, 'pillar', records, TG_OP = 'INSERT',
                         CASE WHEN TG_OP = 'DELETE' THEN clock_timestamp() END);
    RETURN NULL;
END $$;
CREATE TRIGGER pillars_added AFTER INSERT ON pillars
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION note_pillars();
CREATE TRIGGER pillars_edited AFTER UPDATE ON pillars
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION note_pillars();
CREATE TRIGGER pillars_deleted AFTER DELETE ON pillars
    REFERENCING OLD TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION note_pillars();

CREATE FUNCTION note_pillar_orders() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    user_ids uuid[];
    records text[];
BEGIN
    SELECT array_agg(user_id), array_agg('order'::text) INTO user_ids, records FROM written;
    PERFORM note_changes(user_ids, 'pillar_order', records, TG_OP = 'INSERT',
                         CASE WHEN TG_OP = 'DELETE' THEN clock_timestamp() END);
    RETURN NULL;
END $$;
CREATE TRIGGER pillar_orders_added AFTER INSERT ON pillar_orders
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION note_pillar_orders();
CREATE TRIGGER pillar_orders_edited AFTER UPDATE ON pillar_orders
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION note_pillar_orders();
CREATE TRIGGER pillar_orders_deleted AFTER DELETE ON pillar_orders
    REFERENCING OLD TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION note_pillar_orders();

-- Those that go with their pillar are noted, too.
CREATE FUNCTION note_pillar_scores() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    user_ids uuid[];
    records text[];
BEGIN
    SELECT array_agg(user_id), array_agg(score_id::text) INTO user_ids, records FROM written;
    PERFORM note_changes(user_ids, 'score', records, TG_OP = 'INSERT',
                         CASE WHEN TG_OP = 'DELETE' THEN clock_timestamp() END);
    RETURN NULL;
END $$;
CREATE TRIGGER pillar_scores_added AFTER INSERT ON pillar_scores
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION note_pillar_scores();
CREATE TRIGGER pillar_scores_edited AFTER UPDATE ON pillar_scores
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION note_pillar_scores();
CREATE TRIGGER pillar_scores_deleted AFTER DELETE ON pillar_scores
    REFERENCING OLD TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION note_pillar_scores();

-- The year of a week (IYYY) is that of its Thursday, as ISO 8601 has it.
CREATE FUNCTION reflection_name(kind text, date date) RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN kind = 'week' THEN to_char(date, 'IYYY-"W"IW') ELSE to_char(date, 'YYYY-MM-DD') END
$$;
CREATE FUNCTION note_reflections() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    user_ids uuid[];
    records text[];
    noted text;
BEGIN
    FOREACH noted IN ARRAY ARRAY['morning', 'evening', 'week'] LOOP
        SELECT array_agg(user_id), array_agg(reflection_name(kind, date)) INTO user_ids, records
        FROM written WHERE kind = noted;
        PERFORM note_changes(user_ids, CASE noted WHEN 'week' THEN 'week_note' ELSE noted END, records,
                             TG_OP = 'INSERT', CASE WHEN TG_OP = 'DELETE' THEN clock_timestamp() END);
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER reflections_added AFTER INSERT ON reflections
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION note_reflections();
CREATE TRIGGER reflections_edited AFTER UPDATE ON reflections
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION note_reflections();
CREATE TRIGGER reflections_deleted AFTER DELETE ON reflections
    REFERENCING OLD TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION note_reflections();

-- What there is already, pillars before what names them. Nobody writes meanwhile: making the triggers has locked the tables.
INSERT INTO changes (user_id, kind, record, number)
SELECT user_id, kind, record, row_number() OVER (PARTITION BY user_id ORDER BY place, updated_at, record)
FROM (
    SELECT user_id, 'pillar' AS kind, pillar_id::text AS record, 1 AS place, updated_at FROM pillars
    UNION ALL SELECT user_id, 'pillar_order', 'order', 2, updated_at FROM pillar_orders
    UNION ALL SELECT user_id, 'score', score_id::text, 3, created_at FROM pillar_scores
    UNION ALL SELECT user_id, 'entry', entry_id::text, 4, updated_at FROM entries
    UNION ALL SELECT user_id, CASE kind WHEN 'week' THEN 'week_note' ELSE kind END, reflection_name(kind, date), 5, updated_at
    FROM reflections
) AS there;
INSERT INTO change_counters (user_id, last) SELECT user_id, max(number) FROM changes GROUP BY user_id;
