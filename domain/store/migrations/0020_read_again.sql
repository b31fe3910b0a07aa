-- When what is kept of each account is read again, which was one errand for all of them; an account that was never planned
-- is due. A column without a default and an index on one row an account: ACCESS EXCLUSIVE and SHARE locks on
-- daily_backups, for milliseconds. Processes of the version before go on, and leave the column empty.
ALTER TABLE daily_backups ADD COLUMN read_at timestamptz;
CREATE INDEX daily_backups_read ON daily_backups (read_at NULLS FIRST);
GRANT SELECT (read_at), UPDATE (read_at) ON daily_backups TO counterfoil_keeper;
