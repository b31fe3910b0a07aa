-- name: list_due
-- The accounts, of all there are, with something to mail, for the purging role, which sees which those are.
-- Key: notices_due, all of it.
SELECT DISTINCT account_id::text FROM notices WHERE mail_due_at <= %(now)s ORDER BY 1;

-- name: give_up
-- What was never tried and is too old by now: there was no server, or the service did not run.
UPDATE notices SET mail = 'failed', mail_due_at = NULL, mail_problem = %(problem)s
WHERE account_id = %(account)s AND mail_due_at <= %(now)s AND mail_first IS NULL AND at < %(too_old)s;

-- name: lock_due
-- What is to be mailed now. Row locks until commit: of two who mail for an account, one waits, and finds it taken.
-- Key: notices_due.
SELECT person_id::text, position, at, mail_first, mail_tries FROM notices
WHERE account_id = %(account)s AND mail_due_at <= %(now)s
ORDER BY person_id, position LIMIT %(most)s FOR UPDATE;

-- name: count_mailed
-- How many mails each person got of late, or is to get at a further try, and when the first of them. Key: notices_pkey.
SELECT person_id::text, count(DISTINCT mail_first), min(mailed_at) FROM notices
WHERE account_id = %(account)s AND mail_first IS NOT NULL AND (mailed_at > %(since)s OR mail_due_at IS NOT NULL)
GROUP BY person_id;

-- name: put_off
UPDATE notices SET mail_due_at = %(until)s
WHERE account_id = %(account)s AND person_id = %(person)s AND position = ANY(%(positions)s);

-- name: claim
-- What goes into one mail, for as long as a try may take; after that anybody may try again.
UPDATE notices SET mail_first = %(first)s, mail_tries = mail_tries + 1, mail_due_at = %(until)s
WHERE account_id = %(account)s AND person_id = %(person)s
  AND (position = ANY(%(positions)s) OR mail_first = %(first)s);

-- name: read_events
-- What a mail tells, oldest first. Keys: notices_pkey, control_events_pkey.
SELECT e.type, e.at, e.actor, e.data
FROM notices n JOIN control_events e ON e.account_id = n.account_id AND e.position = n.position
WHERE n.account_id = %(account)s AND n.person_id = %(person)s AND n.mail_first = %(first)s ORDER BY n.position;

-- name: record_sent
UPDATE notices SET mail = 'sent', mailed_at = %(now)s, mail_due_at = NULL, mail_problem = NULL
WHERE account_id = %(account)s AND person_id = %(person)s AND mail_first = %(first)s AND mail = 'waiting';

-- name: record_not_sent
-- A further try where *until* says when; given up without.
UPDATE notices SET mail = CASE WHEN %(until)s::timestamptz IS NULL THEN 'failed' ELSE 'waiting' END,
       mail_due_at = %(until)s, mail_problem = %(problem)s
WHERE account_id = %(account)s AND person_id = %(person)s AND mail_first = %(first)s AND mail = 'waiting';
