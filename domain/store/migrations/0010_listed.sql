-- What lists are filtered, sorted and searched by: a narrow row beside each snapshot, filled when a list is asked for, up
-- to the live stream's head, so that neither an append nor a restore pays for it. Takes no lock that matters: everything
-- is new. Processes of the version before go on; they know nothing of it, and what they append is caught up with.

-- Which of an entity's facts a column holds depends on its kind (projections.listed). Names, text and references are
-- folded: without case and accents.
CREATE TABLE listed (
    account_id   uuid NOT NULL,
    stream_id    integer NOT NULL,
    entity_id    uuid NOT NULL,
    belongs_to   uuid,
    dated        date,
    due          date,
    amount       numeric,
    open_amount  numeric,
    kind         text COLLATE "C" NOT NULL,
    state        text COLLATE "C" NOT NULL,
    number       text COLLATE "C",
    number_order text COLLATE "C",
    name         text COLLATE "C",
    currency     text COLLATE "C",
    country      text COLLATE "C",
    city         text COLLATE "C",
    vat          text COLLATE "C",
    email        text COLLATE "C",
    refs         text[] COLLATE "C",
    text         text COLLATE "C" NOT NULL,
    CONSTRAINT listed_pkey PRIMARY KEY (account_id, stream_id, kind, entity_id)
);

-- Up to which position of a stream its rows of a kind say what the snapshots say, and by which rules they were made.
CREATE TABLE listed_heads (
    account_id uuid NOT NULL,
    stream_id  integer NOT NULL,
    kind       text COLLATE "C" NOT NULL,
    rules      smallint NOT NULL,
    position   bigint NOT NULL,
    PRIMARY KEY (account_id, stream_id, kind)
);

DO $$
DECLARE
    tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY['listed', 'listed_heads'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('CREATE POLICY own_account ON %I USING (account_id = (SELECT current_account()))', tenant_table);
        EXECUTE format('CREATE POLICY only_of_no_use ON %I AS RESTRICTIVE FOR DELETE TO counterfoil_purger USING (
            (account_id, stream_id) IN (
                SELECT s.account_id, s.stream_id FROM streams s WHERE s.status IN (''abandoned'', ''purged'')))',
            tenant_table);
    END LOOP;
END $$;

GRANT SELECT, INSERT, UPDATE, DELETE ON listed, listed_heads TO counterfoil_app;
GRANT SELECT, DELETE ON listed, listed_heads TO counterfoil_purger;
