-- Bringing a retired stream back to life, and purging one. Two columns without a default and a check: ACCESS EXCLUSIVE
-- lock on streams, a small table, for milliseconds; policies of events and entities change under the same lock on those.
-- Processes of the version before go on: they know nothing of purged streams, and make none live.

-- When the stream was made live again, and how far it was then: what it holds up to there came back at that moment.
ALTER TABLE streams ADD COLUMN came_back_at timestamptz, ADD COLUMN came_back_head bigint;

-- A purged stream is gone for good from the moment that says so; its rows go after it, in batches.
ALTER TABLE streams DROP CONSTRAINT streams_status_check;
ALTER TABLE streams ADD CONSTRAINT streams_status_check
    CHECK (status IN ('building', 'live', 'retired', 'abandoned', 'purged'));

-- The purger finds what was left behind in any account: which streams are not live, and nothing of what they hold.
CREATE POLICY left_behind ON streams FOR SELECT TO counterfoil_purger USING (status <> 'live');

-- Deleting is for streams that nobody can make live again; which account's they are counts, for the purger sees others.
DROP POLICY not_the_live_one ON events;
DROP POLICY not_the_live_one ON entities;
CREATE POLICY only_of_no_use ON events AS RESTRICTIVE FOR DELETE TO counterfoil_purger USING (
    (account_id, stream_id) IN (
        SELECT s.account_id, s.stream_id FROM streams s WHERE s.status IN ('abandoned', 'purged')));
CREATE POLICY only_of_no_use ON entities AS RESTRICTIVE FOR DELETE TO counterfoil_purger USING (
    (account_id, stream_id) IN (
        SELECT s.account_id, s.stream_id FROM streams s WHERE s.status IN ('abandoned', 'purged')));
CREATE POLICY only_of_no_use ON series AS RESTRICTIVE FOR DELETE TO counterfoil_purger USING (
    (account_id, stream_id) IN (
        SELECT s.account_id, s.stream_id FROM streams s WHERE s.status IN ('abandoned', 'purged')));
CREATE POLICY only_of_no_use ON attributions AS RESTRICTIVE FOR DELETE TO counterfoil_purger USING (
    (account_id, stream_id) IN (
        SELECT s.account_id, s.stream_id FROM streams s WHERE s.status IN ('abandoned', 'purged')));
CREATE POLICY only_of_no_use ON segments AS RESTRICTIVE FOR DELETE TO counterfoil_purger USING (
    (account_id, stream_id) IN (
        SELECT s.account_id, s.stream_id FROM streams s WHERE s.status IN ('abandoned', 'purged')));
