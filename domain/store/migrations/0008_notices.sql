-- Who is told of what happened to an account, and whether it was mailed. Everything is new but one grant: no lock that
-- matters. Milliseconds. Processes of the version before go on, and tell nobody.

-- One row a person and event of the account's own history, written with the event; what it tells is the event's to say.
-- mail_due_at: when to mail it next, empty once it was mailed or given up. What is mailed together bears the first
-- position of it in mail_first, before it is sent and at every try.
CREATE TABLE notices (
    account_id   uuid NOT NULL,
    person_id    uuid NOT NULL,
    position     bigint NOT NULL,
    at           timestamptz NOT NULL,
    read_at      timestamptz,
    mail         text NOT NULL DEFAULT 'waiting' CHECK (mail IN ('waiting', 'sent', 'failed')),
    mail_due_at  timestamptz,
    mail_first   bigint,
    mail_tries   integer NOT NULL DEFAULT 0,
    mailed_at    timestamptz,
    mail_problem text,
    PRIMARY KEY (account_id, person_id, position),
    FOREIGN KEY (account_id, position) REFERENCES control_events
);
CREATE INDEX notices_due ON notices (account_id, mail_due_at) WHERE mail_due_at IS NOT NULL;

ALTER TABLE notices ENABLE ROW LEVEL SECURITY;
ALTER TABLE notices FORCE ROW LEVEL SECURITY;
CREATE POLICY own_account ON notices USING (account_id = (SELECT current_account()));
GRANT SELECT, INSERT ON notices TO counterfoil_app;
GRANT UPDATE (read_at, mail, mail_due_at, mail_first, mail_tries, mailed_at, mail_problem) ON notices TO counterfoil_app;

-- Whoever mails must find the accounts that have something to mail: those, and nothing of what or for whom.
CREATE POLICY due ON notices FOR SELECT TO counterfoil_purger USING (mail_due_at IS NOT NULL);
GRANT SELECT (account_id, mail_due_at) ON notices TO counterfoil_purger;
