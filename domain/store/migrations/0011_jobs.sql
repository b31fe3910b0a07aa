-- Long work is a job: what became of it is a row here, its place in the queue a row of the queue's library in a schema of
-- its own. Everything is new but one column of control_events, empty for what is there: ACCESS EXCLUSIVE lock on it for
-- milliseconds. Processes of the version before go on: they know of no job.

-- request and sealed: what was asked for, and what of that is secret, sealed; wiped when the job ends. queue_id: its row
-- in the queue. revision counts the changes of this row. problem and result: the end, as the API answers it.
CREATE TABLE jobs (
    account_id       uuid NOT NULL REFERENCES accounts,
    job_id           uuid NOT NULL,
    kind             text NOT NULL,
    state            text NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    revision         bigint NOT NULL DEFAULT 1,
    attempt          integer NOT NULL DEFAULT 0,
    queue_id         bigint,
    requested_by     text NOT NULL,
    via              text NOT NULL,
    request_id       text,
    request          text NOT NULL,
    sealed           bytea,
    requested_at     timestamptz NOT NULL,
    due_at           timestamptz NOT NULL,
    started_at       timestamptz,
    ended_at         timestamptz,
    cancel_requested boolean NOT NULL DEFAULT false,
    phase            text,
    phase_began_at   timestamptz,
    progress_at      timestamptz,
    done             bigint,
    total            bigint,
    result           text,
    problem          text,
    CONSTRAINT jobs_pkey PRIMARY KEY (account_id, job_id)
);
ALTER TABLE jobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE jobs FORCE ROW LEVEL SECURITY;
CREATE POLICY own_account ON jobs USING (account_id = (SELECT current_account()));
GRANT SELECT, INSERT, UPDATE, DELETE ON jobs TO counterfoil_app;

-- Which job recorded it: whoever takes up a job whose worker was killed sees what of it was done.
ALTER TABLE control_events ADD COLUMN job_id uuid DEFAULT nullif(current_setting('counterfoil.job', true), '')::uuid;

CREATE SCHEMA queue;
GRANT USAGE ON SCHEMA queue TO counterfoil_queue;
-- The migrations of the queue's library that this database has, by the names of their files.
CREATE TABLE queue_migrations (
    name       text PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);
