-- name: count_kinds
-- What is there of each kind. Keys: streams_live_key, entities_number_key.
SELECT e.kind, count(*) FROM streams s
JOIN entities e ON e.account_id = s.account_id AND e.stream_id = s.stream_id AND NOT e.deleted
WHERE s.account_id = %(account)s AND s.status = 'live' GROUP BY e.kind;
