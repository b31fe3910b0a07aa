-- name: list_accounts
-- All accounts that live, for the keeper; reads accounts once.
SELECT a.account_id::text FROM accounts a
JOIN streams s ON s.account_id = a.account_id AND s.status = 'live' ORDER BY 1;

-- name: list_damaged
-- The archives that were found damaged before. Key: control_events_pkey.
SELECT data FROM control_events WHERE account_id = %(account)s AND type = 'backup.damaged';
