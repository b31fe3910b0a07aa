-- name: list_time_zones
-- Every account that is looked after, and its time zone, for the keeper. Reads daily_backups once.
SELECT account_id::text, time_zone FROM daily_backups ORDER BY 1;
