-- name: read_leaves
-- A block of leaves by position. Key: events_pkey.
SELECT array_agg(leaf ORDER BY position), max(position) FROM events
WHERE account_id = %(account)s AND stream_id = %(stream)s AND position > %(after)s AND position <= %(last)s;

-- name: read_changed_since
-- A block of the events up to a position of entities of a kind that were changed after it, by entity and version: their
-- lines and positions, and where the block ends. Keys: entities_pkey for what was changed, events_version_key for each.
SELECT convert_to(string_agg(line, E'\n'), 'UTF8'), array_agg(position),
       (array_agg(entity_id::text))[count(*)], (array_agg(version))[count(*)]
FROM (SELECT v.line, v.position, n.entity_id, v.version
      FROM (SELECT entity_id FROM entities
            WHERE account_id = %(account)s AND stream_id = %(stream)s AND kind = %(kind)s
              AND entity_id >= %(entity)s::uuid AND position > %(last)s
            ORDER BY entity_id) AS n
      CROSS JOIN LATERAL (
          SELECT event_line_1(e.type, e.type_version, e.entity_id, e.version, e.at, e.actor, e.via, e.data) AS line,
                 e.position, e.version
          FROM events e
          WHERE e.account_id = %(account)s AND e.stream_id = %(stream)s AND e.entity_id = n.entity_id
            AND e.position <= %(last)s AND (e.entity_id, e.version) > (%(entity)s::uuid, %(version)s)
          ORDER BY e.version) AS v
      ORDER BY n.entity_id, v.version LIMIT %(rows)s) AS block;

-- name: read_entities
-- The events of entities of a kind up to a position. Key: events_version_key.
SELECT e.entity_id::text, e.version, e.type, e.type_version, e.data
FROM unnest(%(entities)s::uuid[]) AS n (entity_id)
CROSS JOIN LATERAL (
    SELECT * FROM events e
    WHERE e.account_id = %(account)s AND e.stream_id = %(stream)s AND e.entity_id = n.entity_id
      AND e.position <= %(last)s AND starts_with(e.type, %(kind)s || '.')) AS e
ORDER BY e.entity_id, e.version;

-- name: read_entity
-- The events of an entity, if it is of the kind, up to a position. Key: events_version_key.
SELECT version, type, type_version, data FROM events
WHERE account_id = %(account)s AND stream_id = %(stream)s AND entity_id = %(entity)s AND position <= %(last)s
  AND starts_with(type, %(kind)s || '.')
ORDER BY version;

-- name: read_changed_between
-- The events up to a position of the entities that got any after an earlier one, by entity and version, with their
-- positions. Keys: events_pkey for the range, events_version_key for each entity.
SELECT e.position,
       convert_to(event_line_1(e.type, e.type_version, e.entity_id, e.version, e.at, e.actor, e.via, e.data), 'UTF8')
FROM events e
WHERE e.account_id = %(account)s AND e.stream_id = %(stream)s AND e.position <= %(until)s
  AND e.entity_id IN (
    SELECT c.entity_id FROM events c
    WHERE c.account_id = %(account)s AND c.stream_id = %(stream)s
      AND c.position > %(after)s AND c.position <= %(until)s)
ORDER BY e.entity_id, e.version;
