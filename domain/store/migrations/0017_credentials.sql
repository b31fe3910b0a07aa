-- What people are let in by: passwords, sessions, API tokens, one-time codes; what became of it, and who tries too often.
-- New tables only, and no lock on others but SHARE on tokens while its rows are copied: milliseconds. Processes of the
-- version before go on with the tokens there were: one that they make or replace meanwhile is not known to this version.
-- Each of these tables shows a person's own rows only, or the one row that is presented by its hash.

CREATE FUNCTION presented_credential() RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT decode(nullif(current_setting('counterfoil.credential', true), ''), 'hex') $$;

CREATE TABLE api_tokens (
    token_id     uuid PRIMARY KEY,
    token_hash   bytea NOT NULL CHECK (length(token_hash) = 32),
    person_id    uuid NOT NULL REFERENCES people,
    name         text NOT NULL,
    scopes       text[] NOT NULL,
    only_account uuid,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    last_used_at timestamptz,
    CONSTRAINT api_tokens_hash_key UNIQUE (token_hash)
);
CREATE INDEX api_tokens_person ON api_tokens (person_id);
INSERT INTO api_tokens (token_id, token_hash, person_id, name, scopes, created_at, expires_at)
SELECT gen_random_uuid(), token_hash, person_id, 'made before tokens had names',
       ARRAY['read', 'write', 'backup', 'restore', 'administer'], created_at, now() + interval '365 days'
FROM tokens;

CREATE TABLE sessions (
    session_id   uuid PRIMARY KEY,
    session_hash bytea NOT NULL CHECK (length(session_hash) = 32),
    person_id    uuid NOT NULL REFERENCES people,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    address      text NOT NULL,
    agent        text NOT NULL,
    CONSTRAINT sessions_hash_key UNIQUE (session_hash)
);
CREATE INDEX sessions_person ON sessions (person_id);

CREATE TABLE passwords (
    person_id  uuid PRIMARY KEY REFERENCES people,
    hash       text NOT NULL,
    changed_at timestamptz NOT NULL
);

-- A one-time code by which a person sets a password; bound to an account, where an administrator of it made the code.
CREATE TABLE password_codes (
    code_hash    bytea PRIMARY KEY CHECK (length(code_hash) = 32),
    person_id    uuid NOT NULL REFERENCES people,
    only_account uuid,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL
);
CREATE INDEX password_codes_person ON password_codes (person_id);

-- What became of a person's credentials, for that person.
CREATE TABLE sign_ins (
    person_id uuid NOT NULL REFERENCES people,
    at        timestamptz NOT NULL,
    what      text NOT NULL,
    address   text NOT NULL,
    about     text NOT NULL
);
CREATE INDEX sign_ins_person ON sign_ins (person_id, at);

DO $$
DECLARE
    personal_table text;
BEGIN
    FOREACH personal_table IN ARRAY ARRAY['api_tokens', 'sessions', 'passwords', 'password_codes', 'sign_ins'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', personal_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', personal_table);
        EXECUTE format('CREATE POLICY own_person ON %I USING (person_id = (SELECT current_person()))', personal_table);
    END LOOP;
END $$;
CREATE POLICY presented ON api_tokens FOR SELECT USING (token_hash = (SELECT presented_credential()));
CREATE POLICY presented ON sessions FOR SELECT USING (session_hash = (SELECT presented_credential()));
CREATE POLICY presented ON password_codes FOR SELECT USING (code_hash = (SELECT presented_credential()));

-- How often something was tried in vain, by the hash of what is tried and from where; nothing in it says who.
CREATE TABLE attempts (
    bucket      bytea PRIMARY KEY,
    failures    integer NOT NULL,
    last_at     timestamptz NOT NULL,
    waits_until timestamptz NOT NULL
);
CREATE INDEX attempts_last_at ON attempts (last_at);

GRANT SELECT, INSERT, DELETE ON api_tokens, sessions, password_codes, sign_ins TO counterfoil_app;
GRANT UPDATE (last_used_at) ON api_tokens, sessions TO counterfoil_app;
GRANT SELECT, INSERT, UPDATE ON passwords TO counterfoil_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON attempts TO counterfoil_app;

-- Who presents a token or session, by its hash, and what they have access to of the account of that name or id: in one
-- round trip. No row for a credential that is not known, or no longer; none of the account where there is no access.
-- control is empty when the caller has it already. Its last use is written at most once a minute.
-- Keys: api_tokens_hash_key or sessions_hash_key, members_pkey, accounts_pkey or accounts_slug_key.
CREATE FUNCTION enter_1(p_credential bytea, p_is_session boolean, p_account text, p_known bigint, p_at timestamptz,
                        p_idle interval)
