-- name: read_head
-- The live stream, or one that can be looked at by its number. Keys: streams_live_key, streams_pkey.
SELECT stream_id, head_position, last_at FROM streams
WHERE account_id = %(account)s AND status IN ('live', 'retired')
  AND CASE WHEN %(stream)s::integer IS NULL THEN status = 'live' ELSE stream_id = %(stream)s END;

-- name: find_later
-- The first position that had not come at a time: of an event that happened later, or that was added later. NULL when
-- there is none. Reads events by position up to it, 0.1 s for 500,000. Keys: events_pkey, segments_pkey.
SELECT least(
    (SELECT position FROM events
     WHERE account_id = %(account)s AND stream_id = %(stream)s AND at > %(at)s ORDER BY position LIMIT 1),
    (SELECT min(first_position) FROM segments
     WHERE account_id = %(account)s AND stream_id = %(stream)s AND came_by = 'add' AND came_at > %(at)s));
