-- name: list_unscheduled
-- Accounts that were never looked after, for the keeper; one that was erased lives in no stream. Reads accounts once.
SELECT a.account_id::text FROM accounts a
JOIN streams s ON s.account_id = a.account_id AND s.status = 'live'
WHERE NOT EXISTS (SELECT 1 FROM daily_backups d WHERE d.account_id = a.account_id) ORDER BY 1;

-- name: insert_schedule
-- Once: somebody else may have been first.
INSERT INTO daily_backups (account_id, time_zone, next_at, rehearse_at, read_at)
VALUES (%(account)s, %(zone)s, %(next)s, %(rehearse)s, %(read)s) ON CONFLICT DO NOTHING;

-- name: claim_due
-- Whose turn it is, the longest waiting first, for the keeper: theirs until a time, and whether they changed since their
-- newest daily backup. What lies too far ahead was planned by a clock that ran ahead. What is left of an account that
-- was erased is passed over before any is counted. Key: daily_backups_next; row locks for the length of the statement.
UPDATE daily_backups d SET claimed_until = %(until)s
FROM (SELECT q.account_id, s.stream_id, s.head_position FROM daily_backups q
      JOIN streams s ON s.account_id = q.account_id AND s.status = 'live'
      WHERE (q.next_at <= %(now)s OR q.next_at > %(too_far)s)
        AND (q.claimed_until IS NULL OR q.claimed_until <= %(now)s OR q.claimed_until > %(until)s)
      ORDER BY q.next_at LIMIT %(most)s FOR UPDATE OF q SKIP LOCKED) AS due
WHERE d.account_id = due.account_id
RETURNING d.account_id::text, d.time_zone, d.next_at,
          (d.stream_id, d.position) IS DISTINCT FROM (due.stream_id, due.head_position) OR EXISTS (
              SELECT 1 FROM control_events c
              WHERE c.account_id = d.account_id AND c.position > d.control_position AND c.type = ANY(%(types)s));

-- name: lock_accounts
-- Those that the session has to itself from here on: whoever takes a daily backup holds this, and so does who erases, so
-- that nobody comes between, whatever a clock says and however long it takes.
SELECT account FROM unnest(%(accounts)s::text[]) AS account
WHERE pg_try_advisory_lock(hashtextextended('daily-backup ' || account, 0));

-- name: unlock_accounts
SELECT pg_advisory_unlock(hashtextextended('daily-backup ' || account, 0)) FROM unnest(%(accounts)s::text[]) AS account;

-- name: put_off
-- For the keeper: who did not change, and whose time was planned wrongly.
UPDATE daily_backups d
SET next_at = n.next_at, claimed_until = NULL, attempts = 0,
    current_at = CASE WHEN n.is_current THEN %(now)s ELSE d.current_at END
FROM unnest(%(accounts)s::uuid[], %(next)s::timestamptz[], %(current)s::boolean[]) AS n (account_id, next_at, is_current)
WHERE d.account_id = n.account_id;

-- name: release
-- For the keeper: what was claimed and not begun is anybody's again.
UPDATE daily_backups SET claimed_until = NULL WHERE account_id = ANY(%(accounts)s::uuid[]);

-- name: list_rehearsals
-- Whose newest backup is to be rehearsed, of the accounts that live, for the keeper. Key: daily_backups_rehearse.
SELECT d.account_id::text, d.time_zone, d.rehearse_at FROM daily_backups d
JOIN streams s ON s.account_id = d.account_id AND s.status = 'live'
WHERE d.rehearse_at <= %(now)s OR d.rehearse_at > %(too_far)s
ORDER BY d.rehearse_at LIMIT %(most)s;

-- name: plan_rehearsal
-- One of those who found it due plans the next. Row lock until commit. Key: daily_backups_pkey.
UPDATE daily_backups SET rehearse_at = %(next)s WHERE account_id = %(account)s AND rehearse_at = %(due)s
RETURNING archive IS NOT NULL;

-- name: list_readings
-- Whose archives are to be read again, of the accounts that live, for the keeper. Key: daily_backups_read.
SELECT d.account_id::text, d.time_zone, d.read_at FROM daily_backups d
JOIN streams s ON s.account_id = d.account_id AND s.status = 'live'
WHERE d.read_at <= %(now)s OR d.read_at > %(too_far)s OR d.read_at IS NULL
ORDER BY d.read_at NULLS FIRST LIMIT %(most)s;

-- name: plan_reading
-- As plan_rehearsal. Key: daily_backups_pkey.
UPDATE daily_backups SET read_at = %(next)s WHERE account_id = %(account)s AND read_at IS NOT DISTINCT FROM %(due)s;

-- name: read_standing
-- The account, and what is known of its daily backups. Keys: accounts_pkey, daily_backups_pkey.
SELECT a.slug, a.control_position, a.control, d.attempts, d.next_at, d.stream_id, d.position, d.archive, d.totals,
       d.kept
FROM accounts a JOIN daily_backups d ON d.account_id = a.account_id
WHERE a.account_id = %(account)s AND a.erased_at IS NULL;

-- name: record_taken
UPDATE daily_backups
SET time_zone = %(zone)s, next_at = %(next)s, claimed_until = NULL, attempts = 0, stream_id = %(stream)s,
    position = %(position)s, control_position = %(control_position)s, archive = %(archive)s, taken_at = %(taken_at)s,
    size_bytes = %(size)s, seconds = %(seconds)s, totals = %(totals)s, kept = %(kept)s,
    kept_bytes = %(kept_bytes)s, current_at = %(taken_at)s,
    shrunk_at = CASE WHEN %(shrunk)s THEN %(taken_at)s ELSE shrunk_at END
WHERE account_id = %(account)s;

-- name: record_failed
UPDATE daily_backups
SET next_at = %(next)s, claimed_until = NULL, attempts = %(attempts)s, failed_at = %(at)s, failed_code = %(code)s,
    failed_reason = %(reason)s, shrunk_at = CASE WHEN %(shrunk)s THEN %(at)s ELSE shrunk_at END
WHERE account_id = %(account)s;

-- name: record_proven
UPDATE daily_backups SET proven_archive = %(archive)s, proven_at = %(at)s WHERE account_id = %(account)s;

-- name: record_kept
UPDATE daily_backups SET kept = %(kept)s, kept_bytes = %(kept_bytes)s WHERE account_id = %(account)s;

-- name: read_kept
-- Row lock until commit. Key: daily_backups_pkey.
SELECT kept FROM daily_backups WHERE account_id = %(account)s FOR UPDATE;

-- name: read_status
-- Key: daily_backups_pkey.
SELECT next_at, attempts, stream_id, position, archive, taken_at, size_bytes, current_at, failed_at, failed_code,
       failed_reason, shrunk_at, rehearse_at, proven_archive, proven_at, kept
FROM daily_backups WHERE account_id = %(account)s;
