-- name: read_account
-- The account, and where a stream of it stands. Keys: accounts_pkey, streams_pkey.
SELECT a.control, s.head_position, s.frontier
FROM accounts a JOIN streams s ON s.account_id = a.account_id AND s.stream_id = %(stream)s
WHERE a.account_id = %(account)s;

-- name: count_kinds
SELECT kind, count(*) FROM entities WHERE account_id = %(account)s AND stream_id = %(stream)s AND NOT deleted
GROUP BY kind;

-- name: read_segments
SELECT first_position, came_by, source, authenticity, attribution_trusted FROM segments
WHERE account_id = %(account)s AND stream_id = %(stream)s AND first_position <= %(head)s + (came_by = 'recorded')::integer
ORDER BY first_position;

-- name: read_members_ever
-- Everybody who ever had access, with the name they had then. Key: control_events_pkey.
SELECT data::json ->> 'person', data::json ->> 'name', data::json ->> 'email' FROM control_events
WHERE account_id = %(account)s AND type = 'access.granted' ORDER BY position;

-- name: read_attributions
SELECT first_position, person::text, name, linked_to::text, verified FROM attributions
WHERE account_id = %(account)s AND stream_id = %(stream)s AND first_position <= %(head)s
ORDER BY first_position, person;

-- name: count_kinds_then
-- What is there of each kind, and was not changed after a position; and what was, of which some was not there then.
SELECT kind, count(*) FILTER (WHERE position <= %(head)s AND NOT deleted), count(*) FILTER (WHERE position > %(head)s)
FROM entities WHERE account_id = %(account)s AND stream_id = %(stream)s GROUP BY kind;

-- name: read_unchanged
-- A block of a kind's snapshots that were not changed after a position, in order of id. Key: entities_pkey.
SELECT entity_id::text, convert_to(state, 'UTF8') FROM entities e
WHERE account_id = %(account)s AND stream_id = %(stream)s AND kind = %(kind)s AND NOT deleted
  AND position <= %(head)s AND entity_id > %(after)s::uuid
ORDER BY e.entity_id LIMIT %(rows)s;

-- name: read_snapshots
-- A block of a kind's snapshot lines in order of id, and the last id of it. Key: entities_pkey for many rows,
-- entities_number_key for few.
SELECT convert_to(string_agg(state, E'\n'), 'UTF8'), count(*), (array_agg(entity_id::text))[count(*)]
FROM (SELECT state, entity_id FROM entities
      WHERE account_id = %(account)s AND stream_id = %(stream)s AND kind = %(kind)s AND NOT deleted
        AND entity_id > %(after)s::uuid
      ORDER BY entity_id LIMIT %(rows)s) AS block;

-- name: read_all_snapshots
-- The snapshot lines of each kind in order of id, and how many: for an account that is small. Key: entities_pkey.
SELECT kind, convert_to(string_agg(state, E'\n' ORDER BY entity_id), 'UTF8'), count(*) FROM entities
WHERE account_id = %(account)s AND stream_id = %(stream)s AND NOT deleted GROUP BY kind;

-- name: read_lines
-- The lines of a range of positions, in order. Key: events_pkey.
SELECT convert_to(string_agg(line, E'\n'), 'UTF8')
FROM (SELECT event_line_1(type, type_version, entity_id, version, at, actor, via, data) AS line FROM events
      WHERE account_id = %(account)s AND stream_id = %(stream)s
        AND position > %(after)s AND position <= %(last)s
      ORDER BY position) AS block;

-- name: read_attached
-- The files that the timeline names and the account has. Reads the stream's events by position once.
SELECT DISTINCT encode(a.sha256, 'hex') FROM events e
JOIN attachments a ON a.account_id = e.account_id AND a.sha256 = decode(e.data::json ->> 'sha256', 'hex')
WHERE e.account_id = %(account)s AND e.stream_id = %(stream)s AND e.position <= %(head)s
  AND e.type LIKE '%%.attachment_added' ORDER BY 1;

-- name: read_attachment
-- A piece of an attached file, counted from byte 1. Key: attachments_pkey.
SELECT substring(bytes FROM %(start)s::integer FOR %(length)s::integer), length(bytes) FROM attachments
WHERE account_id = %(account)s AND sha256 = %(sha256)s;
