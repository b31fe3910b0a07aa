"""Every statement that the service speaks, asked under every role for what is another account's: it gets nothing.

The statements are found in the files they stand in, so that a new one is among them; ``TAKES`` says what it needs.
"""

from __future__ import annotations

import ast
import hashlib
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg import Connection, sql

from domain.ids import EntityId
from domain.kinds import Kind
from domain.store.database import APP, BUILDER, KEEPER, OBSERVER, PURGER, Database
from domain.store.queue_schema import QUEUE
from domain.store.statements import statements
from projections import finding
from projections.finding import Sort, Spot, Wanted
from tests.fixtures.server import own_database

ROOT = Path(__file__).parents[2]
PACKAGES = ("api", "domain", "projections", "snapshots")
ROLES = (APP, BUILDER, PURGER, KEEPER, OBSERVER, QUEUE)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
LATER = datetime(2100, 1, 1, tzinfo=UTC)
NOBODY = str(uuid.UUID(int=0))
ENTITIES = {kind.value: str(uuid.uuid5(uuid.NAMESPACE_OID, kind.value)) for kind in Kind}
INVOICE, SUBSCRIPTION = ENTITIES["invoice"], ENTITIES["subscription"]
FILE = b"attached"
FILE_HASH = hashlib.sha256(FILE).digest()
DAMAGED = b"\1" * 32
RETIRED, LIVE, BUILDING, ABANDONED, PURGED = range(1, 6)
JOB, OLD_JOB = str(uuid.UUID(int=8)), str(uuid.UUID(int=9))


@dataclass
class Tenant:
    """An account and its owner, whose rows are the other one's in all but who they belong to."""

    word: str
    account: str = field(default_factory=lambda: str(uuid.uuid4()))
    person: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def secret(self) -> bytes:
        """The hash of whatever the person presents."""
        return hashlib.sha256(self.word.encode()).digest()

    @property
    def id(self) -> str:
        """Of the person's token and session."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, self.person))

    @property
    def email(self) -> str:
        return f"{self.word}@example.com"


# What fills an account. Both accounts get it, so that ids, numbers, keys and days are the same in the other one.
FILL = """
INSERT INTO people (person_id, email, name, created_at) VALUES (%(person)s, %(email)s, %(word)s, %(now)s);
INSERT INTO accounts (account_id, slug, control_position, control) VALUES (%(account)s, %(word)s, 3, %(word)s);
INSERT INTO members (account_id, person_id, role) VALUES (%(account)s, %(person)s, 'owner');
INSERT INTO streams (account_id, stream_id, status, head_position, frontier, last_at, created_at, created_by,
                     came_back_at, came_back_head)
SELECT %(account)s, n, status, 11, convert_to(%(word)s, 'UTF8'), %(now)s, %(now)s, %(word)s, %(now)s, 11
FROM unnest(ARRAY['retired', 'live', 'building', 'abandoned', 'purged']) WITH ORDINALITY AS s (status, n);
INSERT INTO segments (account_id, stream_id, first_position, came_by, came_at, brought_by, source, authenticity)
SELECT %(account)s, n, 1, 'add', %(now)s, 'person:' || %(person)s::text, %(word)s, 'authentic'
FROM generate_series(1, 5) AS n WHERE n <> 3;
INSERT INTO attributions (account_id, stream_id, first_position, person, linked_to, verified, name)
SELECT %(account)s, n, 1, %(person)s, %(person)s, true, %(word)s FROM generate_series(1, 5) AS n WHERE n <> 3;
INSERT INTO events (account_id, stream_id, position, entity_id, version, type, type_version, at, actor, via, data, leaf)
SELECT %(account)s, n, position, entity,
       1, CASE kind WHEN 'subscription' THEN 'subscription.period_invoiced'
                    WHEN 'invoice' THEN 'invoice.attachment_added' ELSE kind || '.created' END,
       1, %(now)s - position * interval '1 minute', 'person:' || %(person)s::text, 'api',
       json_build_object('document', %(invoice)s::text, 'sha256', encode(%(file)s, 'hex'),
                         'word', %(word)s, 'n', n)::text,
       '\\x00'
FROM generate_series(1, 5) AS n,
     unnest(%(kinds)s::text[], %(entities)s::uuid[]) WITH ORDINALITY AS e (kind, entity, position) WHERE n <> 3;
INSERT INTO entities (account_id, stream_id, entity_id, version, position, deleted, kind, number, state)
SELECT %(account)s, n, entity, 1, position + 1, false, kind, CASE WHEN kind <> 'item' THEN '2026-' || n END,
       format('{"attachments":[{"size":1,"sha256":"%%s"}],"of":"%%s","word":"%%s","n":%%s}',
              repeat('ab', 32), %(subscription)s::text, %(word)s::text, n)
