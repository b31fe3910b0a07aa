-- name: read_live
-- Which stream is live, and its head. Key: streams_live_key.
SELECT stream_id, head_position FROM streams WHERE account_id = %(account)s AND status = 'live';

-- name: list_entities
-- One page of a kind, in the order in which the entities were made. Key: entities_pkey. Ordered by the column: of the same
-- name, PostgreSQL would take the text that goes out, sort all of the kind by it, and use no key.
SELECT entity_id::text, state FROM entities e
WHERE account_id = %(account)s AND stream_id = %(stream)s AND kind = %(kind)s AND NOT deleted
  AND entity_id > %(after)s
ORDER BY e.entity_id LIMIT %(limit)s;

-- name: list_newest
-- The same, backwards.
SELECT entity_id::text, state FROM entities e
WHERE account_id = %(account)s AND stream_id = %(stream)s AND kind = %(kind)s AND NOT deleted
  AND (%(after)s::uuid IS NULL OR entity_id < %(after)s)
ORDER BY e.entity_id DESC LIMIT %(limit)s;

-- name: list_there
-- A block of a kind's entities in the order in which they were made, deleted ones too; the state of those that were not
-- changed after a position. Key: entities_pkey.
SELECT entity_id::text, CASE WHEN position <= %(last)s AND NOT deleted THEN state END, position > %(last)s
FROM entities e
WHERE account_id = %(account)s AND stream_id = %(stream)s AND kind = %(kind)s AND entity_id > %(after)s
ORDER BY e.entity_id LIMIT %(limit)s;

-- name: find_numbered
-- The entity of a kind that bears a number, none or one. Key: entities_number_key.
SELECT state FROM entities
WHERE account_id = %(account)s AND stream_id = %(stream)s AND kind = %(kind)s AND NOT deleted
  AND number = %(number)s;

-- name: count_kinds
-- What is there of each kind. Keys: streams_live_key, entities_number_key.
SELECT e.kind, count(*) FROM streams s
JOIN entities e ON e.account_id = s.account_id AND e.stream_id = s.stream_id AND NOT e.deleted
WHERE s.account_id = %(account)s AND s.status = 'live' GROUP BY e.kind;
