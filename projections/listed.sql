-- name: read_heads
-- The live stream, and how far its rows of each kind are made by the rules of this version. Keys: streams_live_key,
-- listed_heads_pkey.
SELECT s.stream_id, s.head_position,
       ARRAY(SELECT h.kind FROM listed_heads h
             WHERE h.account_id = s.account_id AND h.stream_id = s.stream_id AND h.rules = %(rules)s
               AND h.position = s.head_position)
FROM streams s WHERE s.account_id = %(account)s AND s.status = 'live';

-- name: lock_live
-- Row lock on the live stream until commit: nobody writes meanwhile, others read beside it. Key: streams_live_key.
SELECT 1 FROM streams WHERE account_id = %(account)s AND status = 'live' FOR SHARE;

-- name: make_head
INSERT INTO listed_heads (account_id, stream_id, kind, rules, position)
VALUES (%(account)s, %(stream)s, %(kind)s, %(rules)s, 0) ON CONFLICT DO NOTHING;

-- name: lock_head
-- Row lock until commit: each row is made once. Key: listed_heads_pkey.
SELECT CASE rules WHEN %(rules)s THEN position ELSE 0 END FROM listed_heads
WHERE account_id = %(account)s AND stream_id = %(stream)s AND kind = %(kind)s FOR UPDATE;

-- name: put_head
UPDATE listed_heads SET position = %(head)s, rules = %(rules)s
WHERE account_id = %(account)s AND stream_id = %(stream)s AND kind = %(kind)s;

-- name: read_recent
-- Snapshots of a kind that changed after a position, where that was not long ago. Keys: events_pkey, entities_pkey.
SELECT e.entity_id::text, e.deleted, e.state
FROM (SELECT DISTINCT entity_id FROM events
      WHERE account_id = %(account)s AND stream_id = %(stream)s AND position > %(position)s) AS n
JOIN entities e ON e.account_id = %(account)s AND e.stream_id = %(stream)s AND e.entity_id = n.entity_id
WHERE e.kind = %(kind)s;

-- name: read_changed
-- The same over all entities. Key: entities_number_key.
SELECT entity_id::text, deleted, state FROM entities
WHERE account_id = %(account)s AND stream_id = %(stream)s AND kind = %(kind)s AND position > %(position)s;

-- name: put_rows
-- Key: listed_pkey.
INSERT INTO listed AS mine (account_id, stream_id, kind, entity_id, state, belongs_to, dated, due, amount, open_amount,
                            number, number_order, name, currency, country, city, vat, email, refs, text)
SELECT %(account)s, %(stream)s, %(kind)s, n.id, n.state, n.belongs_to, n.dated, n.due, n.amount, n.open_amount,
       n.number, n.number_order, n.name, n.currency, n.country, n.city, n.vat, n.email, n.refs, n.text
FROM json_to_recordset(%(made)s::json) AS n (
    id uuid, state text, belongs_to uuid, dated date, due date, amount numeric, open_amount numeric, number text,
    number_order text, name text, currency text, country text, city text, vat text, email text, refs text[], text text)
ON CONFLICT ON CONSTRAINT listed_pkey DO UPDATE
SET state = excluded.state, belongs_to = excluded.belongs_to, dated = excluded.dated, due = excluded.due,
    amount = excluded.amount, open_amount = excluded.open_amount, number = excluded.number,
    number_order = excluded.number_order, name = excluded.name, currency = excluded.currency,
    country = excluded.country, city = excluded.city, vat = excluded.vat, email = excluded.email,
    refs = excluded.refs, text = excluded.text;

-- name: delete_rows
-- Key: listed_pkey.
DELETE FROM listed
WHERE account_id = %(account)s AND stream_id = %(stream)s AND kind = %(kind)s AND entity_id = ANY(%(gone)s::uuid[]);

-- name: forget
-- The rows of a stream are made anew when a list is asked for.
WITH heads AS (DELETE FROM listed_heads WHERE account_id = %(account)s AND stream_id = %(stream)s)
DELETE FROM listed WHERE account_id = %(account)s AND stream_id = %(stream)s;

-- name: read_heads_of
-- How far a stream's rows are by the rules of this version. Key: listed_heads_pkey.
SELECT kind, position FROM listed_heads
WHERE account_id = %(account)s AND stream_id = %(stream)s AND rules = %(rules)s ORDER BY kind;

-- name: read_pairs
-- Snapshots of a kind that did not change after a position, with their rows; and rows without a snapshot.
-- Keys: entities_number_key, listed_pkey; both sides are read once.
SELECT coalesce(e.entity_id, l.entity_id)::text, coalesce(e.deleted, true), e.state, row_to_json(l)::text
FROM (SELECT * FROM entities WHERE account_id = %(account)s AND stream_id = %(stream)s AND kind = %(kind)s) AS e
FULL JOIN (SELECT * FROM listed WHERE account_id = %(account)s AND stream_id = %(stream)s AND kind = %(kind)s) AS l
    USING (entity_id)
WHERE e.position IS NULL OR e.position <= %(position)s;
