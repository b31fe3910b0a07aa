-- name: read_live
-- Where the account stands. Keys: streams_live_key, accounts_pkey.
SELECT s.stream_id, s.head_position, s.frontier, s.last_at, a.control_position, a.control
FROM streams s JOIN accounts a ON a.account_id = s.account_id
WHERE s.account_id = %(account)s AND s.status = 'live';

-- name: lock_account
-- Row lock on the account until commit: one at a time makes a stream for it.
SELECT 1 FROM accounts WHERE account_id = %(account)s FOR UPDATE;

-- name: insert_building_stream
INSERT INTO streams (account_id, stream_id, status, created_at, created_by)
SELECT %(account)s, max(stream_id) + 1, 'building', %(at)s, %(by)s FROM streams WHERE account_id = %(account)s
RETURNING stream_id;

-- name: lock_builder
-- Held by the session that builds, for as long as it lives: nobody sweeps a stream whose builder is alive.
SELECT pg_try_advisory_lock(hashtextextended(%(account)s::text, %(stream)s));

-- name: list_unfinished
-- Streams that a builder or a purge may have left behind: one that still is being built, and those of no use with rows.
SELECT stream_id FROM streams s
WHERE account_id = %(account)s AND (status = 'building' OR (status IN ('abandoned', 'purged') AND (
    EXISTS (SELECT 1 FROM events e WHERE e.account_id = s.account_id AND e.stream_id = s.stream_id)
    OR EXISTS (SELECT 1 FROM entities e WHERE e.account_id = s.account_id AND e.stream_id = s.stream_id))));

-- name: abandon
UPDATE streams SET status = 'abandoned' WHERE account_id = %(account)s AND stream_id = %(stream)s
  AND status IN ('building', 'abandoned');

-- name: delete_events
-- A batch of a stream's events, first ones first. Key: events_pkey.
DELETE FROM events WHERE account_id = %(account)s AND stream_id = %(stream)s AND position <= (
    SELECT max(position) FROM (
        SELECT position FROM events WHERE account_id = %(account)s AND stream_id = %(stream)s
        ORDER BY position LIMIT %(rows)s) AS batch);

-- name: delete_entities
-- A batch of a stream's entities. Key: entities_pkey.
DELETE FROM entities WHERE account_id = %(account)s AND stream_id = %(stream)s AND entity_id <= (
    SELECT entity_id FROM (
        SELECT entity_id FROM entities WHERE account_id = %(account)s AND stream_id = %(stream)s
        ORDER BY entity_id LIMIT %(rows)s) AS batch ORDER BY entity_id DESC LIMIT 1);

-- name: delete_series
DELETE FROM series WHERE account_id = %(account)s AND stream_id = %(stream)s;

-- name: delete_attributions
DELETE FROM attributions WHERE account_id = %(account)s AND stream_id = %(stream)s;

-- name: delete_listed
WITH heads AS (DELETE FROM listed_heads WHERE account_id = %(account)s AND stream_id = %(stream)s)
DELETE FROM listed WHERE account_id = %(account)s AND stream_id = %(stream)s;

-- name: list_left_behind
-- Accounts with streams that are not live, for the purging role, which sees which those are; but for those that a clone
-- is making, or left, and those that are being erased. Reads streams once.
SELECT DISTINCT account_id::text FROM streams
WHERE status <> 'live' AND account_id NOT IN (
    SELECT account_id FROM accounts WHERE control_position = 0 OR erased_at IS NOT NULL)
ORDER BY 1;

-- name: mark_purged
UPDATE streams SET status = 'purged' WHERE account_id = %(account)s AND stream_id = %(stream)s AND status = 'retired';

-- name: lock_against_purging
-- Held by a session that works on a stream: nobody purges it meanwhile, and others may work on it as well.
SELECT pg_try_advisory_lock_shared(hashtextextended(%(account)s::text, %(stream)s));

-- name: copy_events
COPY events (account_id, stream_id, type_version, type, actor, via, position, entity_id, version, at, leaf, data)
FROM STDIN (FORMAT binary);

-- name: copy_entities
COPY entities (account_id, stream_id, position, entity_id, version, deleted, kind, number, state)
FROM STDIN (FORMAT binary);

-- name: carry_events
-- The events of the live stream, as they are, into the fresh one.
INSERT INTO events (account_id, stream_id, position, entity_id, version, type, type_version, at, actor, via, data, leaf)
SELECT account_id, %(stream)s, position, entity_id, version, type, type_version, at, actor, via, data, leaf FROM events
WHERE account_id = %(account)s AND stream_id = %(live)s AND position <= %(head)s;

-- name: carry_entities
INSERT INTO entities (account_id, stream_id, entity_id, version, position, deleted, kind, number, state)
SELECT account_id, %(stream)s, entity_id, version, position, deleted, kind, number, state FROM entities
WHERE account_id = %(account)s AND stream_id = %(live)s AND entity_id <> ALL(%(but)s::uuid[]);

-- name: read_returning
-- Entities that come back, as the account has them, and when the last event of each was. Keys: entities_pkey, events_pkey.
SELECT e.entity_id::text, e.kind, e.state, v.at FROM entities e
JOIN events v ON v.account_id = e.account_id AND v.stream_id = e.stream_id AND v.position = e.position
WHERE e.account_id = %(account)s AND e.stream_id = %(live)s AND e.entity_id = ANY(%(entities)s::uuid[]);

-- name: carry_segments
INSERT INTO segments (account_id, stream_id, first_position, came_by, came_at, brought_by, source, authenticity,
                      subscriptions, attribution_trusted)
SELECT account_id, %(stream)s, first_position, came_by, came_at, brought_by, source, authenticity, subscriptions,
       attribution_trusted
