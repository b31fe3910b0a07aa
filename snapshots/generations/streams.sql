-- name: find_stream
-- Key: streams_pkey.
SELECT status, head_position, frontier, came_back_at FROM streams
WHERE account_id = %(account)s AND stream_id = %(stream)s;

-- name: list_streams
-- How many entities a stream has, deleted ones left out, is counted where its rows are kept. Keys: streams_pkey,
-- entities_pkey.
SELECT s.stream_id, s.status, s.created_at, s.created_by, s.head_position, s.frontier,
       CASE WHEN s.status IN ('live', 'retired') THEN (
           SELECT count(*) FROM entities e
           WHERE e.account_id = s.account_id AND e.stream_id = s.stream_id AND NOT e.deleted) ELSE 0 END
FROM streams s WHERE s.account_id = %(account)s ORDER BY s.stream_id DESC;

-- name: list_segments
SELECT stream_id, first_position, came_by, came_at, brought_by, source, authenticity FROM segments
WHERE account_id = %(account)s ORDER BY stream_id, first_position;

-- name: list_of_control
-- What the account's own history says of its streams, oldest first. Key: control_events_pkey.
SELECT type, at, actor, data FROM control_events
WHERE account_id = %(account)s AND type IN ('restore.finished', 'stream.swapped', 'stream.purged') ORDER BY position;

-- name: count_differences
-- How a stream differs from the live one, by kind: in numbers, and how many issued documents only one of them has.
-- Reads both streams' entities once. Key: entities_pkey.
SELECT coalesce(l.kind, r.kind), count(l.entity_id), count(r.entity_id),
       count(*) FILTER (WHERE l.entity_id IS NULL),
       count(*) FILTER (WHERE l.state <> r.state),
       count(*) FILTER (WHERE r.entity_id IS NULL),
       count(*) FILTER (WHERE l.state = r.state),
       count(*) FILTER (WHERE r.number IS NOT NULL AND r.number IS DISTINCT FROM l.number),
       count(*) FILTER (WHERE l.number IS NOT NULL AND l.number IS DISTINCT FROM r.number)
FROM (SELECT entity_id, kind, number, state FROM entities
      WHERE account_id = %(account)s AND stream_id = %(live)s AND NOT deleted) AS l
FULL JOIN (SELECT entity_id, kind, number, state FROM entities
           WHERE account_id = %(account)s AND stream_id = %(stream)s AND NOT deleted) AS r USING (entity_id)
GROUP BY 1 ORDER BY 1;

-- name: merge_in_order
-- A merge, so that rows come in order of id and the first of them at once, whatever the streams' size.
SET LOCAL enable_hashjoin = off;

-- name: read_both
-- The entities of the live stream and of another, side by side; a state that both have comes once. Key: entities_pkey.
SELECT coalesce(l.entity_id, r.entity_id)::text, coalesce(l.kind, r.kind), coalesce(l.state = r.state, false),
       l.deleted, CASE WHEN l.state = r.state THEN NULL ELSE l.state END, r.deleted, r.state
FROM (SELECT entity_id, kind, deleted, state FROM entities
      WHERE account_id = %(account)s AND stream_id = %(live)s ORDER BY entity_id) AS l
FULL JOIN (SELECT entity_id, kind, deleted, state FROM entities
           WHERE account_id = %(account)s AND stream_id = %(stream)s ORDER BY entity_id) AS r USING (entity_id);

-- name: count_documents_only_in
-- How many issued documents a stream has that the live one lacks. Keys: entities_number_key, entities_pkey.
SELECT count(*) FROM entities r
WHERE r.account_id = %(account)s AND r.stream_id = %(stream)s AND r.kind = ANY(%(kinds)s) AND r.number IS NOT NULL
  AND NOT EXISTS (
    SELECT 1 FROM streams s JOIN entities l ON l.account_id = s.account_id AND l.stream_id = s.stream_id
    WHERE s.account_id = r.account_id AND s.status = 'live' AND l.entity_id = r.entity_id AND l.number = r.number);

-- name: list_retired
SELECT stream_id, created_at FROM streams WHERE account_id = %(account)s AND status = 'retired';

-- name: estimate_bytes
-- About how much room a stream's rows take, without what indexes add: reads its rows once.
SELECT coalesce((SELECT sum(pg_column_size(e.*)) FROM events e
                 WHERE e.account_id = %(account)s AND e.stream_id = %(stream)s), 0)
     + coalesce((SELECT sum(pg_column_size(e.*)) FROM entities e
                 WHERE e.account_id = %(account)s AND e.stream_id = %(stream)s), 0);
