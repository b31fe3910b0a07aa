-- name: read_live
-- Which stream is live, and up to which position it holds lines that did not come by being recorded one after another.
-- Keys: streams_live_key, segments_pkey.
SELECT s.stream_id, coalesce((
    SELECT CASE g.came_by WHEN 'recorded' THEN g.first_position - 1 ELSE s.head_position END
    FROM segments g WHERE g.account_id = s.account_id AND g.stream_id = s.stream_id
    ORDER BY g.first_position DESC LIMIT 1), 0)
FROM streams s WHERE s.account_id = %(account)s AND s.status = 'live';

-- name: read_is_in_order
-- Whether time goes back nowhere up to a position. Reads that many events once. Key: events_pkey.
SELECT NOT EXISTS (
    SELECT 1 FROM (SELECT at, lag(at) OVER (ORDER BY position) AS before FROM events
                   WHERE account_id = %(account)s AND stream_id = %(stream)s AND position <= %(last)s) AS e
    WHERE e.at < e.before);

-- name: read_by_position
-- Newest first, where order by position is order in time. Key: events_pkey, backwards.
SELECT e.position, e.entity_id::text, e.version, e.type, e.at, e.actor, e.via, e.data,
       coalesce('person:' || a.linked_to, CASE WHEN g.is_verified THEN e.actor ELSE g.brought_by END), a.name,
       coalesce(a.verified, g.is_verified), g.came_by
FROM events e
LEFT JOIN LATERAL (
    SELECT s.first_position, s.came_by, s.brought_by,
           s.attribution_trusted OR s.authenticity IN ('recorded', 'authentic') AS is_verified FROM segments s
    WHERE s.account_id = e.account_id AND s.stream_id = e.stream_id AND s.first_position <= e.position
    ORDER BY s.first_position DESC LIMIT 1) AS g ON true
LEFT JOIN attributions a ON a.account_id = e.account_id AND a.stream_id = e.stream_id
    AND a.first_position = g.first_position AND e.actor = 'person:' || a.person
WHERE e.account_id = %(account)s AND e.stream_id = %(stream)s
  AND (%(before_position)s::bigint IS NULL OR e.position < %(before_position)s)
  AND (%(entity)s::uuid IS NULL OR e.entity_id = %(entity)s)
  AND (%(type)s::text IS NULL OR e.type = %(type)s)
  AND (%(kind)s::text IS NULL OR starts_with(e.type, %(kind)s || '.'))
  AND (%(since)s::timestamptz IS NULL OR e.at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR e.at < %(until)s)
  AND (%(person)s::text IS NULL OR coalesce(a.linked_to::text, substr(CASE WHEN g.is_verified THEN e.actor ELSE g.brought_by END, 8))
       = %(person)s)
ORDER BY e.position DESC LIMIT %(limit)s;

-- name: read_by_time
-- The same where it is not: sorts the account's events, 0.2 s for 500,000; an index would slow every restore.
SELECT e.position, e.entity_id::text, e.version, e.type, e.at, e.actor, e.via, e.data,
       coalesce('person:' || a.linked_to, CASE WHEN g.is_verified THEN e.actor ELSE g.brought_by END), a.name,
       coalesce(a.verified, g.is_verified), g.came_by
FROM events e
LEFT JOIN LATERAL (
    SELECT s.first_position, s.came_by, s.brought_by,
           s.attribution_trusted OR s.authenticity IN ('recorded', 'authentic') AS is_verified FROM segments s
    WHERE s.account_id = e.account_id AND s.stream_id = e.stream_id AND s.first_position <= e.position
    ORDER BY s.first_position DESC LIMIT 1) AS g ON true
LEFT JOIN attributions a ON a.account_id = e.account_id AND a.stream_id = e.stream_id
    AND a.first_position = g.first_position AND e.actor = 'person:' || a.person
WHERE e.account_id = %(account)s AND e.stream_id = %(stream)s
  AND (%(before_position)s::bigint IS NULL
       OR (e.at, e.position) < (%(before_at)s::timestamptz, %(before_position)s::bigint))
  AND (%(entity)s::uuid IS NULL OR e.entity_id = %(entity)s)
  AND (%(type)s::text IS NULL OR e.type = %(type)s)
  AND (%(kind)s::text IS NULL OR starts_with(e.type, %(kind)s || '.'))
  AND (%(since)s::timestamptz IS NULL OR e.at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR e.at < %(until)s)
  AND (%(person)s::text IS NULL OR coalesce(a.linked_to::text, substr(CASE WHEN g.is_verified THEN e.actor ELSE g.brought_by END, 8))
       = %(person)s)
ORDER BY e.at DESC, e.position DESC LIMIT %(limit)s;

-- name: read_control
-- The account's own history, newest first. It is short, and a clock may have gone back in it: sorted as it is read.
-- Key: control_events_pkey.
SELECT position, type, at, actor, via, data FROM control_events
WHERE account_id = %(account)s
  AND (%(before)s::bigint IS NULL OR (at, position) < (%(before_at)s::timestamptz, %(before)s::bigint))
  AND (%(type)s::text IS NULL OR type = %(type)s)
  AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
  AND (%(person)s::text IS NULL OR actor = 'person:' || %(person)s)
ORDER BY at DESC, position DESC LIMIT %(limit)s;

-- name: read_entity
-- An entity's events up to a version. Key: events_version_key.
SELECT version, type, type_version, data FROM events
WHERE account_id = %(account)s AND stream_id = %(stream)s AND entity_id = %(entity)s AND version <= %(version)s
ORDER BY version;