FROM segments
WHERE account_id = %(account)s AND stream_id = %(live)s AND first_position <= %(head)s;

-- name: carry_attributions
INSERT INTO attributions (account_id, stream_id, first_position, person, linked_to, verified, name)
SELECT account_id, %(stream)s, first_position, person, linked_to, verified, name FROM attributions
WHERE account_id = %(account)s AND stream_id = %(live)s AND first_position <= %(head)s;

-- name: carry_came_back
-- What came back with the live stream stays held in the fresh one that begins with it.
UPDATE streams f SET came_back_at = l.came_back_at, came_back_head = l.came_back_head FROM streams l
WHERE f.account_id = %(account)s AND f.stream_id = %(stream)s
  AND l.account_id = %(account)s AND l.stream_id = %(live)s AND l.came_back_at IS NOT NULL;

-- name: insert_segment
INSERT INTO segments (account_id, stream_id, first_position, came_by, came_at, brought_by, source, authenticity,
                      subscriptions, attribution_trusted)
VALUES (%(account)s, %(stream)s, %(first)s, %(came_by)s, %(at)s, %(by)s, %(source)s, %(authenticity)s,
        %(subscriptions)s, %(trusted)s);

-- name: insert_attribution
INSERT INTO attributions (account_id, stream_id, first_position, person, linked_to, verified, name)
VALUES (%(account)s, %(stream)s, %(first)s, %(person)s, %(linked_to)s, %(verified)s, %(name)s);

-- name: count_arrived
SELECT (SELECT count(*) FROM events WHERE account_id = %(account)s AND stream_id = %(stream)s),
       (SELECT count(*) FROM entities WHERE account_id = %(account)s AND stream_id = %(stream)s);

-- name: lock_live
-- Row lock on the live stream until commit: from here on no writer comes between.
SELECT stream_id, head_position FROM streams WHERE account_id = %(account)s AND status = 'live' FOR UPDATE;

-- name: lock_stream
-- Row lock on the stream until commit: waits for a swap that is being committed. Key: streams_pkey.
SELECT status, came_back_at FROM streams WHERE account_id = %(account)s AND stream_id = %(stream)s FOR UPDATE;

-- name: retire
UPDATE streams SET status = 'retired' WHERE account_id = %(account)s AND stream_id = %(stream)s AND status = 'live';

-- name: make_live
-- What a stream that was retired holds so far comes back now, and its subscriptions are held.
UPDATE streams SET status = 'live', head_position = %(head)s, frontier = %(frontier)s, last_at = %(last_at)s,
       came_back_at = CASE status WHEN 'retired' THEN %(at)s ELSE came_back_at END,
       came_back_head = CASE status WHEN 'retired' THEN %(head)s ELSE came_back_head END
WHERE account_id = %(account)s AND stream_id = %(stream)s AND status = %(was)s;

-- name: last_time
-- The latest time of a stream's events. Reads them by position once; lines of several sources are not in one order.
SELECT max(at) FROM events WHERE account_id = %(account)s AND stream_id = %(stream)s;

-- name: read_target
-- What the account has, entity by entity, for its control totals and to be compared with an archive.
SELECT entity_id::text, kind, deleted, state FROM entities
WHERE account_id = %(account)s AND stream_id = %(stream)s;

-- name: read_formats
-- What the account's own history says of number formats, oldest first. Key: control_events_pkey.
SELECT type, data FROM control_events
WHERE account_id = %(account)s AND type IN ('account.opened', 'settings.changed')
ORDER BY position;

-- name: read_invoiced_only_in
-- Periods that a stream invoiced and the live one did not. Reads the stream's events once, by position.
SELECT e.entity_id::text, e.data, d.number FROM events e
LEFT JOIN entities d ON d.account_id = e.account_id AND d.stream_id = e.stream_id
                    AND d.entity_id = (e.data::json ->> 'document')::uuid
WHERE e.account_id = %(account)s AND e.stream_id = %(stream)s AND e.type = 'subscription.period_invoiced'
  AND NOT EXISTS (
    SELECT 1 FROM streams s JOIN events l ON l.account_id = s.account_id AND l.stream_id = s.stream_id
    WHERE s.account_id = e.account_id AND s.status = 'live' AND l.entity_id = e.entity_id AND l.type = e.type
      AND l.data = e.data)
ORDER BY e.position;

-- name: insert_attachment
INSERT INTO attachments (account_id, sha256, bytes) VALUES (%(account)s, %(sha256)s, %(bytes)s) ON CONFLICT DO NOTHING;

-- name: read_changed
-- The entities that a stream changed after a position, as they are, and by how many events. Keys: events_pkey from the
-- position on, then entities_pkey.
SELECT n.entity_id::text, n.kind, n.deleted, n.state, changed.events
FROM (SELECT entity_id, count(*) AS events FROM events
      WHERE account_id = %(account)s AND stream_id = %(stream)s AND position > %(after)s GROUP BY entity_id) AS changed
JOIN entities n ON n.account_id = %(account)s AND n.stream_id = %(stream)s AND n.entity_id = changed.entity_id
ORDER BY n.position;

-- name: read_lines_until
-- The lines of some entities up to a position, each entity's in order. Key: events_version_key.
SELECT event_line_1(type, type_version, entity_id, version, at, actor, via, data) FROM events
WHERE account_id = %(account)s AND stream_id = %(stream)s AND entity_id = ANY(%(entities)s::uuid[])
  AND position <= %(until)s
ORDER BY entity_id, version;

-- name: read_entities
SELECT entity_id::text, kind, deleted, state FROM entities
WHERE account_id = %(account)s AND stream_id = %(stream)s AND entity_id = ANY(%(entities)s::uuid[]);
