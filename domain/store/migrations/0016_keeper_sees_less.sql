-- The keeper sees of daily backups when they are due and how they stand, and no sums and no words of an account. Grants
-- only: ACCESS SHARE locks for milliseconds. A process of the version before that reads figures over all accounts gets
-- none of backups until it is restarted.
REVOKE SELECT ON daily_backups FROM counterfoil_keeper;
GRANT SELECT (account_id, time_zone, next_at, claimed_until, attempts, stream_id, position, control_position, archive,
              taken_at, size_bytes, seconds, kept_bytes, current_at, failed_at, shrunk_at, rehearse_at, proven_archive,
              proven_at) ON daily_backups TO counterfoil_keeper;
