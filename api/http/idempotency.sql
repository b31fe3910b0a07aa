-- name: keep_in_account
-- No row for a key that is remembered already; one that is being kept at this moment is waited for.
-- Key: idempotency_keys_pkey.
INSERT INTO idempotency_keys AS mine (account_id, person_id, key_hash, fingerprint, stream_id, status, headers, body)
VALUES (%(account)s, %(person)s, %(key)s, %(fingerprint)s, %(stream)s, %(status)s, %(headers)s, %(body)s)
ON CONFLICT ON CONSTRAINT idempotency_keys_pkey DO UPDATE
SET fingerprint = excluded.fingerprint, stream_id = excluded.stream_id, at = excluded.at, status = excluded.status,
    headers = excluded.headers, body = excluded.body
WHERE mine.at < now() - interval '24 hours';

-- name: keep_of_person
-- As above, for requests that are about no account. Key: idempotency_keys_of_people_pkey.
INSERT INTO idempotency_keys_of_people AS mine (person_id, key_hash, fingerprint, status, headers, body)
VALUES (%(person)s, %(key)s, %(fingerprint)s, %(status)s, %(headers)s, %(body)s)
ON CONFLICT ON CONSTRAINT idempotency_keys_of_people_pkey DO UPDATE
SET fingerprint = excluded.fingerprint, at = excluded.at, status = excluded.status, headers = excluded.headers,
    body = excluded.body
WHERE mine.at < now() - interval '24 hours';

-- name: find_in_account
-- Key: idempotency_keys_pkey, streams_live_key.
SELECT k.fingerprint, k.stream_id, s.stream_id, k.status, k.headers, k.body
FROM idempotency_keys k JOIN streams s ON s.account_id = k.account_id AND s.status = 'live'
WHERE k.account_id = %(account)s AND k.person_id = %(person)s AND k.key_hash = %(key)s
  AND k.at >= now() - interval '24 hours';

-- name: find_of_person
-- Key: idempotency_keys_of_people_pkey.
SELECT fingerprint, NULL::integer, NULL::integer, status, headers, body FROM idempotency_keys_of_people
WHERE person_id = %(person)s AND key_hash = %(key)s AND at >= now() - interval '24 hours';

-- name: sweep_in_accounts
-- All that the purger sees: those whose day is over. Reads the table.
DELETE FROM idempotency_keys;

-- name: sweep_of_people
-- As above.
DELETE FROM idempotency_keys_of_people;
