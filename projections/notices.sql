-- name: read_notices
-- A person's notices, newest first, with the events that they tell of. Keys: notices_pkey backwards, control_events_pkey.
SELECT n.position, n.at, n.read_at IS NOT NULL, n.mail, n.mail_problem, e.type, e.actor, e.data
FROM notices n JOIN control_events e ON e.account_id = n.account_id AND e.position = n.position
WHERE n.account_id = %(account)s AND n.person_id = %(person)s
  AND (%(before)s::bigint IS NULL OR n.position < %(before)s)
  AND (NOT %(unread)s OR n.read_at IS NULL)
ORDER BY n.position DESC LIMIT %(limit)s;

-- name: count_unread
-- Key: notices_pkey.
SELECT count(*) FROM notices WHERE account_id = %(account)s AND person_id = %(person)s AND read_at IS NULL;

-- name: mark_read
-- Key: notices_pkey.
UPDATE notices SET read_at = %(at)s
WHERE account_id = %(account)s AND person_id = %(person)s AND read_at IS NULL
  AND (%(up_to)s::bigint IS NULL OR position <= %(up_to)s);
