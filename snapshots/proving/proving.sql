-- name: read_stream
-- The live stream, or another that can be read. Key: streams_pkey.
SELECT stream_id, head_position, frontier FROM streams
WHERE account_id = %(account)s AND status IN ('live', 'retired')
  AND (stream_id = %(stream)s OR (%(stream)s::integer IS NULL AND status = 'live'));

-- name: read_line
-- Key: events_pkey.
SELECT event_line_1(type, type_version, entity_id, version, at, actor, via, data) FROM events
WHERE account_id = %(account)s AND stream_id = %(stream)s AND position = %(position)s;

-- name: find_backup
-- The newest backup of a stream that holds a position. Key: control_events_pkey, backwards.
SELECT data::json ->> 'archive', (data::json ->> 'position')::bigint, data::json ->> 'root' FROM control_events
WHERE account_id = %(account)s AND type = 'backup.taken' AND (data::json ->> 'stream')::integer = %(stream)s
  AND (data::json ->> 'position')::bigint >= %(position)s
ORDER BY position DESC LIMIT 1;