RETURNS TABLE (credential_id text, scopes text[], only_account text, expires_at timestamptz, person_id text, email text,
               name text, account_id text, slug text, role text, control_position bigint, control text)
LANGUAGE plpgsql AS $$
DECLARE
    presented record;
    account uuid;
BEGIN
    PERFORM set_config('counterfoil.credential', encode(p_credential, 'hex'), true);
    IF p_is_session THEN
        SELECT s.session_id AS id, s.person_id, NULL::text[] AS scopes, NULL::uuid AS only_account, s.expires_at,
               s.last_used_at
        INTO presented FROM sessions s
        WHERE s.session_hash = p_credential AND s.expires_at > p_at AND s.last_used_at > p_at - p_idle;
    ELSE
        SELECT t.token_id AS id, t.person_id, t.scopes, t.only_account, t.expires_at, t.last_used_at
        INTO presented FROM api_tokens t
        WHERE t.token_hash = p_credential AND t.expires_at > p_at;
    END IF;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM set_config('counterfoil.person', presented.person_id::text, true);
    IF presented.last_used_at IS NULL OR presented.last_used_at < p_at - interval '1 minute' THEN
        IF p_is_session THEN
            UPDATE sessions s SET last_used_at = p_at WHERE s.session_id =
                (SELECT l.session_id FROM sessions l WHERE l.session_id = presented.id FOR UPDATE SKIP LOCKED);
        ELSE
            UPDATE api_tokens t SET last_used_at = p_at WHERE t.token_id =
                (SELECT l.token_id FROM api_tokens l WHERE l.token_id = presented.id FOR UPDATE SKIP LOCKED);
        END IF;
    END IF;
    IF p_account ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN
        SELECT m.account_id INTO account FROM members m
        WHERE m.account_id = p_account::uuid AND m.person_id = presented.person_id;
    END IF;
    IF account IS NULL AND p_account IS NOT NULL THEN
        SELECT a.account_id INTO account FROM accounts a WHERE a.slug = p_account;
    END IF;
    IF presented.only_account IS NOT NULL AND account IS DISTINCT FROM presented.only_account THEN
        account := NULL;
    END IF;
    IF account IS NOT NULL THEN
        PERFORM set_config('counterfoil.account', account::text, true);
    END IF;
    RETURN QUERY
    SELECT presented.id::text, presented.scopes, presented.only_account::text, presented.expires_at, p.person_id::text,
           p.email, p.name, m.account_id::text, a.slug, m.role, a.control_position,
           CASE WHEN a.control_position <> p_known THEN a.control END
    FROM people p
    LEFT JOIN members m ON m.account_id = account AND m.person_id = p.person_id
    LEFT JOIN accounts a ON a.account_id = m.account_id
    WHERE p.person_id = presented.person_id;
END $$;

-- Charges a try to each of the buckets, before it is known whether it fails; or, where one of them still waits, charges
-- nothing and says for how many seconds. From the free-th failure on, a bucket waits 1, 2, 4 … seconds, up to its longest;
-- a day without any ends it. Row locks on the buckets, in their order.
CREATE FUNCTION charge_try_1(p_buckets bytea[], p_free integer[], p_longest_s integer[], p_at timestamptz)
RETURNS double precision LANGUAGE plpgsql AS $$
DECLARE
    waits double precision;
BEGIN
    DELETE FROM attempts WHERE bucket IN (
        SELECT a.bucket FROM attempts a WHERE a.last_at < p_at - interval '1 day' AND a.waits_until < p_at
        ORDER BY a.last_at LIMIT 10 FOR UPDATE SKIP LOCKED);
    INSERT INTO attempts (bucket, failures, last_at, waits_until)
    SELECT b, 0, p_at, p_at FROM unnest(p_buckets) AS b ORDER BY b ON CONFLICT (bucket) DO NOTHING;
    PERFORM 1 FROM attempts WHERE bucket = ANY(p_buckets) ORDER BY bucket FOR UPDATE;
    SELECT max(extract(epoch FROM waits_until - p_at)) INTO waits FROM attempts WHERE bucket = ANY(p_buckets);
    IF waits > 0 THEN
        RETURN waits;
    END IF;
    UPDATE attempts a SET failures = a.failures + 1, last_at = p_at, waits_until = p_at + CASE
        WHEN a.failures + 1 < b.free THEN interval '0'
        ELSE interval '1 second' * least(b.longest_s, 2 ^ least(a.failures + 1 - b.free, 30)) END
    FROM unnest(p_buckets, p_free, p_longest_s) AS b (bucket, free, longest_s) WHERE a.bucket = b.bucket;
    RETURN 0;
END $$;
