-- name: select_events
-- One entity's events, oldest first. Key: events_version_key.
SELECT entity_id, version, type,
       CASE WHEN actor = %(plain)s THEN data
            ELSE event_line_1(type, type_version, entity_id, version, at, actor, via, data) END
FROM events
WHERE account_id = %(account)s AND stream_id = %(stream)s AND entity_id = %(entity)s
  AND version > %(gt)s AND version <= %(lte)s
ORDER BY version LIMIT %(limit)s;

-- name: select_events_backwards
-- One entity's events, newest first. Key: events_version_key.
SELECT entity_id, version, type,
       CASE WHEN actor = %(plain)s THEN data
            ELSE event_line_1(type, type_version, entity_id, version, at, actor, via, data) END
FROM events
WHERE account_id = %(account)s AND stream_id = %(stream)s AND entity_id = %(entity)s
  AND version > %(gt)s AND version <= %(lte)s
ORDER BY version DESC LIMIT %(limit)s;

-- name: select_notifications
-- A stream's events from one position to another, both inclusive. Key: events_pkey.
SELECT entity_id, version, type,
       CASE WHEN actor = %(plain)s THEN data
            ELSE event_line_1(type, type_version, entity_id, version, at, actor, via, data) END,
       position
FROM events
WHERE account_id = %(account)s AND stream_id = %(stream)s AND position BETWEEN %(first)s AND %(last)s
  AND (%(every_type)s OR type = ANY(%(types)s))
ORDER BY position LIMIT %(limit)s;

-- name: head_position
-- Key: streams_pkey.
SELECT head_position FROM streams WHERE account_id = %(account)s AND stream_id = %(stream)s;
