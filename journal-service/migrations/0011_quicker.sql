-- Noting one record, as almost every statement does, took longer than storing it: three queries and a sort for what is two
-- statements. Several at once are noted as before.
CREATE OR REPLACE FUNCTION note_changes(user_ids uuid[], kind_noted text, records text[], added boolean, deleted timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    person record;
    upto bigint;
BEGIN
    IF cardinality(records) = 1 THEN
        UPDATE change_counters SET last = last + 1 WHERE user_id = user_ids[1] RETURNING last INTO upto;
        IF upto IS NULL AND added THEN
            INSERT INTO change_counters AS counter (user_id, last) VALUES (user_ids[1], 1)
            ON CONFLICT (user_id) DO UPDATE SET last = counter.last + 1 RETURNING last INTO upto;
        END IF;
        IF upto IS NOT NULL THEN
            INSERT INTO changes (user_id, kind, record, number, deleted_at)
            VALUES (user_ids[1], kind_noted, records[1], upto, deleted)
            ON CONFLICT (user_id, kind, record) DO UPDATE SET number = excluded.number, deleted_at = excluded.deleted_at;
        END IF;
        RETURN;
    END IF;
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

-- An entry is read whole or not at all: beside its row, and not in a table of its own, as long as two fit into a page.
ALTER TABLE entries SET (toast_tuple_target = 4080);
