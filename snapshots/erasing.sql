-- name: list_due
-- The accounts whose time is up, or that are to be told soon, and those that were erased of late, for the purging role.
-- Reads accounts once.
SELECT account_id::text, erased_at IS NOT NULL FROM accounts
WHERE (erased_at IS NULL AND erase_after <= %(until)s) OR (erased_at IS NOT NULL AND erased_wholly_at IS NULL)
ORDER BY 1;

-- name: read_history
-- Who opened and closed the account, and when it was announced that it would be erased. Key: control_events_pkey.
SELECT type, at, actor FROM control_events
WHERE account_id = %(account)s AND type IN ('account.opened', 'account.closed', 'account.erasure_announced')
ORDER BY position;

-- name: is_at_work
-- Whether somebody takes a daily backup of the account, which nobody begins until commit, or builds a stream of it, or a
-- job of it runs or is to run by now.
SELECT NOT pg_try_advisory_xact_lock(hashtextextended('daily-backup ' || %(account)s::uuid::text, 0))
    OR EXISTS (SELECT 1 FROM streams WHERE account_id = %(account)s AND status = 'building')
    OR EXISTS (SELECT 1 FROM jobs WHERE account_id = %(account)s
               AND (state = 'running' OR (state = 'queued' AND due_at <= %(now)s)));

-- name: erase_account
-- The account is called nothing any more, and is nobody's; its short name is free. Row lock on it until commit.
UPDATE accounts SET slug = 'erased-' || account_id, control = '', erase_after = NULL, erased_at = %(at)s
WHERE account_id = %(account)s;

-- name: erase_streams
-- No stream can be made live, or written to, from here on. Row locks until commit.
UPDATE streams SET status = 'purged' WHERE account_id = %(account)s;

-- name: list_tables
-- The tables that hold rows of accounts, each with those that must be emptied before it: what refers to it, and for
-- streams what is of a stream.
SELECT c.relname::text, coalesce(array_agg(DISTINCT f.conrelid::regclass::text) FILTER (WHERE f.conrelid <> c.oid),
                                 '{}')
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'account_id'
LEFT JOIN (
    SELECT conrelid, confrelid FROM pg_constraint WHERE contype = 'f'
    UNION SELECT attrelid, 'streams'::regclass FROM pg_attribute JOIN pg_class t ON t.oid = attrelid
          WHERE attname = 'stream_id' AND t.relkind = 'r' AND t.relnamespace = 'public'::regnamespace
) AS f ON f.confrelid = c.oid
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname <> 'accounts'
GROUP BY c.relname;

-- name: note_erased_wholly
-- Once it was erased some time ago.
UPDATE accounts SET erased_wholly_at = %(at)s WHERE account_id = %(account)s AND erased_at <= %(before)s;
