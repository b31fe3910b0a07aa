-- When each account is to be backed up, and what its newest daily backup has; and a role that finds whose turn it is,
-- over all accounts, and sees nothing of what they hold. A new table, grants and policies: ACCESS EXCLUSIVE locks on
-- accounts, streams and control_events, for milliseconds. Processes of the version before go on; they take no daily ones.

-- One row an account, made when the service first sees it. The figures are those of the newest daily backup that was
-- found sound: up to where, in which archive, with which control totals; kept are those that the retention rule keeps,
-- as JSON: [archive, file, taken_at, bytes]. next_at: the next night's moment, or of another
-- try. claimed_until: somebody is at work on it, and is taken for gone after that. current_at: when it was last known
-- that the newest one has all there is.
CREATE TABLE daily_backups (
    account_id       uuid PRIMARY KEY REFERENCES accounts,
    time_zone        text NOT NULL,
    next_at          timestamptz NOT NULL,
    claimed_until    timestamptz,
    attempts         integer NOT NULL DEFAULT 0,
    stream_id        integer,
    position         bigint,
    control_position bigint,
    archive          text,
    taken_at         timestamptz,
    size_bytes       bigint,
    seconds          double precision,
    totals           text,
    kept             text NOT NULL DEFAULT '[]',
    kept_bytes       bigint NOT NULL DEFAULT 0,
    current_at       timestamptz,
    failed_at        timestamptz,
    failed_code      text,
    failed_reason    text,
    shrunk_at        timestamptz,
    rehearse_at      timestamptz NOT NULL,
    proven_archive   text,
    proven_at        timestamptz
);
CREATE INDEX daily_backups_next ON daily_backups (next_at);
CREATE INDEX daily_backups_rehearse ON daily_backups (rehearse_at);
ALTER TABLE daily_backups ENABLE ROW LEVEL SECURITY;
ALTER TABLE daily_backups FORCE ROW LEVEL SECURITY;
CREATE POLICY own_account ON daily_backups USING (account_id = (SELECT current_account()));
GRANT SELECT, INSERT, UPDATE ON daily_backups TO counterfoil_app;

-- The keeper sees where every account stands, not what is in it, and puts off whose turn it is not.
GRANT SELECT (account_id, control_position) ON accounts TO counterfoil_keeper;
GRANT SELECT (account_id, stream_id, status, head_position) ON streams TO counterfoil_keeper;
GRANT SELECT (account_id, position, type) ON control_events TO counterfoil_keeper;
GRANT SELECT ON daily_backups TO counterfoil_keeper;
GRANT UPDATE (next_at, rehearse_at, claimed_until, current_at, attempts) ON daily_backups TO counterfoil_keeper;
CREATE POLICY opened ON accounts FOR SELECT TO counterfoil_keeper USING (control_position > 0);
CREATE POLICY live ON streams FOR SELECT TO counterfoil_keeper USING (status = 'live');
CREATE POLICY kept ON control_events FOR SELECT TO counterfoil_keeper USING (true);
CREATE POLICY kept_to_read ON daily_backups FOR SELECT TO counterfoil_keeper USING (true);
CREATE POLICY kept_to_plan ON daily_backups FOR UPDATE TO counterfoil_keeper USING (true);
