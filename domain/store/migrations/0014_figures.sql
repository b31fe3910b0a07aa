-- What an installation's figures are made of, for a role of their own: how many accounts, streams and events there are.
-- Policies and grants only: ACCESS EXCLUSIVE locks on accounts and streams, for milliseconds. Processes of the version
-- before go on.

GRANT SELECT (account_id, control_position) ON accounts TO counterfoil_observer;
CREATE POLICY figures ON accounts FOR SELECT TO counterfoil_observer USING (true);
GRANT SELECT (account_id, stream_id, status, head_position, created_at) ON streams TO counterfoil_observer;
CREATE POLICY figures ON streams FOR SELECT TO counterfoil_observer USING (true);

-- Whether the database is at the migrations that a process needs.
GRANT SELECT ON schema_migrations TO counterfoil_app;
