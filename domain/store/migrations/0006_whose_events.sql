-- Linking people to what was theirs, and an owner's word for what nobody signed. One column with a constant default:
-- ACCESS EXCLUSIVE lock on segments, a small table, for milliseconds. Processes of the version before go on.

-- Whether the account's owner vouched for who did what in a segment that no trusted key vouches for.
ALTER TABLE segments ADD COLUMN attribution_trusted boolean NOT NULL DEFAULT false;

-- To whom events are linked can change; that they are by whom their lines say cannot.
GRANT UPDATE (linked_to) ON attributions TO counterfoil_app;
