-- name: read_stream
-- The live stream, or another that can be read. Key: streams_pkey.
SELECT stream_id, status, head_position, frontier FROM streams
WHERE account_id = %(account)s AND status IN ('live', 'retired')
  AND (stream_id = %(stream)s OR (%(stream)s::integer IS NULL AND status = 'live'));

-- name: read_block
-- A block of rows by position: how many, from where to where, the leaves of their lines, and whether each row is stored
-- with its own. Key: events_pkey.
SELECT count(*), min(position), max(position), string_agg(made, ''::bytea), bool_and(coalesce(leaf = made, false))
FROM (SELECT position, leaf,
             sha256('\x00'::bytea || convert_to(
                 event_line_1(type, type_version, entity_id, version, at, actor, via, data), 'UTF8')) AS made
      FROM events
      WHERE account_id = %(account)s AND stream_id = %(stream)s AND position > %(after)s
      ORDER BY position LIMIT %(rows)s) AS block;

-- name: read_rows
-- The same, row by row: for the blocks in which something is wrong. A row of which no line can be made has no leaf.
SELECT position, coalesce(leaf, ''),
       coalesce(sha256('\x00'::bytea || convert_to(
           event_line_1(type, type_version, entity_id, version, at, actor, via, data), 'UTF8')), '')
FROM events
WHERE account_id = %(account)s AND stream_id = %(stream)s AND position > %(after)s
ORDER BY position LIMIT %(rows)s;

-- name: count_rows
-- Key: events_pkey.
SELECT count(*) FROM events WHERE account_id = %(account)s AND stream_id = %(stream)s;

-- name: read_history
-- Key: control_events_pkey.
SELECT position, type, at, data FROM control_events WHERE account_id = %(account)s ORDER BY position;

-- name: read_account
-- Key: accounts_pkey.
SELECT control_position, control FROM accounts WHERE account_id = %(account)s;

-- name: read_members
-- Key: members_pkey.
SELECT person_id::text, role FROM members WHERE account_id = %(account)s;

-- name: read_segments
-- Key: segments_pkey.
SELECT first_position, came_by, source, authenticity FROM segments
WHERE account_id = %(account)s AND stream_id = %(stream)s ORDER BY first_position;
