"""Whether an installation is sound: each thing that must hold, what was found, and what to do where it does not.

Looks only: what it writes to see whether it can, it removes. The embedded PostgreSQL is started for it if need be.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import psycopg
from psycopg import Connection

from api.bootstrap import keys
from api.postgres import OLDEST_SERVER, database
from api.settings import GIB, Settings
from api.storage import shelves
from domain.errors import CounterfoilError
from domain.parties import Value
from domain.store.database import APP, BUILDER, KEEPER, OBSERVER, PURGER, Row, known_migration
from domain.store.queue_schema import QUEUE
from snapshots.partial_files import left_partials

State = Literal["ok", "warn", "fail"]
_TIGHT_BYTES, _TOO_TIGHT_BYTES = 5 * GIB, GIB
_SKEW_S, _TOO_MUCH_SKEW_S = 2.0, 60.0
# A stream's builder holds an advisory lock of its session on it (snapshots.fresh.building).
_WITHOUT_A_BUILDER = """
SELECT count(*) FROM public.streams s WHERE s.status = 'building' AND NOT EXISTS (
    SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.objsubid = 1
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (l.classid::bigint << 32 | l.objid::bigint) = hashtextextended(s.account_id::text, s.stream_id))
"""
# Whether each role is there, bypasses row-level security as it should, and is no superuser and nobody's to log in with.
_ROLES = {APP: False, BUILDER: True, PURGER: False, KEEPER: False, OBSERVER: False, QUEUE: False}


class Finding(Value, frozen=True, kw_only=True):
    """What was found of one thing; ``advice`` says what to do where it is not as it should be."""

    check: str
    state: State
    found: str
    advice: str = ""


class Examination(Value, frozen=True, kw_only=True):
    """All findings, and the gravest of their states."""

    state: State
    findings: tuple[Finding, ...]


class _Said(NamedTuple):
    """A finding whose name is yet to be said."""

    state: State
    found: str
    advice: str = ""


def examine(settings: Settings) -> Examination:
    """What is found of the installation that *settings* describe. Raises nothing that is wrong with it."""
    findings = [
        _checked("home folder", lambda: _home(settings)),
        *(_checked(f"free space, {name}", partial(_space, folder)) for name, folder in _folders(settings).items()),
        _checked("storage of archives", lambda: _storage(settings)),
        _checked("signing key", lambda: _signing(settings)),
        _checked("trusted keys", lambda: _trusted(settings)),
        _checked("unfinished files", lambda: _unfinished(settings)),
        *_of_database(settings),
    ]
    states = [finding.state for finding in findings]
    gravest: State = "fail" if "fail" in states else "warn" if "warn" in states else "ok"
    return Examination(state=gravest, findings=tuple(findings))


def _checked(check: str, look: Callable[[], _Said]) -> Finding:
    try:
        said = look()
    except CounterfoilError as wrong:
        said = _Said("fail", str(wrong), wrong.hint or "")
    except (OSError, psycopg.Error) as wrong:
        said = _Said("fail", str(wrong).partition("\n")[0])
    return Finding(check=check, state=said.state, found=said.found, advice=said.advice)


def _home(settings: Settings) -> _Said:
    home = settings.home
    if not home.is_dir():
        return _Said("fail", f"{home} is not there", "start the service once, or correct COUNTERFOIL_HOME")
    if not os.access(home, os.W_OK | os.X_OK):
        return _Said(
            "fail", f"{home} cannot be written to", "run as the user that it belongs to, or give it to this one"
        )
    for secret in (home / "keys" / "signing.pem", home / "metrics.token", home / "counterfoil.toml"):
        if secret.exists() and secret.stat().st_mode & 0o007:
            return _Said("warn", f"{secret} is open to everybody on this machine", f"chmod 600 {secret}")
    return _Said("ok", str(home))


def _folders(settings: Settings) -> dict[str, Path]:
    return {"home": settings.home, "backups": settings.backups}


def _space(folder: Path) -> _Said:
    there = next(one for one in (folder, *folder.parents) if one.exists())
    free = shutil.disk_usage(there).free
    found = f"{free / GIB:,.1f} GiB"
    if free < _TOO_TIGHT_BYTES:
        return _Said("fail", found, f"make room where {folder} is: backups and the database fail without it")
    return _Said("warn", found, f"make room where {folder} is") if free < _TIGHT_BYTES else _Said("ok", found)


def _storage(settings: Settings) -> _Said:
    """A probe is put, read and deleted."""
    shelf, name, said = shelves(settings).backups, f"probe-{secrets.token_hex(8)}", secrets.token_bytes(64)
    where = shelf.where(name).removesuffix(name)
    shelf.put_new(name, said)
    try:
        with closing(shelf.open(name)) as stored:
            read = stored.read(0, len(said))
    finally:
        shelf.delete(name)
    if read != said:
        return _Said("fail", f"{where} gives back other bytes than it was given", "check the disk, mount or server")
    return _Said("ok", f"{where} takes, gives back and deletes")


def _signing(settings: Settings) -> _Said:
    ours = keys(settings)
    if not ours.path.exists() and not any(key.is_ours for key in ours.trusted()):
        return _Said("warn", f"{ours.path} is not there yet", "it is made at the first start")
    return _Said("ok", f"{ours.signer().key} in {ours.path}")


def _trusted(settings: Settings) -> _Said:
    found = keys(settings).trusted()
    return _Said("ok", f"{len(found)} keys are believed")


def _unfinished(settings: Settings) -> _Said:
    left = [*left_partials(settings.backups), *left_partials(settings.home / "uploads")]
    if left:
        return _Said(
            "warn", f"{len(left)} files that were never whole, and nobody is at work on", "counterfoil cleanup"
        )
    return _Said("ok", "none")


def _of_database(settings: Settings) -> Iterator[Finding]:
    """What concerns the database; nothing more than its absence when it does not answer."""
    checks: dict[str, Callable[[Connection[Row]], _Said]] = {
        "database version": _version,
        "migrations": _migrated,
        "database roles": _roles,
        "row-level security": _row_security,
        "clock": _clock,
        "streams being built": _building,
        "workers": _workers,
        "jobs": _jobs,
        "backups": _backups,
    }
    try:
        with database(settings) as dsn, psycopg.connect(dsn, autocommit=True, connect_timeout=5) as connection:
            yield Finding(check="database", state="ok", found="answers")
            for name, look in checks.items():
                yield _checked(name, partial(look, connection))
    except CounterfoilError as wrong:
        yield Finding(check="database", state="fail", found=str(wrong), advice=wrong.hint or "")
    except psycopg.Error as wrong:
        yield Finding(check="database", state="fail", found=str(wrong).partition("\n")[0])


def _version(connection: Connection[Row]) -> _Said:
    found = connection.info.server_version // 10_000
    said = f"PostgreSQL {connection.info.parameter_status('server_version')}"
    if found < OLDEST_SERVER:
        return _Said("fail", said, f"use PostgreSQL {OLDEST_SERVER} or newer")
    return _Said("ok", said)


def _one(connection: Connection[Row], statement: str) -> Row:
    row = connection.execute(statement.encode()).fetchone()
    assert row is not None, "it is an aggregate"
    return row


def _migrated(connection: Connection[Row]) -> _Said:
    known = known_migration()
    if _one(connection, "SELECT to_regclass('public.schema_migrations') IS NULL")[0]:
        return _Said("warn", "the database is empty", "it is set up at the first start")
    (applied,) = _one(connection, "SELECT coalesce(max(number), 0) FROM public.schema_migrations")
    found = f"{applied} of {known}"
    if applied > known:
        return _Said("fail", found, "a newer version migrated this database: use that one")
    if applied < known:
        return _Said("warn", found, "start this version of the service once: it migrates")
    return _Said("ok", found)


def _roles(connection: Connection[Row]) -> _Said:
    found = {
        name: (bypasses, is_too_much)
        for name, bypasses, is_too_much in connection.execute(
            "SELECT rolname, rolbypassrls, rolsuper OR rolcanlogin OR rolcreaterole FROM pg_roles"
            " WHERE rolname = ANY(%s)",
            (list(_ROLES),),
        )
    }
    missing = _ROLES.keys() - found.keys()
    if missing:
        return _Said("warn", f"missing: {', '.join(sorted(missing))}", "they are made at the first start")
    wrong = [name for name, bypasses in _ROLES.items() if found[name] != (bypasses, False)]
    if wrong:
        return _Said("fail", f"may do too much, or too little: {', '.join(wrong)}", "ALTER ROLE as operations.md says")
    return _Said("ok", ", ".join(_ROLES))


def _row_security(connection: Connection[Row]) -> _Said:
    open_ = [
        name
        for (name,) in connection.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'account_id'"
            " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')"
            " AND NOT (c.relrowsecurity AND c.relforcerowsecurity) ORDER BY 1"
        )
    ]
    if open_:
        return _Said(
            "fail",
            f"not enforced on {', '.join(open_)}",
            "ALTER TABLE … ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY, and find out who took it away",
        )
    return _Said("ok", "enforced on every table of accounts")


def _clock(connection: Connection[Row]) -> _Said:
    before = datetime.now(UTC)
    (there,) = _one(connection, "SELECT clock_timestamp()")
    after = datetime.now(UTC)
    skew = max((before - there).total_seconds(), (there - after).total_seconds(), 0.0)
    found = f"{skew:.1f} s from the database's"
    if skew <= _SKEW_S:
        return _Said("ok", found)
    return _Said("fail" if skew > _TOO_MUCH_SKEW_S else "warn", found, "let NTP set the clocks of both machines")


def _building(connection: Connection[Row]) -> _Said:
    if _one(connection, f"SELECT to_regrole('{OBSERVER}') IS NULL")[0]:
        return _Said("ok", "none yet")
    with connection.transaction():
        connection.execute(f"SET LOCAL ROLE {OBSERVER}")
        (left,) = _one(connection, _WITHOUT_A_BUILDER)
    if left:
        return _Said("warn", f"{left} that nobody builds", "counterfoil cleanup removes them")
    return _Said("ok", "none without a builder")


def _is_set_up(connection: Connection[Row]) -> bool:
    (is_there,) = _one(
        connection, f"SELECT to_regrole('{OBSERVER}') IS NOT NULL AND to_regclass('public.jobs') IS NOT NULL"
    )
    return bool(is_there)


def _workers(connection: Connection[Row]) -> _Said:
    if _one(connection, "SELECT to_regclass('queue.procrastinate_workers') IS NULL")[0]:
        return _Said("ok", "none yet")
    with connection.transaction():
        connection.execute(f"SET LOCAL ROLE {QUEUE}")
        (alive,) = _one(
            connection,
            "SELECT count(*) FROM queue.procrastinate_workers WHERE last_heartbeat > now() - interval '1 minute'",
        )
    if alive:
        return _Said("ok", f"{alive} at work")
    return _Said("warn", "none at work", "counterfoil serve, or counterfoil worker: until then no backup is taken")


def _jobs(connection: Connection[Row]) -> _Said:
    if not _is_set_up(connection):
        return _Said("ok", "none yet")
    with connection.transaction():
        connection.execute(f"SET LOCAL ROLE {OBSERVER}")
        (stalled,) = _one(
            connection,
            "SELECT count(*) FROM public.jobs WHERE state = 'queued' AND due_at < now() - interval '1 hour'",
        )
    if stalled:
        return _Said("warn", f"{stalled} have waited for more than an hour", "start more workers, and read their log")
    return _Said("ok", "none has waited for an hour")


def _backups(connection: Connection[Row]) -> _Said:
    if not _is_set_up(connection):
        return _Said("ok", "none yet")
    with connection.transaction():
        connection.execute(f"SET LOCAL ROLE {KEEPER}")
        failing, old = _one(
            connection,
            "SELECT count(*) FILTER (WHERE attempts > 0 OR failed_at > current_at),"
            " count(*) FILTER (WHERE coalesce(current_at, next_at) < now() - interval '3 days')"
            " FROM public.daily_backups",
        )
    if failing or old:
        found = f"of {failing} accounts the last one failed; of {old} the newest is older than three days"
        return _Said("warn", found, "the account's control stream and the log say why")
    return _Said("ok", "none failed, none is older than three days")
