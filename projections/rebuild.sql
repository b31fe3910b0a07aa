-- name: read_live
-- Keys: streams_live_key, accounts_pkey.
SELECT s.stream_id, s.head_position, s.frontier, a.control
FROM streams s JOIN accounts a ON a.account_id = s.account_id
WHERE s.account_id = %(account)s AND s.status = 'live';

-- name: lock_live
-- Row lock on the live stream until commit: nobody writes while what is read is put right.
SELECT 1 FROM streams WHERE account_id = %(account)s AND status = 'live' FOR UPDATE;

-- name: read_events
-- A block of lines by entity and version, with positions and leaves; a line feed within a line, which none of ours has,
-- as another character that none of ours has. Key: events_version_key.
SELECT convert_to(string_agg(line, E'\n'), 'UTF8'), array_agg(position), array_agg(leaf),
       (array_agg(entity_id::text))[count(*)], (array_agg(version))[count(*)]
FROM (SELECT translate(event_line_1(type, type_version, entity_id, version, at, actor, via, data), E'\n', E'\x01')
                 AS line, position, leaf, entity_id, version
      FROM events
      WHERE account_id = %(account)s AND stream_id = %(stream)s
        AND (entity_id, version) > (%(entity)s::uuid, %(version)s)
      ORDER BY entity_id, version LIMIT %(rows)s) AS block;

-- name: read_lines
-- A block of lines by entity and version, and where it ends. Key: events_version_key.
SELECT convert_to(string_agg(line, E'\n'), 'UTF8'),
       (array_agg(entity_id::text))[count(*)], (array_agg(version))[count(*)]
FROM (SELECT event_line_1(type, type_version, entity_id, version, at, actor, via, data) AS line, entity_id, version
      FROM events
      WHERE account_id = %(account)s AND stream_id = %(stream)s
        AND (entity_id, version) > (%(entity)s::uuid, %(version)s)
      ORDER BY entity_id, version LIMIT %(rows)s) AS block;

-- name: read_leaves
-- A block of leaves by position. Key: events_pkey.
SELECT array_agg(leaf), min(position), max(position), count(*)
FROM (SELECT leaf, position FROM events
      WHERE account_id = %(account)s AND stream_id = %(stream)s AND position > %(after)s
      ORDER BY position LIMIT %(rows)s) AS block;

-- name: read_entities
-- A block of the snapshots of a range of ids, the last included. Key: entities_pkey.
SELECT entity_id::text, kind, version, position, number, deleted, state FROM entities e
WHERE account_id = %(account)s AND stream_id = %(stream)s
  AND entity_id > %(after)s::uuid AND entity_id <= %(last)s::uuid
ORDER BY e.entity_id LIMIT %(rows)s;

-- name: put_entity
INSERT INTO entities AS mine (account_id, stream_id, entity_id, version, position, deleted, kind, number, state)
VALUES (%(account)s, %(stream)s, %(id)s, %(version)s, %(position)s, %(deleted)s, %(kind)s, %(number)s, %(state)s)
ON CONFLICT ON CONSTRAINT entities_pkey DO UPDATE
SET version = excluded.version, position = excluded.position, deleted = excluded.deleted, kind = excluded.kind,
    number = excluded.number, state = excluded.state;

-- name: read_unnumbered
-- A block of the snapshots that bear no number, of entities that there are events of. Keys: entities_pkey,
-- events_version_key.
SELECT e.entity_id::text, e.kind, e.state FROM entities e
WHERE e.account_id = %(account)s AND e.stream_id = %(stream)s AND e.number IS NULL AND e.entity_id > %(after)s::uuid
  AND EXISTS (SELECT 1 FROM events v WHERE v.account_id = e.account_id AND v.stream_id = e.stream_id
              AND v.entity_id = e.entity_id AND v.version = 1)
ORDER BY e.entity_id LIMIT %(rows)s;

-- name: put_number
-- Refused by entities_number_key where another entity of the kind bears the number.
UPDATE entities SET number = %(number)s
WHERE account_id = %(account)s AND stream_id = %(stream)s AND entity_id = %(id)s;

-- name: read_series
-- Key: series_pkey.
SELECT kind, series, highest FROM series WHERE account_id = %(account)s AND stream_id = %(stream)s ORDER BY kind, series;

-- name: put_series
UPDATE series SET highest = %(highest)s
WHERE account_id = %(account)s AND stream_id = %(stream)s AND kind = %(kind)s AND series = %(series)s;