FROM generate_series(1, 5) AS n,
     unnest(%(kinds)s::text[], %(entities)s::uuid[]) WITH ORDINALITY AS e (kind, entity, position) WHERE n <> 3;
INSERT INTO series (account_id, stream_id, kind, series, highest)
SELECT %(account)s, n, 'invoice', '2026-', 1 FROM generate_series(1, 5) AS n;
INSERT INTO attachments (account_id, sha256, bytes)
VALUES (%(account)s, %(file)s, 'attached'), (%(account)s, %(damaged)s, convert_to(%(word)s, 'UTF8'));
INSERT INTO listed_heads (account_id, stream_id, kind, rules, position)
SELECT %(account)s, n, 'invoice', 1, 11 FROM generate_series(1, 5) AS n;
INSERT INTO listed (account_id, stream_id, entity_id, belongs_to, kind, state, text)
SELECT %(account)s, n, %(invoice)s, %(customer)s, 'invoice', 'issued', 'text' FROM generate_series(1, 5) AS n;
INSERT INTO control_events (account_id, position, type, type_version, at, actor, via, data, job_id)
SELECT %(account)s, position, type, 1, %(now)s, 'person:' || %(person)s::text, 'api',
       json_build_object('archive', 'archive', 'stream', 2, 'position', 11, 'root', %(word)s, 'person', %(person)s,
                         'name', %(word)s, 'email', %(word)s, 'periods', %(subscription)s)::text, %(job)s
FROM unnest(ARRAY['account.opened', 'backup.taken', 'archive.downloaded', 'access.granted', 'restore.finished',
                  'periods.invoiced', 'backups.expired', 'backup.damaged']) WITH ORDINALITY AS c (type, position);
INSERT INTO notices (account_id, person_id, position, at, mail_due_at, mail_first, mailed_at)
SELECT %(account)s, %(person)s, position, %(now)s, %(now)s, CASE position WHEN 2 THEN 2 END, %(now)s
FROM generate_series(1, 2) AS position;
INSERT INTO idempotency_keys (account_id, person_id, key_hash, fingerprint, stream_id, status, headers, body)
VALUES (%(account)s, %(person)s, %(secret)s, %(secret)s, 2, 201, %(word)s, NULL);
INSERT INTO idempotency_keys_of_people (person_id, key_hash, fingerprint, status, headers)
VALUES (%(person)s, %(secret)s, %(secret)s, 201, %(word)s);
INSERT INTO idempotency_keys (account_id, person_id, key_hash, fingerprint, status, headers, at)
VALUES (%(account)s, %(person)s, %(damaged)s, %(secret)s, 201, %(word)s, now() - interval '2 days');
INSERT INTO idempotency_keys_of_people (person_id, key_hash, fingerprint, status, headers, at)
VALUES (%(person)s, %(damaged)s, %(secret)s, 201, %(word)s, now() - interval '2 days');
INSERT INTO jobs (account_id, job_id, kind, state, requested_by, via, request, requested_at, due_at, ended_at, result)
SELECT %(account)s, job, 'backup', state, %(word)s, 'api', %(word)s, %(now)s, %(now)s, ended, %(word)s
FROM (VALUES (%(job)s::uuid, 'running', NULL), (%(old_job)s::uuid, 'succeeded', %(now)s - interval '90 days'))
    AS j (job, state, ended);
