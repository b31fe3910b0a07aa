-- name: enter
SELECT * FROM enter_1(%(credential)s, %(is_session)s, %(account)s, %(known)s, %(at)s, %(idle)s);

-- name: insert_token
INSERT INTO api_tokens (token_id, token_hash, person_id, name, scopes, only_account, created_at, expires_at)
VALUES (%(id)s, %(hash)s, %(person)s, %(name)s, %(scopes)s, %(only_account)s, %(at)s, %(expires_at)s);

-- name: list_tokens
-- Key: api_tokens_person.
SELECT token_id::text, name, scopes, only_account::text, created_at, expires_at, last_used_at FROM api_tokens
WHERE person_id = %(person)s ORDER BY token_id;

-- name: delete_token
DELETE FROM api_tokens WHERE person_id = %(person)s AND token_id = %(id)s RETURNING name;

-- name: insert_session
INSERT INTO sessions (session_id, session_hash, person_id, created_at, expires_at, last_used_at, address, agent)
VALUES (%(id)s, %(hash)s, %(person)s, %(at)s, %(expires_at)s, %(at)s, %(address)s, %(agent)s);

-- name: list_sessions
-- Key: sessions_person.
SELECT session_id::text, created_at, expires_at, last_used_at, address, agent FROM sessions
WHERE person_id = %(person)s AND expires_at > %(at)s AND last_used_at > %(at)s - %(idle)s::interval ORDER BY session_id;

-- name: delete_session
DELETE FROM sessions WHERE person_id = %(person)s AND session_id = %(id)s;

-- name: delete_sessions
DELETE FROM sessions WHERE person_id = %(person)s;

-- name: delete_old_sessions
DELETE FROM sessions WHERE person_id = %(person)s AND (expires_at <= %(at)s OR last_used_at <= %(at)s - %(idle)s::interval);

-- name: read_password
-- Key: passwords_pkey.
SELECT hash FROM passwords WHERE person_id = %(person)s;

-- name: upsert_password
INSERT INTO passwords (person_id, hash, changed_at) VALUES (%(person)s, %(hash)s, %(at)s)
ON CONFLICT (person_id) DO UPDATE SET hash = excluded.hash, changed_at = excluded.changed_at;

-- name: rehash_password
-- Only while it still is the password that was checked.
UPDATE passwords SET hash = %(hash)s WHERE person_id = %(person)s AND hash = %(before)s;

-- name: lock_password
-- Row lock until commit: of two changes with one old password, one is too late.
SELECT hash FROM passwords WHERE person_id = %(person)s FOR UPDATE;

-- name: insert_code
INSERT INTO password_codes (code_hash, person_id, only_account, created_at, expires_at)
VALUES (%(hash)s, %(person)s, %(only_account)s, %(at)s, %(expires_at)s);

-- name: find_code
-- Shown only to whoever presents it. Key: password_codes_pkey.
SELECT person_id::text, only_account::text FROM password_codes WHERE code_hash = %(hash)s AND expires_at > %(at)s;

-- name: delete_code
DELETE FROM password_codes WHERE person_id = %(person)s AND code_hash = %(hash)s;

-- name: delete_codes
DELETE FROM password_codes WHERE person_id = %(person)s;

-- name: insert_sign_in
INSERT INTO sign_ins (person_id, at, what, address, about)
VALUES (%(person)s, %(at)s, %(what)s, %(address)s, %(about)s);

-- name: delete_old_sign_ins
-- Those that are too old, or too many. Key: sign_ins_person.
DELETE FROM sign_ins WHERE person_id = %(person)s AND at < greatest(%(before)s, coalesce((
    SELECT s.at FROM sign_ins s WHERE s.person_id = %(person)s ORDER BY s.at DESC OFFSET %(most)s LIMIT 1), %(before)s));

-- name: list_sign_ins
-- Key: sign_ins_person.
SELECT at, what, address, about FROM sign_ins WHERE person_id = %(person)s ORDER BY at DESC LIMIT %(limit)s;

-- name: is_known_place
-- Whether the person signed in from that address lately. Key: sign_ins_person.
SELECT EXISTS (SELECT FROM sign_ins WHERE person_id = %(person)s AND at > %(since)s AND what = 'signed_in'
    AND address = %(address)s);

-- name: is_only_in
-- Whether the person of this transaction has access to that account and to no other, and no credential yet.
SELECT EXISTS (SELECT FROM members WHERE person_id = %(person)s AND account_id = %(account)s)
    AND NOT EXISTS (SELECT FROM members WHERE person_id = %(person)s AND account_id <> %(account)s)
    AND NOT EXISTS (SELECT FROM passwords WHERE person_id = %(person)s)
    AND NOT EXISTS (SELECT FROM api_tokens WHERE person_id = %(person)s);

-- name: charge_try
SELECT charge_try_1(%(buckets)s, %(free)s, %(longest)s, %(at)s);

-- name: forget_tries
DELETE FROM attempts WHERE bucket = ANY(%(buckets)s);

-- name: refund_tries
UPDATE attempts SET failures = greatest(failures - 1, 0), waits_until = least(waits_until, %(at)s)
WHERE bucket = ANY(%(buckets)s);

-- name: present
-- For this transaction: whose is presented may be seen.
SELECT set_config('counterfoil.credential', %(hash)s, true);
