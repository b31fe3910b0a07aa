-- Whether the subscriptions that a segment brought are held, or go on since the account replaces the one that they came
-- from. A column with a constant default: no row is rewritten. ACCESS EXCLUSIVE lock on segments, for milliseconds.
-- Processes of the version before leave it at its default, which holds.
ALTER TABLE segments ADD COLUMN subscriptions text NOT NULL DEFAULT 'hold'
    CHECK (subscriptions IN ('hold', 'moved'));
