-- name: read_entity
-- The snapshot of one entity in the live stream; it sets the account itself. Keys: streams_live_key, entities_pkey.
SELECT stream_id, version, state FROM read_entity_1(%(account)s::uuid, %(entity)s::uuid, %(kind)s);

-- name: list_taken
-- The backups that the account's own history tells of, newest first. Key: control_events_pkey.
SELECT at, data FROM control_events WHERE account_id = %(account)s AND type = 'backup.taken' ORDER BY position DESC;

-- name: read_several
-- Some entities that are there. Keys: streams_live_key, entities_pkey.
SELECT e.entity_id::text, e.kind, e.state FROM streams s
JOIN entities e ON e.account_id = s.account_id AND e.stream_id = s.stream_id AND e.entity_id = ANY(%(entities)s::uuid[])
WHERE s.account_id = %(account)s AND s.status = 'live' AND NOT e.deleted;

-- name: list_expired
-- The daily backups that were not kept any longer. Key: control_events_pkey.
SELECT data FROM control_events WHERE account_id = %(account)s AND type = 'backups.expired';
