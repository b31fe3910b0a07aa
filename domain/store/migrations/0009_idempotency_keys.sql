-- Requests that were sent with an Idempotency-Key, each with its answer, so that sending one again does nothing again.
-- Written in the transaction that does what was asked. New tables only: no lock that matters. Milliseconds.
-- Processes of the version before know no keys and go on.

-- The key is kept as its SHA-256 and the request as an HMAC under the key: a body may hold a passphrase.
-- stream_id is the stream that the answer speaks of; empty where a swap changes nothing about it. body is empty where it
-- held a secret, which is told once.
CREATE TABLE idempotency_keys (
    account_id  uuid NOT NULL,
    person_id   uuid NOT NULL,
    key_hash    bytea NOT NULL CHECK (length(key_hash) = 32),
    fingerprint bytea NOT NULL,
    stream_id   integer,
    at          timestamptz NOT NULL DEFAULT now(),
    status      smallint NOT NULL,
    headers     text NOT NULL,
    body        bytea,
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (account_id, person_id, key_hash)
);

-- Those of requests that are about no account yet.
CREATE TABLE idempotency_keys_of_people (
    person_id   uuid NOT NULL,
    key_hash    bytea NOT NULL CHECK (length(key_hash) = 32),
    fingerprint bytea NOT NULL,
    at          timestamptz NOT NULL DEFAULT now(),
    status      smallint NOT NULL,
    headers     text NOT NULL,
    body        bytea,
    CONSTRAINT idempotency_keys_of_people_pkey PRIMARY KEY (person_id, key_hash)
);

ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency_keys FORCE ROW LEVEL SECURITY;
ALTER TABLE idempotency_keys_of_people ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency_keys_of_people FORCE ROW LEVEL SECURITY;
CREATE POLICY own_account ON idempotency_keys TO counterfoil_app USING (account_id = (SELECT current_account()));
CREATE POLICY own_person ON idempotency_keys_of_people TO counterfoil_app
    USING (person_id = (SELECT current_person()));
GRANT SELECT, INSERT, UPDATE ON idempotency_keys, idempotency_keys_of_people TO counterfoil_app;

-- Removing is for the purger, which sees only those whose day is over.
CREATE POLICY expired ON idempotency_keys TO counterfoil_purger USING (at < now() - interval '24 hours');
CREATE POLICY expired ON idempotency_keys_of_people TO counterfoil_purger USING (at < now() - interval '24 hours');
GRANT SELECT (at), DELETE ON idempotency_keys, idempotency_keys_of_people TO counterfoil_purger;
