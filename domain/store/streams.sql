-- name: load
-- One round trip for a command: head, control, states. Keys: streams_live_key, accounts_pkey, entities_pkey.
SELECT stream_id, head_position, frontier, last_at, control_position, control, kinds, states
FROM load_1(%(account)s::uuid, %(entities)s::uuid[], %(control_known)s::bigint, %(lock)s::boolean);

-- name: append
-- Row lock on the live stream until commit; one statement, so one transaction when there is none around it.
SELECT append_2(%(account)s::uuid, %(stream)s::integer, %(head)s::bigint, %(control)s::bigint, %(frontier)s::bytea,
                %(batch)s::json);

-- name: append_control
-- Row lock on the account until commit.
SELECT append_control_1(%(account)s::uuid, %(position)s::bigint, %(control)s::text, %(events)s::json,
                        %(members)s::json);

-- name: set_erase_after
-- Where whoever erases finds the accounts to erase.
UPDATE accounts SET erase_after = %(after)s WHERE account_id = %(account)s;

-- name: insert_notices
-- Who is told of which of the control events that were just appended; each is to be mailed at once.
INSERT INTO notices (account_id, person_id, position, at, mail_due_at)
SELECT %(account)s, person, position, %(at)s, %(at)s
FROM unnest(%(people)s::uuid[], %(positions)s::bigint[]) AS told (person, position);

-- name: read_states
-- The states of further entities of a stream. Key: entities_pkey.
SELECT kind, state FROM entities
WHERE account_id = %(account)s AND stream_id = %(stream)s AND entity_id = ANY(%(entities)s::uuid[]);

-- name: read_highest
-- The highest number of a series, if it was looked for before. Key: series_pkey.
SELECT highest FROM series
WHERE account_id = %(account)s AND stream_id = %(stream)s AND kind = %(kind)s AND series = %(series)s;

-- name: read_numbers
-- The numbers of a kind with a prefix. Key: entities_number_key.
SELECT number FROM entities
WHERE account_id = %(account)s AND stream_id = %(stream)s AND kind = %(kind)s
  AND number >= %(prefix)s AND number < %(prefix)s || chr(1114111);

-- name: find_number
-- The entity that bears a number. Key: entities_number_key.
SELECT entity_id::text FROM entities
WHERE account_id = %(account)s AND stream_id = %(stream)s AND kind = %(kind)s AND number = %(number)s;

-- name: find_reference
-- An entity of these kinds that holds an id in its state: reads every state of those kinds, for a deletion is rare.
SELECT kind, entity_id::text, number FROM entities
WHERE account_id = %(account)s AND stream_id = %(stream)s AND kind = ANY(%(kinds)s) AND NOT deleted
  AND entity_id <> %(entity)s::uuid AND strpos(state, (%(entity)s::uuid)::text) > 0
  AND strpos(state, '"state":"draft"') = 0
LIMIT 1;

-- name: read_kind
-- The states of one kind that are there. Key: entities_number_key.
SELECT state FROM entities
WHERE account_id = %(account)s AND stream_id = %(stream)s AND kind = %(kind)s AND NOT deleted;

-- name: find_segment
-- How the last of an entity's events that came from elsewhere came into the stream, unless it was resumed since.
-- Keys: events_version_key, segments_pkey backwards.
SELECT g.came_by, g.came_at, g.subscriptions FROM events e
CROSS JOIN LATERAL (
    SELECT s.came_by, s.came_at, s.subscriptions FROM segments s
    WHERE s.account_id = e.account_id AND s.stream_id = e.stream_id AND s.first_position <= e.position
    ORDER BY s.first_position DESC LIMIT 1) AS g
WHERE e.account_id = %(account)s AND e.stream_id = %(stream)s AND e.entity_id = %(entity)s
  AND g.came_by <> 'recorded'
  AND NOT EXISTS (
    SELECT 1 FROM events r
    WHERE r.account_id = e.account_id AND r.stream_id = e.stream_id AND r.entity_id = e.entity_id
      AND r.version > e.version AND r.type = 'subscription.resumed')
ORDER BY e.version DESC LIMIT 1;

-- name: find_came_back
-- When a stream that had been retired was made live again with the entity in it, unless it was resumed since.
-- Keys: streams_pkey, events_version_key.
SELECT s.came_back_at FROM streams s
WHERE s.account_id = %(account)s AND s.stream_id = %(stream)s AND s.came_back_at IS NOT NULL
  AND EXISTS (
    SELECT 1 FROM events e
    WHERE e.account_id = s.account_id AND e.stream_id = s.stream_id AND e.entity_id = %(entity)s AND e.version = 1
      AND e.position <= s.came_back_head)
  AND NOT EXISTS (
    SELECT 1 FROM events r
    WHERE r.account_id = s.account_id AND r.stream_id = s.stream_id AND r.entity_id = %(entity)s
      AND r.position > s.came_back_head AND r.type = 'subscription.resumed');

-- name: find_invoiced
-- The periods of a subscription that the account's streams invoiced, live and retired, the live one first, with their
-- invoices' numbers. Keys: streams_pkey, events_version_key, entities_pkey.
SELECT e.stream_id, e.data, d.number FROM streams s
JOIN events e ON e.account_id = s.account_id AND e.stream_id = s.stream_id AND e.entity_id = %(entity)s::uuid
             AND e.type = 'subscription.period_invoiced'
LEFT JOIN entities d ON d.account_id = e.account_id AND d.stream_id = e.stream_id
                    AND d.entity_id = (e.data::json ->> 'document')::uuid
WHERE s.account_id = %(account)s AND s.status IN ('live', 'retired')
ORDER BY s.status = 'live' DESC, s.stream_id DESC;

-- name: find_invoiced_purged
-- What the account's own history keeps of periods that only streams which were purged invoiced: tens of events at most.
SELECT data FROM control_events
WHERE account_id = %(account)s AND type = 'periods.invoiced' AND strpos(data, (%(entity)s::uuid)::text) > 0;

-- name: insert_attachment
INSERT INTO attachments (account_id, sha256, bytes) VALUES (%(account)s, %(sha256)s, %(bytes)s)
ON CONFLICT DO NOTHING;

-- name: read_attachment
SELECT bytes FROM attachments WHERE account_id = %(account)s AND sha256 = %(sha256)s;
