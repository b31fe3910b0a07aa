-- name: read_entity
-- The snapshot of one entity in the live stream. Keys: streams_live_key, entities_pkey.
SELECT s.stream_id, e.version, e.state
FROM streams s JOIN entities e ON e.account_id = s.account_id AND e.stream_id = s.stream_id
WHERE s.account_id = %(account)s AND s.status = 'live'
  AND e.entity_id = %(entity)s AND e.kind = %(kind)s AND NOT e.deleted;

-- name: read_stream
-- Which stream is live. Key: streams_live_key.
SELECT stream_id FROM streams WHERE account_id = %(account)s AND status = 'live';

-- name: list_entities
-- One page of a kind, in the order in which the entities were made. Key: entities_pkey, or entities_number_key and a sort.
SELECT entity_id::text, state FROM entities
WHERE account_id = %(account)s AND stream_id = %(stream)s AND kind = %(kind)s AND NOT deleted
  AND entity_id > %(after)s
ORDER BY entity_id LIMIT %(limit)s;

-- name: list_numbered
-- The entity of a kind that bears a number, none or one. Key: entities_number_key.
SELECT entity_id::text, state FROM entities
WHERE account_id = %(account)s AND stream_id = %(stream)s AND kind = %(kind)s AND NOT deleted
  AND number = %(number)s;

-- name: list_taken
-- The backups that the account's own history tells of, newest first. Key: control_events_pkey.
SELECT at, data FROM control_events WHERE account_id = %(account)s AND type = 'backup.taken' ORDER BY position DESC;