INSERT INTO daily_backups (account_id, time_zone, next_at, rehearse_at, read_at, archive, totals, kept)
VALUES (%(account)s, 'UTC', %(now)s, %(now)s, %(now)s, %(word)s, %(word)s, %(word)s);
INSERT INTO api_tokens (token_id, token_hash, person_id, name, scopes, created_at, expires_at)
VALUES (%(id)s, %(secret)s, %(person)s, %(word)s, '{read}', %(now)s, %(later)s);
INSERT INTO sessions (session_id, session_hash, person_id, created_at, expires_at, last_used_at, address, agent)
VALUES (%(id)s, %(secret)s, %(person)s, %(now)s, %(later)s, %(now)s, %(word)s, %(word)s);
INSERT INTO passwords (person_id, hash, changed_at) VALUES (%(person)s, %(word)s, %(now)s);
INSERT INTO password_codes (code_hash, person_id, created_at, expires_at)
VALUES (%(secret)s, %(person)s, %(now)s, %(later)s);
INSERT INTO sign_ins (person_id, at, what, address, about) VALUES (%(person)s, %(now)s, 'signed_in', 'there', %(word)s);
INSERT INTO attempts (bucket, failures, last_at, waits_until) VALUES (%(secret)s, 9, %(now)s, %(later)s);
"""


def given(tenant: Tenant) -> dict[str, Any]:
    """What the parameters of statements are, by name, for whoever asks for what is *tenant*'s."""
    return {
        "account": tenant.account,
        "accounts": [tenant.account],
        "person": tenant.person,
        "people": [tenant.person],
        "secret": tenant.secret,
        "hash": tenant.secret,
        "key": tenant.secret,
        "id": tenant.id,
        "email": tenant.email,
        "word": tenant.word,
        "slug": tenant.word + "-new",
        "name": tenant.word,
        "actor": f"person:{tenant.person}",
        "by": f"person:{tenant.person}",
        "requested_by": f"person:{tenant.person}",
        "to": NOBODY,
        "linked_to": tenant.person,
        "to_account": NOBODY,
        "to_stream": 1,
        "file": FILE_HASH,
        "stream": LIVE,
        "live": LIVE,
        "kinds": list(ENTITIES),
        "entities": list(ENTITIES.values()),
        "kind": "invoice",
        "invoice": INVOICE,
        "subscription": SUBSCRIPTION,
        "customer": ENTITIES["customer"],
        "entity": INVOICE,
        "job": JOB,
        "old_job": OLD_JOB,
        "damaged": DAMAGED,
        "sha256": FILE_HASH,
        "bytes": FILE,
        "now": NOW,
        "later": LATER,
        "at": NOW,
        "since": NOW - timedelta(days=1),
        "until": LATER,
        "taken_at": NOW,
        "last_at": NOW,
        "next": [NOW],
        "too_far": LATER,
        "too_old": LATER,
        "expires_at": LATER,
        "due": NOW,
        "due_at": NOW,
        "began_at": NOW,
        "rehearse": NOW,
        "read": NOW,
        "before_at": LATER,
        "before_position": 99,
        "before": 99,
        "after": NOBODY,
        "until_position": 99,
        "gt": 0,
        "lte": 99,
        "first": 1,
        "last": 99,
        "head": 99,
        "position": 1,
        "positions": [1, 2],
        "up_to": 99,
        "version": 99,
        "length": 9,
        "start": 1,
        "limit": 9,
        "rows": 9,
        "most": 9,
        "rules": 1,
        "number": f"2026-{LIVE}",
        "prefix": "2026",
        "series": "2026-",
        "highest": 7,
        "frontier": b"",
        "control": 3,
        "control_known": 0,
        "known": 0,
        "control_position": 3,
        "lock": True,
        "batch": "{}",
        "events": "[]",
        "members": None,
        "is_session": False,
        "credential": tenant.secret,
        "idle": timedelta(days=1),
        "buckets": [tenant.secret],
        "free": [9],
        "longest": [9],
        "but": "customer",
        "gone": [INVOICE],
        "made": "[]",
        "came_by": "add",
        "source": None,
        "authenticity": "edited",
        "subscriptions": "hold",
        "trusted": False,
        "verified": True,
        "status": 201,
        "fingerprint": tenant.secret,
        "headers": "",
        "body": None,
        "request": "{}",
        "sealed": None,
        "request_id": None,
        "via": "api",
        "queue_id": 1,
        "phase": "x",
        "done": 1,
        "total": 2,
        "result": "{}",
        "problem": None,
        "state": "running",
        "space": 1,
        "archive": "archive",
        "totals": "",
        "kept": "[]",
        "kept_bytes": 0,
        "size": 1,
        "seconds": 1.0,
        "shrunk": True,
        "zone": "UTC",
        "attempts": 1,
        "code": "x",
        "reason": "x",
        "current": [True],
        "types": ["backup.taken"],
        "type": None,
        "every_type": True,
        "plain": "x",
        "unread": False,
        "vouched": True,
        "is_member": False,
        "was": "retired",
        "deleted": False,
        "what": "x",
        "address": "there",
        "about": "",
        "agent": "",
        "only_account": None,
        "scopes": ["read"],
        "parent": None,
    }


