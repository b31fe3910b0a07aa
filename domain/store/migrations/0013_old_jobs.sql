-- Jobs that ended 30 days ago are removed by the purger, which sees no others. Policies of jobs change under an ACCESS
-- EXCLUSIVE lock on it, for milliseconds. Processes of the version before go on.
ALTER POLICY own_account ON jobs TO counterfoil_app;
REVOKE DELETE ON jobs FROM counterfoil_app;
CREATE POLICY old ON jobs TO counterfoil_purger USING (ended_at < now() - interval '30 days');
GRANT SELECT (ended_at), DELETE ON jobs TO counterfoil_purger;
