-- An account that a clone makes is filled before it is opened; until then it has no history and nobody has access to it.
-- What a clone that was killed leaves of one is removed. Policies and grants only: ACCESS EXCLUSIVE locks on accounts and
-- streams, for milliseconds. Processes of the version before go on.

-- The purger sees which accounts were never opened, and nothing else of them.
-- Its policies are its own: whose member somebody is, it need not know.
ALTER POLICY own_memberships ON accounts TO counterfoil_app;
GRANT SELECT (account_id, control_position), DELETE ON accounts TO counterfoil_purger;
CREATE POLICY never_opened ON accounts FOR SELECT TO counterfoil_purger USING (control_position = 0);
CREATE POLICY delete_never_opened ON accounts FOR DELETE TO counterfoil_purger USING (control_position = 0);
CREATE POLICY only_never_opened ON accounts AS RESTRICTIVE FOR DELETE TO counterfoil_purger USING (control_position = 0);

GRANT DELETE ON streams TO counterfoil_purger;
CREATE POLICY only_never_opened ON streams AS RESTRICTIVE FOR DELETE TO counterfoil_purger USING (
    status = 'abandoned' AND account_id IN (SELECT a.account_id FROM accounts a WHERE a.control_position = 0));