# Where a statement calls something by a name that means something else elsewhere.
EMPTY_BATCH = '{"events": [], "entities": [], "series": []}'
BY_POSITION = {"after": 0}
OF_SUBSCRIPTION = {"entity": SUBSCRIPTION}
BEFORE = {"stream": RETIRED}
OF_NO_USE = {"stream": ABANDONED}
INTO_FRESH = {"stream": BUILDING}
NEXT = {"next": NOW}
OTHERWISE: dict[str, dict[str, Any]] = {
    "api/mail.read_events": {"first": 2},
    "api/mail.record_not_sent": {"first": 2},
    "api/mail.record_sent": {"first": 2},
    "api/http/idempotency.keep_in_account": {"key": FILE_HASH},
    "api/http/idempotency.keep_of_person": {"key": FILE_HASH},
    "api/jobs/jobs.insert_job": {"job": NOBODY},
    "api/jobs/jobs.list_jobs": {"before": None, "kind": None},
    "domain/store/credentials.delete_old_sign_ins": {"before": LATER},
    "snapshots/erasing.note_erased_wholly": {"before": LATER},
    "domain/store/credentials.delete_old_sessions": {"at": LATER},
    "domain/store/credentials.insert_session": {"id": NOBODY, "hash": FILE_HASH},
    "domain/store/credentials.insert_token": {"id": NOBODY, "hash": FILE_HASH},
    "domain/store/credentials.insert_code": {"hash": FILE_HASH},
    "domain/store/credentials.present": {"hash": "00"},
    "domain/store/credentials.rehash_password": {"hash": "x", "before": "canary-a"},
    "domain/store/credentials.upsert_password": {"hash": "x"},
    "domain/store/streams.append": {"head": 11, "batch": EMPTY_BATCH},
    "domain/store/streams.append_control": {"control": "x", "position": 3},
    "domain/store/streams.find_invoiced": OF_SUBSCRIPTION,
    "domain/store/streams.find_invoiced_purged": OF_SUBSCRIPTION,
    "domain/store/streams.find_reference": OF_SUBSCRIPTION,
    "domain/store/streams.insert_notices": {"positions": [3]},
    "domain/store/streams.set_erase_after": {"after": LATER},
    "domain/store/streams.insert_attachment": {"sha256": b"\2" * 32},
    "snapshots/fresh/fresh.insert_attachment": {"sha256": b"\2" * 32},
    "projections/listed.put_rows": {"made": f'[{{"id": "{NOBODY}", "state": "x", "text": "x"}}]'},
    "projections/listed.read_pairs": {"position": 99},
    "projections/listing.list_newest": {"after": None},
    "projections/moments.find_later": {"at": NOW - timedelta(days=1)},
    "projections/past.read_changed_between": {"after": 0, "until": 99},
    "projections/past.read_changed_since": {"last": 6, "entity": NOBODY, "version": 0},
    "projections/past.read_leaves": BY_POSITION,
    "projections/rebuild.put_entity": {"number": None, "id": NOBODY, "state": "{}"},
    "projections/rebuild.put_number": {"number": "new", "id": INVOICE},
    "projections/rebuild.read_entities": {"last": "f" * 32},
    "projections/rebuild.read_events": {"entity": NOBODY, "version": 0},
    "projections/rebuild.read_leaves": BY_POSITION,
    "projections/rebuild.read_lines": {"entity": NOBODY, "version": 0},
    "projections/verification.read_block": BY_POSITION,
    "projections/verification.read_rows": BY_POSITION,
    "snapshots/backup.read_lines": BY_POSITION,
    "snapshots/cloning/cloning.read_events": BY_POSITION,
    "snapshots/cloning/cloning.open_stream": INTO_FRESH,
    "snapshots/daily/schedule.insert_schedule": NEXT,
    "snapshots/daily/schedule.plan_reading": NEXT,
    "snapshots/daily/schedule.plan_rehearsal": NEXT,
    "snapshots/daily/schedule.record_failed": NEXT,
    "snapshots/daily/schedule.record_taken": NEXT,
    "snapshots/fresh/fresh.abandon": INTO_FRESH,
    "snapshots/fresh/fresh.carry_came_back": INTO_FRESH,
    "snapshots/fresh/fresh.carry_attributions": INTO_FRESH,
    "snapshots/fresh/fresh.carry_entities": {"but": [], **INTO_FRESH},
    "snapshots/fresh/fresh.carry_events": INTO_FRESH,
    "snapshots/fresh/fresh.carry_segments": INTO_FRESH,
    "snapshots/fresh/fresh.delete_attributions": OF_NO_USE,
    "snapshots/fresh/fresh.delete_entities": OF_NO_USE,
    "snapshots/fresh/fresh.delete_events": OF_NO_USE,
    "snapshots/fresh/fresh.delete_listed": OF_NO_USE,
    "snapshots/fresh/fresh.delete_series": OF_NO_USE,
    "snapshots/fresh/fresh.insert_attribution": INTO_FRESH,
    "snapshots/fresh/fresh.insert_segment": INTO_FRESH,
    "snapshots/fresh/fresh.make_live": BEFORE,
    "snapshots/fresh/fresh.mark_purged": BEFORE,
    "snapshots/fresh/fresh.read_invoiced_only_in": BEFORE,
    "snapshots/generations/streams.count_documents_only_in": BEFORE,
    "snapshots/fresh/fresh.read_changed": BY_POSITION,
    "snapshots/fresh/fresh.read_lines_until": {"until": 99},
}


