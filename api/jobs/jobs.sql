-- name: insert_job
-- None for an account that was erased: whoever erases it holds a lock on its row. Key share lock on it until commit.
INSERT INTO jobs (account_id, job_id, kind, state, requested_by, via, request_id, request, sealed, requested_at, due_at)
SELECT account_id, %(job)s, %(kind)s, 'queued', %(requested_by)s, %(via)s, %(request_id)s, %(request)s, %(sealed)s,
       %(at)s, %(due_at)s
FROM accounts WHERE account_id = %(account)s AND erased_at IS NULL FOR KEY SHARE;

-- name: set_queue_id
-- Key: jobs_pkey.
UPDATE jobs SET queue_id = %(queue_id)s WHERE account_id = %(account)s AND job_id = %(job)s;

-- name: read_job
-- Key: jobs_pkey.
SELECT job_id::text, kind, state, revision, attempt, requested_by, via, requested_at, due_at, started_at, ended_at,
       cancel_requested, phase, phase_began_at, progress_at, done, total,
       request, CASE WHEN state = 'succeeded' THEN result END, problem
FROM jobs WHERE account_id = %(account)s AND job_id = %(job)s;

-- name: look_at_job
-- How far it is, without what may be long. Key: jobs_pkey.
SELECT job_id::text, kind, state, revision, attempt, requested_by, via, requested_at, due_at, started_at, ended_at,
       cancel_requested, phase, phase_began_at, progress_at, done, total
FROM jobs WHERE account_id = %(account)s AND job_id = %(job)s;

-- name: claim_job
-- Row lock until commit. Key: jobs_pkey.
UPDATE jobs
SET state = 'running', attempt = attempt + 1, started_at = coalesce(started_at, %(at)s), revision = revision + 1,
    phase = NULL, phase_began_at = NULL, progress_at = NULL, done = NULL, total = NULL
WHERE account_id = %(account)s AND job_id = %(job)s AND state IN ('queued', 'running')
RETURNING kind, attempt, requested_by, via, request_id, request, sealed, cancel_requested;

-- name: report_progress
-- Key: jobs_pkey.
UPDATE jobs
SET phase = %(phase)s, done = %(done)s, total = %(total)s, progress_at = %(at)s, revision = revision + 1,
    phase_began_at = CASE WHEN phase IS NOT DISTINCT FROM %(phase)s THEN phase_began_at ELSE %(began_at)s END
WHERE account_id = %(account)s AND job_id = %(job)s AND state = 'running';

-- name: hand_back
-- To be done from the beginning; the attempt that was broken off in order does not count.
UPDATE jobs SET state = 'queued', attempt = attempt - 1, revision = revision + 1, phase = NULL, done = NULL, total = NULL
WHERE account_id = %(account)s AND job_id = %(job)s AND state = 'running';

-- name: end_job
-- What was secret goes with it.
UPDATE jobs
SET state = %(state)s, ended_at = %(at)s, result = %(result)s, problem = %(problem)s, sealed = NULL,
    revision = revision + 1
WHERE account_id = %(account)s AND job_id = %(job)s AND state IN ('queued', 'running');

-- name: recorded
-- What earlier attempts of the job put on the account's own history. Key: control_events_pkey.
SELECT type, data FROM control_events WHERE account_id = %(account)s AND job_id = %(job)s ORDER BY position;

-- name: lock_account
-- For the session: whoever does a job of the account holds it, for as long as its connection lives.
SELECT pg_try_advisory_lock(%(space)s, hashtext(%(account)s));

-- name: list_jobs
-- Newest first, those before a job of that id. Key: jobs_pkey.
SELECT job_id::text, kind, state, revision, attempt, requested_by, via, requested_at, due_at, started_at, ended_at,
       cancel_requested, phase, phase_began_at, progress_at, done, total
FROM jobs
WHERE account_id = %(account)s
  AND (%(before)s::uuid IS NULL OR job_id < %(before)s::uuid)
  AND (%(state)s::text IS NULL OR state = %(state)s)
  AND (%(kind)s::text IS NULL OR kind = %(kind)s)
ORDER BY job_id DESC LIMIT %(limit)s;

-- name: cancel_job
-- What waits has ended with this; what runs is told to. Row lock until commit. Key: jobs_pkey.
UPDATE jobs
SET cancel_requested = true, revision = revision + 1,
    sealed = CASE WHEN state = 'queued' THEN NULL ELSE sealed END,
    ended_at = CASE WHEN state = 'queued' THEN %(at)s::timestamptz END,
    state = CASE WHEN state = 'queued' THEN 'cancelled' ELSE state END
WHERE account_id = %(account)s AND job_id = %(job)s AND state IN ('queued', 'running') AND NOT cancel_requested
RETURNING queue_id;

-- name: forget_old_jobs
-- Under the purger's role, which sees those alone.
DELETE FROM jobs;

-- name: keep_result
-- In the transaction that does the work, so that whoever takes the job up finds it done. Key: jobs_pkey.
UPDATE jobs SET result = %(result)s WHERE account_id = %(account)s AND job_id = %(job)s AND state = 'running';

-- name: kept_result
-- Key: jobs_pkey.
SELECT result FROM jobs WHERE account_id = %(account)s AND job_id = %(job)s;
