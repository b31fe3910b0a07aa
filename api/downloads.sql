-- name: find_download
-- Whether somebody began to download an archive of late. The account's own history, newest first: it is short.
-- Key: control_events_pkey.
SELECT 1 FROM control_events
WHERE account_id = %(account)s AND type = 'archive.downloaded' AND actor = %(actor)s AND at >= %(since)s
  AND data::json ->> 'archive' = %(archive)s
LIMIT 1;