# What sets the account by itself, and where it is reached from: code that has looked up who is a member, or that acts
# in nobody's name (a clean-up, a check by hand, the service's own jobs).
SETS_THE_ACCOUNT = {
    "api/http/reads.read_entity": "the route that reads an entity, once the gate (enter_1) has let its person in",
    "domain/store/streams.load": "Application, for an Access, which find_access or the gate gave",
    "domain/store/streams.append": "Application, with what load gave; that its person is a member is looked up then",
    "domain/store/streams.append_control": "Application, with what load gave; as above",
}
# What is no account's: under the service's role these rows are anybody's who names them.
OF_NO_ACCOUNT = {
    "domain/store/accounts.find_person": "an address: whoever lets somebody into an account names them by it",
    "domain/store/accounts.insert_person": "a person has one row, whichever accounts they are in",
    "domain/store/accounts.read_people": "ids of people, from an account's own members",
    "domain/store/credentials.charge_try": "hashes of what is tried and from where; nothing says whose",
    "domain/store/credentials.enter": "who presents a credential is who it belongs to; see the last tests here",
    "domain/store/credentials.forget_tries": "as charge_try",
    "domain/store/credentials.refund_tries": "as charge_try",
}
# What other roles see of all accounts, or do to them: states and numbers, which test_isolation lists by column.
ACROSS_ACCOUNTS = {
    KEEPER: {
        *("api/invoicing.list_time_zones", "api/kept.list_accounts", "domain/store/recorder.head_position"),
        *("projections/listing.read_live", "snapshots/daily/schedule.claim_due"),
        *("snapshots/daily/schedule.list_rehearsals", "snapshots/daily/schedule.list_readings"),
        *("snapshots/daily/schedule.plan_reading", "snapshots/daily/schedule.put_off"),
        *("snapshots/daily/schedule.plan_rehearsal", "snapshots/daily/schedule.release"),
    },
    OBSERVER: {
        *("api/kept.list_accounts", "domain/store/recorder.head_position", "projections/listing.read_live"),
        *("snapshots/erasing.is_at_work", "snapshots/fresh/fresh.list_left_behind"),
        "snapshots/generations/streams.list_retired",
    },
    PURGER: {  # what is due to be mailed, old jobs and keys, and streams that no account points at
        *("api/jobs/jobs.forget_old_jobs", "api/mail.count_mailed", "api/mail.list_due"),
        *("api/http/idempotency.sweep_in_accounts", "api/http/idempotency.sweep_of_people"),
        *("projections/notices.count_unread", "snapshots/erasing.is_at_work", "snapshots/fresh/fresh.list_left_behind"),
        *("snapshots/fresh/fresh.list_unfinished", "snapshots/generations/streams.list_retired"),
        "snapshots/generations/streams.list_streams",
    },
}
# Statements that answer the same whoever the account is, so that nothing is shown by their answering nothing.
FINDS_NOTHING = {
    "api/http/idempotency.sweep_in_accounts": "names no account: deletes what its role sees",
    "api/http/idempotency.sweep_of_people": "as above",
    "api/invoicing.list_time_zones": "names no account",
    "api/jobs/jobs.forget_old_jobs": "names no account: deletes what its role sees",
    "api/jobs/jobs.lock_account": "a lock by a number; reads no table",
    "api/kept.list_accounts": "names no account",
    "api/mail.list_due": "names no account",
    "domain/store/credentials.is_only_in": "true of people without a credential alone; test_sign_in",
    "domain/store/credentials.present": "a setting; reads no table",
    "snapshots/cloning/cloning.delete_account": "accounts that were never opened alone; test_clone_interrupted",
    "snapshots/cloning/cloning.delete_stream": "as above",
    "snapshots/cloning/cloning.list_never_opened": "as above",
    "snapshots/cloning/cloning.name_account": "as above",
    "snapshots/cloning/cloning.write_entities": "COPY FROM, which row-level security refuses; the builder has none",
    "snapshots/cloning/cloning.write_events": "as above",
    "snapshots/daily/schedule.claim_due": "names no account",
    "snapshots/daily/schedule.list_readings": "names no account",
    "snapshots/daily/schedule.list_rehearsals": "names no account",
    "snapshots/daily/schedule.list_unscheduled": "names no account",
    "snapshots/erasing.list_due": "names no account",
    "snapshots/erasing.list_tables": "the catalogue",
    "snapshots/erasing.note_erased_wholly": "accounts that were erased alone; test_erasing",
    "snapshots/fresh/fresh.copy_entities": "as write_entities",
    "snapshots/fresh/fresh.copy_events": "as write_entities",
    "snapshots/fresh/fresh.list_left_behind": "names no account",
    "snapshots/fresh/fresh.lock_against_purging": "a lock by a number; reads no table",
    "snapshots/fresh/fresh.lock_builder": "as above",
    "snapshots/generations/streams.merge_in_order": "a setting; reads no table",
}
# What is sent otherwise than as a statement of a file, by module and function.
NOT_IN_A_FILE: dict[str, tuple[int, str]] = {
    "api/doctor: _backups": (
        1,
        "under the observer's, keeper's and queue's roles: states and numbers; and the catalogue",
    ),
    "api/doctor: _building": (
        1,
        "under the observer's, keeper's and queue's roles: states and numbers; and the catalogue",
    ),
    "api/doctor: _jobs": (1, "under the observer's, keeper's and queue's roles: states and numbers; and the catalogue"),
    "api/doctor: _one": (1, "under the observer's, keeper's and queue's roles: states and numbers; and the catalogue"),
    "api/doctor: _roles": (
        1,
        "under the observer's, keeper's and queue's roles: states and numbers; and the catalogue",
    ),
    "api/doctor: _row_security": (
        1,
        "under the observer's, keeper's and queue's roles: states and numbers; and the catalogue",
    ),
    "api/doctor: _workers": (
        1,
        "under the observer's, keeper's and queue's roles: states and numbers; and the catalogue",
    ),
    "api/figures: _of_accounts": (2, "under the observer's, keeper's and queue's roles: states and numbers"),
    "api/figures: _of_backups": (1, "under the observer's, keeper's and queue's roles: states and numbers"),
    "api/figures: _of_jobs": (1, "under the observer's, keeper's and queue's roles: states and numbers"),
    "api/figures: _of_workers": (1, "under the observer's, keeper's and queue's roles: states and numbers"),
    "api/http/idempotency: kept": (1, "one of two statements of its file"),
    "api/jobs/cancelling: cancel_job": (1, "under the queue's role, which has the queue alone"),
    "api/jobs/worker: _as_queue": (2, "the role and the search path"),
    "api/postgres: _answering": (2, "makes the database"),
    "domain/store/database: _applied": (1, "settings, roles, migrations"),
    "domain/store/database: _apply": (3, "settings, roles, migrations"),
    "domain/store/database: _is_open": (1, "settings, roles, migrations"),
    "domain/store/database: _make_roles": (3, "settings, roles, migrations"),
    "domain/store/database: _under_role": (3, "settings, roles, migrations"),
    "domain/store/database: beside": (3, "settings, roles, migrations"),
    "domain/store/database: check_ready": (1, "settings, roles, migrations"),
    "domain/store/database: migrate": (4, "settings, roles, migrations"),
    "domain/store/database: set_account": (1, "settings, roles, migrations"),
    "domain/store/database: set_person": (1, "settings, roles, migrations"),
    "domain/store/database: transaction": (1, "settings, roles, migrations"),
    "domain/store/queue_schema: as_queue": (2, "the queue's own schema, and its role"),
    "domain/store/queue_schema: install_queue": (6, "the queue's own schema, and its role"),
    "projections/finding: _within_time": (2, "what found_listing() composes; a time limit"),
    "projections/timeline: read_timeline": (1, "one of two statements of its file"),
    "snapshots/cloning/cloned_rows: _rows_out": (1, "a statement of its file, which its caller names"),
    "snapshots/erasing: _delete_from": (
        1,
        "under the purger's role, which deletes of accounts that were erased alone; test_erasing",
    ),
    "snapshots/fresh/building: _filling": (
        1,
        "under the builder's role, which reads nothing; the swap counts what arrived",
    ),
    "snapshots/fresh/building: copied": (
        1,
        "under the builder's role, which reads nothing; the swap counts what arrived",
    ),
    "snapshots/restoring/comparison: revised": (3, "copies an object; no statement"),
    "snapshots/restoring/restore: _carry": (1, "the isolation level"),
}


