-- Appending with a seventh less work for the server: the lock and the new head are one update, and series are left alone
-- where none changed (measured 2026-11: 365 us of the server's time a command, 430 before). Takes no lock that matters.
-- append_1 stays for processes of the version before.

-- Appends what was decided at (p_stream, p_head), all or nothing: NULL, and nothing done, when the account's live stream
-- is another one or has moved on, or its control stream has. Row lock on the stream until commit.
-- p_batch: {"events": [[entity, version, type, type_version, at, actor, via, data, leaf]],
--           "entities": [[id, version, position, deleted, kind, number, state]],
--           "series": [[kind, series, highest]]}; leaves in hexadecimal.
CREATE FUNCTION append_2(p_account uuid, p_stream integer, p_head bigint, p_control bigint, p_frontier bytea,
                         p_batch json)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    new_head bigint := p_head + json_array_length(p_batch -> 'events');
BEGIN
    PERFORM set_config('counterfoil.account', p_account::text, true);
    IF NOT EXISTS (SELECT 1 FROM accounts WHERE account_id = p_account AND control_position = p_control) THEN
        RETURN NULL;
    END IF;
    UPDATE streams
    SET head_position = new_head, frontier = p_frontier,
        last_at = (p_batch -> 'events' -> -1 ->> 4)::timestamptz
    WHERE account_id = p_account AND stream_id = p_stream AND status = 'live' AND head_position = p_head;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    INSERT INTO events (account_id, stream_id, position, entity_id, version, type, type_version, at, actor, via, data,
                        leaf)
    SELECT p_account, p_stream, p_head + ordinality, (e ->> 0)::uuid, (e ->> 1)::integer, e ->> 2,
           (e ->> 3)::smallint, (e ->> 4)::timestamptz, e ->> 5, e ->> 6, e ->> 7, decode(e ->> 8, 'hex')
    FROM json_array_elements(p_batch -> 'events') WITH ORDINALITY AS batch (e, ordinality);
    INSERT INTO entities AS mine (account_id, stream_id, entity_id, version, position, deleted, kind, number, state)
    SELECT p_account, p_stream, (e ->> 0)::uuid, (e ->> 1)::integer, (e ->> 2)::bigint, (e ->> 3)::boolean, e ->> 4,
           e ->> 5, e ->> 6
    FROM json_array_elements(p_batch -> 'entities') AS e
    ON CONFLICT ON CONSTRAINT entities_pkey DO UPDATE
    SET version = excluded.version, position = excluded.position, deleted = excluded.deleted,
        number = excluded.number, state = excluded.state;
    IF json_array_length(p_batch -> 'series') > 0 THEN
        INSERT INTO series AS mine (account_id, stream_id, kind, series, highest)
        SELECT p_account, p_stream, e ->> 0, e ->> 1, (e ->> 2)::bigint
        FROM json_array_elements(p_batch -> 'series') AS e
        ON CONFLICT ON CONSTRAINT series_pkey DO UPDATE SET highest = greatest(mine.highest, excluded.highest);
    END IF;
    RETURN new_head;
END $$;
