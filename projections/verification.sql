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

-- name: read_other_files
-- The attached files whose bytes are not those that they are kept by. Reads them all. Key: attachments_pkey.
SELECT encode(a.sha256, 'hex') FROM attachments a WHERE a.account_id = %(account)s AND sha256(a.bytes) <> a.sha256
ORDER BY 1 LIMIT %(most)s;

-- name: read_missing_files
-- The files that snapshots of a stream name and the account has not. Reads the snapshots once: size before hash is how
-- an attached file is written, and nothing else is.
SELECT e.entity_id::text, named[1] FROM entities e
CROSS JOIN LATERAL regexp_matches(e.state, '"size":[0-9]+,"sha256":"([0-9a-f]{64})"', 'g') AS named
WHERE e.account_id = %(account)s AND e.stream_id = %(stream)s AND NOT e.deleted AND strpos(e.state, '"attachments":[') > 0
  AND NOT EXISTS (SELECT 1 FROM attachments a WHERE a.account_id = e.account_id AND a.sha256 = decode(named[1], 'hex'))
ORDER BY 1, 2 LIMIT %(most)s;