def found_statements() -> dict[str, bytes]:
    """The statements of all files, by file and name."""
    found = {}
    for file in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.sql")):
        if file.parent.name == "migrations":
            continue
        folder = file.parent.relative_to(ROOT)
        for name, statement in statements(".".join(folder.parts), file.name).items():
            found[f"{folder}/{file.stem}.{name}"] = statement
    return found


Outcome = tuple[Any, ...]


class Asker:
    """A connection on which statements are tried under a role, with or without an account, and undone."""

    def __init__(self, connection: Connection[Any], watched: Tenant) -> None:
        self.connection = connection
        self.rows = _rows_of(connection, watched)
        self.before = self._hash()

    def ask(self, role: str, statement: bytes, values: Mapping[str, Any], tenant: Tenant | None) -> Outcome:
        """What comes of it, and whether the watched account's rows are as before; as a person in *tenant*, if any."""
        settings = [sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role))]
        for name, value in (("account", tenant.account), ("person", tenant.person)) if tenant else ():
            whose = sql.Identifier("counterfoil", name)
            settings.append(sql.SQL("SET LOCAL {} = {}").format(whose, sql.Literal(value)))
        try:
            self.connection.execute(sql.SQL("; ").join(settings))
            found = self._tried(statement, values)
            if WRITES.search(statement):
                self.connection.execute("RESET ROLE")
                found += (UNCHANGED if self._hash() == self.before else CHANGED,)
        except psycopg.Error as wrong:
            found = (type(wrong), wrong.diag.message_primary)
        finally:
            self.connection.rollback()
        return found

    def _tried(self, statement: bytes, values: Mapping[str, Any]) -> Outcome:
        with self.connection.cursor() as cursor:
            if b"STDOUT" in statement:
                with cursor.copy(statement, values) as copied:
                    return (b"".join(bytes(block) for block in copied),)
            if b"STDIN" in statement:
                with cursor.copy(statement):
                    return ()
            cursor.execute(statement, values)
            return (cursor.rowcount, cursor.fetchall() if cursor.description else [])

    def _hash(self) -> str:
        row = self.connection.execute(self.rows).fetchone()
        assert row is not None
        return str(row[0])


