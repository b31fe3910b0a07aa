-- Accounts, their control streams and their streams of events; roles and row-level security under all of it.
-- Takes no lock that matters: everything is new. Milliseconds.

CREATE FUNCTION current_account() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT nullif(current_setting('counterfoil.account', true), '')::uuid $$;

CREATE FUNCTION current_person() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT nullif(current_setting('counterfoil.person', true), '')::uuid $$;

CREATE TABLE people (
    person_id  uuid PRIMARY KEY,
    email      text NOT NULL,
    name       text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX people_email_key ON people (lower(email));

-- An API token is kept as its SHA-256 only.
CREATE TABLE tokens (
    token_hash bytea PRIMARY KEY,
    person_id  uuid NOT NULL REFERENCES people,
    created_at timestamptz NOT NULL
);
CREATE INDEX tokens_person ON tokens (person_id);

-- control is the fold of the account's control stream up to control_position.
CREATE TABLE accounts (
    account_id       uuid PRIMARY KEY,
    slug             text NOT NULL,
    control_position bigint NOT NULL,
    control          text NOT NULL,
    CONSTRAINT accounts_slug_key UNIQUE (slug)
);

CREATE TABLE control_events (
    account_id   uuid NOT NULL REFERENCES accounts,
    position     bigint NOT NULL,
    type         text NOT NULL,
    type_version smallint NOT NULL,
    at           timestamptz NOT NULL,
    actor        text NOT NULL,
    via          text NOT NULL,
    data         text NOT NULL,
    PRIMARY KEY (account_id, position)
);

-- Who has access: a projection of the control stream.
CREATE TABLE members (
    account_id uuid NOT NULL REFERENCES accounts,
    person_id  uuid NOT NULL,
    role       text NOT NULL,
    PRIMARY KEY (account_id, person_id)
);
CREATE INDEX members_person ON members (person_id);

CREATE TABLE streams (
    account_id    uuid NOT NULL REFERENCES accounts,
    stream_id     integer NOT NULL,
    status        text NOT NULL CHECK (status IN ('building', 'live', 'retired', 'abandoned')),
    head_position bigint NOT NULL DEFAULT 0,
    frontier      bytea NOT NULL DEFAULT '',
    last_at       timestamptz,
    created_at    timestamptz NOT NULL,
    created_by    text NOT NULL,
    PRIMARY KEY (account_id, stream_id)
);
-- One live stream an account. The row is what its writers queue on.
CREATE UNIQUE INDEX streams_live_key ON streams (account_id) WHERE status = 'live';

CREATE TABLE segments (
    account_id     uuid NOT NULL,
    stream_id      integer NOT NULL,
    first_position bigint NOT NULL,
    came_by        text NOT NULL CHECK (came_by IN ('recorded', 'restore', 'add', 'clone', 'import')),
    came_at        timestamptz NOT NULL,
    brought_by     text NOT NULL,
    source         text,
    authenticity   text NOT NULL CHECK (authenticity IN ('recorded', 'authentic', 'edited', 'unsigned')),
    PRIMARY KEY (account_id, stream_id, first_position),
    FOREIGN KEY (account_id, stream_id) REFERENCES streams
);

-- To whom a segment's events by a person are linked; name is what the person was called where they came from.
CREATE TABLE attributions (
    account_id     uuid NOT NULL,
    stream_id      integer NOT NULL,
    first_position bigint NOT NULL,
    person         uuid NOT NULL,
    linked_to      uuid NOT NULL,
    verified       boolean NOT NULL,
    name           text,
    PRIMARY KEY (account_id, stream_id, first_position, person),
    FOREIGN KEY (account_id, stream_id) REFERENCES streams
);

-- No foreign key to streams: half a million checks on a restore, for a row that the swap locks and counts anyway.
CREATE TABLE events (
    account_id   uuid NOT NULL,
    stream_id    integer NOT NULL,
    type_version smallint NOT NULL,
    version      integer NOT NULL,
    position     bigint NOT NULL,
    entity_id    uuid NOT NULL,
    at           timestamptz NOT NULL,
    type         text COLLATE "C" NOT NULL,
    actor        text COLLATE "C" NOT NULL,
    via          text COLLATE "C" NOT NULL,
    data         text COLLATE "C" NOT NULL,
    leaf         bytea NOT NULL,
    CONSTRAINT events_pkey PRIMARY KEY (account_id, stream_id, position),
    CONSTRAINT events_version_key UNIQUE (account_id, stream_id, entity_id, version)
);

-- state is the snapshot line: the fold of the entity's events up to version. number is empty for drafts and for what is
-- deleted or merged.
CREATE TABLE entities (
    account_id uuid NOT NULL,
    stream_id  integer NOT NULL,
    version    integer NOT NULL,
    position   bigint NOT NULL,
    entity_id  uuid NOT NULL,
    deleted    boolean NOT NULL,
    kind       text COLLATE "C" NOT NULL,
    number     text COLLATE "C",
    state      text COLLATE "C" NOT NULL,
    CONSTRAINT entities_pkey PRIMARY KEY (account_id, stream_id, entity_id),
    CONSTRAINT entities_number_key UNIQUE (account_id, stream_id, kind, number)
);

-- The highest number of each series that documents of a stream bear: made on the first look, kept by every issue.
CREATE TABLE series (
    account_id uuid NOT NULL,
    stream_id  integer NOT NULL,
    kind       text NOT NULL,
    series     text NOT NULL,
    highest    bigint NOT NULL,
    PRIMARY KEY (account_id, stream_id, kind, series)
);

-- Attached files, shared by the streams of an account.
CREATE TABLE attachments (
    account_id uuid NOT NULL REFERENCES accounts,
    sha256     bytea NOT NULL CHECK (length(sha256) = 32),
    bytes      bytea NOT NULL,
    PRIMARY KEY (account_id, sha256)
);
ALTER TABLE attachments ALTER COLUMN bytes SET STORAGE EXTERNAL;

DO $$
DECLARE
    tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY['control_events', 'streams', 'segments', 'attributions', 'events', 'entities',
                                        'series', 'attachments'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('CREATE POLICY own_account ON %I USING (account_id = (SELECT current_account()))', tenant_table);
    END LOOP;
END $$;

-- A person also sees which accounts they are a member of.
ALTER TABLE members ENABLE ROW LEVEL SECURITY;
ALTER TABLE members FORCE ROW LEVEL SECURITY;
CREATE POLICY own_account ON members USING (account_id = (SELECT current_account()));
CREATE POLICY own_memberships ON members FOR SELECT USING (person_id = (SELECT current_person()));
ALTER TABLE accounts ENABLE ROW LEVEL SECURITY;
ALTER TABLE accounts FORCE ROW LEVEL SECURITY;
CREATE POLICY own_account ON accounts USING (account_id = (SELECT current_account()));
CREATE POLICY own_memberships ON accounts FOR SELECT USING (
    account_id IN (SELECT m.account_id FROM members m WHERE m.person_id = (SELECT current_person())));

-- Deleting is for one role, and for streams that no account points at.
CREATE POLICY not_the_live_one ON events AS RESTRICTIVE FOR DELETE TO counterfoil_purger USING (
    stream_id IN (SELECT s.stream_id FROM streams s WHERE s.status IN ('retired', 'abandoned')));
CREATE POLICY not_the_live_one ON entities AS RESTRICTIVE FOR DELETE TO counterfoil_purger USING (
    stream_id IN (SELECT s.stream_id FROM streams s WHERE s.status IN ('retired', 'abandoned')));

GRANT SELECT, INSERT ON people, tokens, control_events, segments, attributions, events, attachments TO counterfoil_app;
GRANT SELECT, INSERT, UPDATE ON accounts, streams, entities, series TO counterfoil_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON members TO counterfoil_app;
GRANT DELETE ON tokens TO counterfoil_app;
GRANT INSERT ON events, entities TO counterfoil_builder;
GRANT SELECT, DELETE ON events, entities, segments, attributions, series TO counterfoil_purger;
GRANT SELECT ON streams TO counterfoil_purger;

-- What a command needs to decide, in one round trip: the live stream's head, and kind and state of the entities named
-- that are there. p_lock queues the caller behind the account's other writers (row lock until commit); without it the
-- append finds out whether the head moved. control is empty when the caller has it already.
CREATE FUNCTION load_1(p_account uuid, p_entities uuid[], p_control_known bigint, p_lock boolean)
RETURNS TABLE (stream_id integer, head_position bigint, frontier bytea, last_at timestamptz, control_position bigint,
               control text, kinds text[], states text[])
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('counterfoil.account', p_account::text, true);
    IF p_lock THEN
        PERFORM 1 FROM streams s WHERE s.account_id = p_account AND s.status = 'live' FOR UPDATE;
    END IF;
    RETURN QUERY
    SELECT s.stream_id, s.head_position, s.frontier, s.last_at, a.control_position,
           CASE WHEN a.control_position <> p_control_known THEN a.control END,
           found.kinds, found.states
    FROM streams s JOIN accounts a ON a.account_id = s.account_id
    CROSS JOIN LATERAL (
        SELECT array_agg(e.kind) AS kinds, array_agg(e.state) AS states
        FROM entities e
        WHERE e.account_id = p_account AND e.stream_id = s.stream_id AND e.entity_id = ANY(p_entities)
    ) AS found
    WHERE s.account_id = p_account AND s.status = 'live';
END $$;

-- Appends what was decided at (p_stream, p_head), all or nothing: NULL, and nothing done, when the account's live stream
-- is another one or has moved on, or its control stream has. Row lock on the stream until commit.
-- p_batch: {"events": [[entity, version, type, type_version, at, actor, via, data, leaf]],
--           "entities": [[id, version, position, deleted, kind, number, state]],
--           "series": [[kind, series, highest]]}; leaves in hexadecimal.
CREATE FUNCTION append_1(p_account uuid, p_stream integer, p_head bigint, p_control bigint, p_frontier bytea,
                         p_batch json)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    new_head bigint;
BEGIN
    PERFORM set_config('counterfoil.account', p_account::text, true);
    PERFORM 1 FROM streams
    WHERE account_id = p_account AND stream_id = p_stream AND status = 'live' AND head_position = p_head
    FOR UPDATE;
    IF NOT FOUND OR NOT EXISTS (SELECT 1 FROM accounts WHERE account_id = p_account AND control_position = p_control) THEN
        RETURN NULL;
    END IF;
    new_head := p_head + json_array_length(p_batch -> 'events');
    INSERT INTO events (account_id, stream_id, position, entity_id, version, type, type_version, at, actor, via, data,
                        leaf)
    SELECT p_account, p_stream, p_head + ordinality, (e ->> 0)::uuid, (e ->> 1)::integer, e ->> 2,
           (e ->> 3)::smallint, (e ->> 4)::timestamptz, e ->> 5, e ->> 6, e ->> 7, decode(e ->> 8, 'hex')
    FROM json_array_elements(p_batch -> 'events') WITH ORDINALITY AS batch (e, ordinality);
    INSERT INTO entities AS mine (account_id, stream_id, entity_id, version, position, deleted, kind, number, state)
    SELECT p_account, p_stream, (e ->> 0)::uuid, (e ->> 1)::integer, (e ->> 2)::bigint, (e ->> 3)::boolean, e ->> 4,
           e ->> 5, e ->> 6
    FROM json_array_elements(p_batch -> 'entities') AS e
    ON CONFLICT ON CONSTRAINT entities_pkey DO UPDATE
    SET version = excluded.version, position = excluded.position, deleted = excluded.deleted,
        number = excluded.number, state = excluded.state;
    INSERT INTO series AS mine (account_id, stream_id, kind, series, highest)
    SELECT p_account, p_stream, e ->> 0, e ->> 1, (e ->> 2)::bigint
    FROM json_array_elements(p_batch -> 'series') AS e
    ON CONFLICT ON CONSTRAINT series_pkey DO UPDATE SET highest = greatest(mine.highest, excluded.highest);
    UPDATE streams
    SET head_position = new_head, frontier = p_frontier,
        last_at = (p_batch -> 'events' -> -1 ->> 4)::timestamptz
    WHERE account_id = p_account AND stream_id = p_stream;
    RETURN new_head;
END $$;

-- Appends to the control stream what was decided at p_position; NULL when it has moved on. Row lock on the account.
-- p_events: [[type, type_version, at, actor, via, data]]; p_members: [[person, role]], all there are, or NULL: unchanged.
CREATE FUNCTION append_control_1(p_account uuid, p_position bigint, p_control text, p_events json, p_members json)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    new_position bigint;
BEGIN
    PERFORM set_config('counterfoil.account', p_account::text, true);
    PERFORM 1 FROM accounts WHERE account_id = p_account AND control_position = p_position FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    new_position := p_position + json_array_length(p_events);
    INSERT INTO control_events (account_id, position, type, type_version, at, actor, via, data)
    SELECT p_account, p_position + ordinality, e ->> 0, (e ->> 1)::smallint, (e ->> 2)::timestamptz, e ->> 3, e ->> 4,
           e ->> 5
    FROM json_array_elements(p_events) WITH ORDINALITY AS batch (e, ordinality);
    UPDATE accounts SET control_position = new_position, control = p_control WHERE account_id = p_account;
    IF p_members IS NOT NULL THEN
        DELETE FROM members WHERE account_id = p_account;
        INSERT INTO members (account_id, person_id, role)
        SELECT p_account, (e ->> 0)::uuid, e ->> 1 FROM json_array_elements(p_members) AS e;
    END IF;
    RETURN new_position;
END $$;
