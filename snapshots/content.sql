-- name: read_head
-- Keys: streams_live_key.
SELECT stream_id, head_position, frontier FROM streams WHERE account_id = %(account)s AND status = 'live';

-- name: read_states
-- A block of snapshot lines in order of id. Key: entities_pkey.
SELECT kind, state, entity_id::text FROM entities e
WHERE account_id = %(account)s AND stream_id = %(stream)s AND NOT deleted AND entity_id > %(after)s::uuid
ORDER BY e.entity_id LIMIT %(rows)s;