UNCHANGED, CHANGED = "the rows are as before", "the rows are changed"
# What shows that a statement came as far as the rows, and fits them.
REACHED = (psycopg.errors.UniqueViolation, psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported)
WRITES = re.compile(rb"\b(INSERT|UPDATE|DELETE|append|append_control|charge_try|enter)_?\w*\b")


def _rows_of(connection: Connection[Any], tenant: Tenant) -> sql.Composed:
    """What makes one text of all that is the account's, or its owner's."""
    tables = connection.execute(
        "SELECT c.relname, array_agg(a.attname::text) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace"
        " AND a.attname IN ('account_id', 'person_id') GROUP BY 1 ORDER BY 1"
    ).fetchall()
    parts = [
        sql.SQL("SELECT {name} || t::text AS row FROM {table} t WHERE {column} = {value}").format(
            name=sql.Literal(name),
            table=sql.Identifier(name),
            column=sql.Identifier(column := "account_id" if "account_id" in columns else "person_id"),
            value=sql.Literal(tenant.account if column == "account_id" else tenant.person),
        )
        for name, columns in tables
    ]
    return sql.SQL("SELECT md5(string_agg(row, ';' ORDER BY row)) FROM ({}) AS rows").format(
        sql.SQL(" UNION ALL ").join(parts)
    )


def found_listing() -> dict[str, tuple[bytes, dict[str, Any]]]:
    """The statements that are composed where they are asked, which are those of lists, in each of their shapes."""
    customer = EntityId(ENTITIES["customer"])
    shapes = {
        "all": (Wanted(), None),
        "of a customer": (Wanted(customer=customer), None),
        "with words": (Wanted(q="text"), None),
        "backwards, from a spot on": (Wanted(state=("issued",)), Spot(LIVE, NOBODY, "")),
    }
    made = {}
    for name, (wanted, after) in shapes.items():
        composed, values = finding._composed(Kind.INVOICE, wanted, Sort(), after)
        made[f"projections/finding: {name}"] = (composed.as_bytes(None), values)
    return made


class Grounds(NamedTuple):
    """A database with two filled accounts, and connections that try statements in it."""

    dsn: str
    mine: Tenant
    other: Tenant
    never_set: Asker
    asker: Asker


@pytest.fixture(scope="module")
def grounds(server_dsn: str) -> Iterator[Grounds]:
    """One account set on the second connection before, and none ever on the first."""
    mine, other = Tenant("canary-a"), Tenant("bystander")
    options = "-c jit=off -c search_path=public"
    with own_database(server_dsn) as dsn, Database(dsn):
        with psycopg.connect(dsn, options=options) as connection:
            for tenant in (mine, other):
                psycopg.ClientCursor(connection).execute(FILL, given(tenant))
        with psycopg.connect(dsn, options=options) as first, psycopg.connect(dsn, options=options) as second:
            yield Grounds(dsn, mine, other, Asker(first, mine), Asker(second, mine))


class Statement(NamedTuple):
    """A statement, and what its parameters are."""

    name: str
    text: bytes
    values: dict[str, Any]

    def of(self, tenant: Tenant) -> dict[str, Any]:
        """The parameters that name what is *tenant*'s."""
        return {**given(tenant), **self.values}


STATEMENTS = [
    *(Statement(name, text, OTHERWISE.get(name, {})) for name, text in found_statements().items()),
    *(Statement(name, text, values) for name, (text, values) in found_listing().items()),
]
NAMES = {statement.name for statement in STATEMENTS}


