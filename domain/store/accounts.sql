-- name: insert_person
INSERT INTO people (person_id, email, name, created_at) VALUES (%(person)s, %(email)s, %(name)s, %(at)s)
ON CONFLICT (lower(email)) DO NOTHING;

-- name: find_person
-- Key: people_email_key.
SELECT person_id::text, email, name FROM people WHERE lower(email) = lower(%(email)s);

-- name: read_people
SELECT person_id::text, email, name FROM people WHERE person_id = ANY(%(people)s::uuid[]);

-- name: list_accounts
-- Those that the person of this transaction is a member of. Key: members_person.
SELECT a.account_id::text, a.slug, a.control, m.role FROM members m JOIN accounts a ON a.account_id = m.account_id
WHERE m.person_id = %(person)s ORDER BY a.slug;

-- name: find_account
-- By slug or id, among those that the person is a member of: the one of that id, should another be called so.
-- Key: accounts_slug_key or accounts_pkey.
SELECT a.account_id::text, a.slug, a.control, m.role FROM accounts a
JOIN members m ON m.account_id = a.account_id AND m.person_id = %(person)s
WHERE a.slug = %(name)s OR a.account_id::text = %(name)s ORDER BY a.account_id::text = %(name)s DESC LIMIT 1;

-- name: read_account
-- Key: accounts_pkey.
SELECT slug, control FROM accounts WHERE account_id = %(account)s AND erased_at IS NULL;

-- name: insert_account
INSERT INTO accounts (account_id, slug, control_position, control) VALUES (%(account)s, %(slug)s, 0, '')
ON CONFLICT ON CONSTRAINT accounts_slug_key DO NOTHING;

-- name: insert_live_stream
INSERT INTO streams (account_id, stream_id, status, created_at, created_by)
VALUES (%(account)s, 1, 'live', %(at)s, %(actor)s);

-- name: insert_recorded_segment
INSERT INTO segments (account_id, stream_id, first_position, came_by, came_at, brought_by, authenticity)
VALUES (%(account)s, 1, 1, 'recorded', %(at)s, %(actor)s, 'recorded');

-- name: link
-- In all streams of the account, those for undo too; what is not verified, only where an owner vouches for it.
-- Reads its attributions, a few for each restore.
UPDATE attributions SET linked_to = %(to)s
WHERE account_id = %(account)s AND person = %(person)s AND (verified OR %(vouched)s);

-- name: unlink
-- What is verified of a member is the member's again, all else with who brought it.
UPDATE attributions a
SET linked_to = CASE WHEN a.verified AND %(is_member)s THEN a.person ELSE substr(s.brought_by, 8)::uuid END
FROM segments s
WHERE a.account_id = %(account)s AND a.person = %(person)s AND s.account_id = a.account_id
  AND s.stream_id = a.stream_id AND s.first_position = a.first_position AND starts_with(s.brought_by, 'person:');

-- name: list_attributed
SELECT a.first_position, a.person::text, a.name, a.linked_to::text, a.verified
FROM attributions a JOIN streams s ON s.account_id = a.account_id AND s.stream_id = a.stream_id AND s.status = 'live'
WHERE a.account_id = %(account)s ORDER BY a.first_position, a.person;
