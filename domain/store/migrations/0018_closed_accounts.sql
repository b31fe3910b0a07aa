-- Closed accounts are erased after a time. Two columns without a default: ACCESS EXCLUSIVE lock on accounts, for
-- milliseconds; a policy on each table that holds rows of accounts, under the same lock on that one. Processes of the
-- version before go on: what they close is kept, and so is what was closed before.

-- When the account is to be erased, by its own history; when it was; and when the last of it was gone.
ALTER TABLE accounts ADD COLUMN erase_after timestamptz, ADD COLUMN erased_at timestamptz,
    ADD COLUMN erased_wholly_at timestamptz;

-- The purger sees which accounts are to be erased or were, and nothing else of them.
GRANT SELECT (erase_after, erased_at, erased_wholly_at) ON accounts TO counterfoil_purger;
CREATE POLICY to_be_erased ON accounts FOR SELECT TO counterfoil_purger
    USING (erase_after IS NOT NULL OR erased_at IS NOT NULL);

-- Lets the purger delete an account's rows from a table once the account is erased, and not before. Every table that
-- holds rows of accounts is given to it once, by the migration that makes the table.
CREATE FUNCTION let_erase_1(erased_from regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT has_table_privilege('counterfoil_purger', erased_from, 'DELETE') THEN
        EXECUTE format('CREATE POLICY only_erased ON %s AS RESTRICTIVE FOR DELETE TO counterfoil_purger'
                       ' USING (account_id IN (SELECT a.account_id FROM accounts a WHERE a.erased_at IS NOT NULL))',
                       erased_from);
    END IF;
    EXECUTE format('CREATE POLICY erased ON %s TO counterfoil_purger'
                   ' USING (account_id IN (SELECT a.account_id FROM accounts a WHERE a.erased_at IS NOT NULL))',
                   erased_from);
    EXECUTE format('GRANT SELECT, DELETE ON %s TO counterfoil_purger', erased_from);
END $$;

SELECT let_erase_1(c.oid) FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'account_id'
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname <> 'accounts';

DROP POLICY only_never_opened ON streams;
CREATE POLICY only_of_no_account ON streams AS RESTRICTIVE FOR DELETE TO counterfoil_purger USING (
    (status = 'abandoned' AND account_id IN (SELECT a.account_id FROM accounts a WHERE a.control_position = 0))
    OR account_id IN (SELECT a.account_id FROM accounts a WHERE a.erased_at IS NOT NULL));

-- What is kept of an account that was erased stays.
CREATE POLICY erasure_stays ON control_events AS RESTRICTIVE FOR DELETE TO counterfoil_purger USING (type <> 'account.erased');

-- Whoever looks over all accounts sees no more of one that was erased.
GRANT SELECT (erased_at) ON accounts TO counterfoil_keeper, counterfoil_observer;
ALTER POLICY opened ON accounts USING (control_position > 0 AND erased_at IS NULL);
ALTER POLICY figures ON accounts USING (erased_at IS NULL);
