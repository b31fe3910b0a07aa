-- name: read_events
-- The lines of a range of positions of a stream, as rows for another account's stream. Key: events_pkey.
COPY (SELECT %(to_account)s::uuid, %(to_stream)s::integer, position, entity_id, version, type, type_version, at, actor,
             via, data, leaf
      FROM events
      WHERE account_id = %(account)s AND stream_id = %(stream)s AND position > %(after)s AND position <= %(last)s)
TO STDOUT (FORMAT binary);

-- name: write_events
COPY events (account_id, stream_id, position, entity_id, version, type, type_version, at, actor, via, data, leaf)
FROM STDIN (FORMAT binary);

-- name: read_entities
-- The entities of a stream that were not changed after a position, but for those of one kind. Key: entities_pkey.
COPY (SELECT %(to_account)s::uuid, %(to_stream)s::integer, entity_id, version, position, deleted, kind, number, state
      FROM entities
      WHERE account_id = %(account)s AND stream_id = %(stream)s AND position <= %(head)s AND kind <> %(but)s)
TO STDOUT (FORMAT binary);

-- name: write_entities
COPY entities (account_id, stream_id, entity_id, version, position, deleted, kind, number, state)
FROM STDIN (FORMAT binary);

-- name: read_unchanged
-- A block of a kind's entities that were not changed after a position, in order of id, deleted ones among them.
-- Key: entities_pkey.
SELECT position, state, entity_id::text FROM entities e
WHERE account_id = %(account)s AND stream_id = %(stream)s AND kind = %(kind)s AND position <= %(head)s
  AND entity_id > %(after)s::uuid
ORDER BY e.entity_id LIMIT %(rows)s;

-- name: read_segments
-- How the lines up to a position came. Key: segments_pkey.
SELECT first_position, authenticity FROM segments
WHERE account_id = %(account)s AND stream_id = %(stream)s AND first_position <= %(head)s ORDER BY first_position;

-- name: count_actors
-- Who did how much in a range of positions. Key: events_pkey.
SELECT actor, count(*) FROM events
WHERE account_id = %(account)s AND stream_id = %(stream)s AND position >= %(first)s AND position < %(before)s
GROUP BY actor ORDER BY actor;

-- name: read_attributions
SELECT first_position, person::text, verified, name FROM attributions
WHERE account_id = %(account)s AND stream_id = %(stream)s AND first_position <= %(head)s;

-- name: insert_account
-- An account without history that nobody has access to, when no other has the slug.
INSERT INTO accounts (account_id, slug, control_position, control) VALUES (%(account)s, %(slug)s, 0, '')
ON CONFLICT ON CONSTRAINT accounts_slug_key DO NOTHING;

-- name: name_account
-- Refused by accounts_slug_key where another account has the slug.
UPDATE accounts SET slug = %(slug)s WHERE account_id = %(account)s AND control_position = 0;

-- name: insert_building_stream
INSERT INTO streams (account_id, stream_id, status, created_at, created_by)
VALUES (%(account)s, 1, 'building', %(at)s, %(by)s);

-- name: open_stream
-- Row lock on the stream until commit. Key: streams_pkey.
UPDATE streams SET status = 'live', head_position = %(head)s, frontier = %(frontier)s, last_at = %(last_at)s
WHERE account_id = %(account)s AND stream_id = %(stream)s AND status = 'building';

-- name: lock_account
-- Row lock on the account until commit, and its own history. Key: accounts_pkey.
SELECT control_position, control FROM accounts WHERE account_id = %(account)s FOR UPDATE;

-- name: list_never_opened
-- Accounts that a clone makes, or left when it was killed; for the purging role. Reads accounts once.
SELECT account_id::text FROM accounts WHERE control_position = 0;

-- name: delete_stream
DELETE FROM streams WHERE account_id = %(account)s;

-- name: delete_account
DELETE FROM accounts WHERE account_id = %(account)s;

-- name: read_last_at
-- No earlier than any event of the stream. Key: streams_pkey.
SELECT last_at FROM streams WHERE account_id = %(account)s AND stream_id = %(stream)s;
