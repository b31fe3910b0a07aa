-- How many jobs wait, are done and have ended, for the figures of an installation. A policy and a grant: ACCESS EXCLUSIVE
-- lock on jobs, for milliseconds. Processes of the version before go on.
GRANT SELECT (account_id, kind, state, requested_at, due_at, started_at, ended_at, attempt) ON jobs TO counterfoil_observer;
CREATE POLICY figures ON jobs FOR SELECT TO counterfoil_observer USING (true);