def is_denied(found: Outcome) -> bool:
    return found[:1] == (psycopg.errors.InsufficientPrivilege,) and "permission denied" in found[1]


# Advisory locks on the names that they are given: they read no table, and answer with those names.
LOCKS = {"snapshots/daily/schedule.lock_accounts", "snapshots/daily/schedule.unlock_accounts"}


def test_t02_every_statement_gets_nothing_of_another_account_nor_without_one(grounds: Grounds) -> None:
    """Named as the first account's, asked without an account or in the other one, as if there were no such account."""
    mine, nobody = grounds.mine, Tenant("nobody")
    marks = (mine.account, mine.person, mine.word)
    found: dict[str, set[str]] = {role: set() for role in ROLES}
    without_effect, misfits = set(), []
    for statement in (one for one in STATEMENTS if one.name not in LOCKS):
        has_effect = False
        for role in ROLES:
            own = grounds.asker.ask(role, statement.text, statement.of(mine), mine)
            if is_denied(own):
                continue
            if own and isinstance(own[0], type) and not issubclass(own[0], REACHED):
                misfits.append((statement.name, role, own))
            has_effect |= own != grounds.asker.ask(role, statement.text, statement.of(nobody), mine)
            askers = [(grounds.asker, None), (grounds.asker, grounds.other)]
            if statement.name not in SETS_THE_ACCOUNT:
                askers.append((grounds.never_set, None))
            for asker, tenant in askers:
                got = asker.ask(role, statement.text, statement.of(mine), tenant)
                like_nobodys = asker.ask(role, statement.text, statement.of(nobody), tenant)
                if got != like_nobodys or any(mark in str(got) for mark in marks) or got[-1:] == (CHANGED,):
                    found[role].add(statement.name)
        if not has_effect:
            without_effect.add(statement.name)

    assert misfits == []
    assert found == {
        APP: {*SETS_THE_ACCOUNT, *OF_NO_ACCOUNT},
        BUILDER: set(),
        PURGER: ACROSS_ACCOUNTS[PURGER] | {"api/http/reads.read_entity"},
        KEEPER: ACROSS_ACCOUNTS[KEEPER],
        OBSERVER: ACROSS_ACCOUNTS[OBSERVER],
        QUEUE: set(),
    }
    assert without_effect == set(FINDS_NOTHING)


SENDING = {"execute", "executemany", "copy"}


def spoken() -> dict[str, int]:
    """The functions that send something else than a statement of a file by its name, and how often they do."""
    found = {}
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            module = file.relative_to(ROOT).as_posix().removesuffix(".py")
            for outer in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef):
                    calls = (inner for inner in ast.walk(outer) if isinstance(inner, ast.Call))
                    if number := sum(_sends_its_own(call) for call in calls):
                        found[f"{module}: {outer.name}"] = number
    return found


def _sends_its_own(call: ast.Call) -> bool:
    if not (
        isinstance(call.func, ast.Attribute) and call.func.attr in {"execute", "executemany", "copy"} and call.args
    ):
        return False
    said = call.args[0]
    return not (isinstance(said, ast.Subscript) and isinstance(said.value, ast.Name) and said.value.id.isupper())


def test_what_is_sent_otherwise_than_from_a_file_is_known() -> None:
    assert spoken() == {name: number for name, (number, _) in NOT_IN_A_FILE.items()}


def test_t02_whoever_has_no_access_enters_no_account(grounds: Grounds) -> None:
    enter = found_statements()["domain/store/credentials.enter"]
    for named in (grounds.mine.account, grounds.mine.word):
        values = {**given(grounds.other), "account": named}
        with psycopg.connect(grounds.dsn) as connection:
            connection.execute(f"SET LOCAL ROLE {APP}".encode())
            cursor = connection.execute(enter, values)
            row = dict(zip((column.name for column in cursor.description or ()), cursor.fetchone() or (), strict=True))
            assert row["person_id"] == grounds.other.person
            assert {row[name] for name in ("account_id", "slug", "role", "control_position", "control")} == {None}
            assert connection.execute("SELECT count(*) FROM events").fetchone() == (0,)


def test_t02_what_the_policies_keep_apart_these_statements_would_find(grounds: Grounds) -> None:
    """Without the policies of events, statements that read them find the first account's: they are what keeps it."""
    reading = next(one for one in STATEMENTS if one.name == "domain/store/recorder.select_notifications")
    with psycopg.connect(grounds.dsn) as connection:
        connection.execute("ALTER TABLE events DISABLE ROW LEVEL SECURITY")
        connection.execute(f"SET LOCAL ROLE {APP}".encode())
        found = connection.execute(reading.text, reading.of(grounds.mine)).rowcount
        connection.rollback()

    assert found > 0
