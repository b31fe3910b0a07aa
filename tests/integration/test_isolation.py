"""What PostgreSQL itself keeps apart: accounts from each other, and each role from what is not its work."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from domain.store.database import APP, BUILDER, KEEPER, OBSERVER, PURGER, Database
from tests.fixtures.accounts import OpenAccount
from tests.integration.restoring import TENANT_TABLES, Books

ALL = (
    *TENANT_TABLES,
    "control_events",
    "members",
    "notices",
    "accounts",
    "idempotency_keys",
    "jobs",
    "listed",
    "listed_heads",
    "daily_backups",
)


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    books = Books(fresh_account())
    books.issued(books.customer())
    return books


def rows(database: Database, role: str, statement: str, account: str | None = None) -> int:
    """How many rows a statement of *role* gives or changes."""
    with database.session(role) as connection, connection.transaction():
        if account is not None:
            connection.execute(f"SET LOCAL counterfoil.account = '{account}'".encode())
        return connection.execute(statement.encode()).rowcount


def test_t02_every_table_with_an_account_is_under_forced_row_level_security(shared_database: Database) -> None:
    with psycopg.connect(shared_database.dsn) as connection:
        found = connection.execute(
            "SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity FROM pg_class c"
            " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'account_id' AND c.relkind = 'r'"
            " WHERE c.relnamespace = 'public'::regnamespace"
        ).fetchall()

    assert {name for name, _ in found} == set(ALL)
    assert all(forced for _, forced in found)


def test_t03_the_services_role_owns_nothing_and_no_view_or_function_goes_past_it(shared_database: Database) -> None:
    with psycopg.connect(shared_database.dsn) as connection:
        roles = connection.execute(
            "SELECT rolname, rolsuper, rolbypassrls, rolcanlogin FROM pg_roles WHERE rolname = ANY(%s) ORDER BY 1",
            ([APP, BUILDER, KEEPER, OBSERVER, PURGER],),
        ).fetchall()
        owned = connection.execute(
            "SELECT count(*) FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE r.rolname = ANY(%s)",
            ([APP, BUILDER, KEEPER, OBSERVER, PURGER],),
        ).fetchone()
        definers = connection.execute(
            "SELECT count(*) FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace"
        ).fetchone()
        views = connection.execute(
            "SELECT count(*) FROM pg_class WHERE relkind IN ('v', 'm') AND relnamespace = 'public'::regnamespace"
        ).fetchone()

    assert roles == [(role, False, role == BUILDER, False) for role in (APP, BUILDER, KEEPER, OBSERVER, PURGER)]
    assert (owned, definers, views) == ((0,), (0,), (0,))


@pytest.mark.parametrize("table", ALL)
@pytest.mark.parametrize("setting", [None, "01900000-0000-7000-8000-000000000000"])
def test_t04_without_an_account_or_with_another_there_is_nothing_to_see(
    books: Books, table: str, setting: str | None
) -> None:
    assert rows(books.application.database, APP, f"SELECT * FROM {table}", setting) == 0


# What may be read of accounts that are not set: states and numbers, by column, each role by policies of its own.
ACROSS_ACCOUNTS = {
    KEEPER: {
        "accounts": {"account_id", "control_position", "erased_at"},
        "streams": {"account_id", "stream_id", "status", "head_position"},
        "control_events": {"account_id", "position", "type"},
        "daily_backups": {
            *(
                "account_id",
                "time_zone",
                "next_at",
                "claimed_until",
                "attempts",
                "current_at",
                "failed_at",
                "shrunk_at",
            ),
            *("stream_id", "position", "control_position", "archive", "taken_at", "size_bytes", "seconds"),
            *("kept_bytes", "read_at", "rehearse_at", "proven_archive", "proven_at"),
        },
    },
    OBSERVER: {
        "accounts": {"account_id", "control_position", "erased_at"},
        "streams": {"account_id", "stream_id", "status", "head_position", "created_at"},
        "jobs": {"account_id", "kind", "state", "requested_at", "due_at", "started_at", "ended_at", "attempt"},
    },
}


@pytest.mark.parametrize("role", ACROSS_ACCOUNTS)
def test_a_role_that_sees_all_accounts_sees_of_them_what_is_listed_here_and_changes_nothing(
    shared_database: Database, role: str
) -> None:
    with psycopg.connect(shared_database.dsn) as connection:
        columns = connection.execute(
            "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
            " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT attisdropped"
            " AND has_column_privilege(%s, c.oid, a.attnum, 'SELECT')",
            (role,),
        ).fetchall()
        changes = connection.execute(
            "SELECT count(*) FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'"
            " AND has_table_privilege(%s, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')",
            (role,),
        ).fetchone()

    found: dict[str, set[str]] = {}
    for table, column in columns:
        found.setdefault(table, set()).add(column)
    assert found == ACROSS_ACCOUNTS[role]
    assert changes == (0,)


def test_t04_a_setting_that_is_no_account_is_an_error(books: Books) -> None:
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        rows(books.application.database, APP, "SELECT * FROM events", "nonsense")


REFUSED: list[tuple[str, str, type[psycopg.Error]]] = [
    (APP, "DELETE FROM events", psycopg.errors.InsufficientPrivilege),
    (APP, "UPDATE events SET actor = 'x'", psycopg.errors.InsufficientPrivilege),
    (APP, "TRUNCATE events", psycopg.errors.InsufficientPrivilege),
    (APP, "DELETE FROM control_events", psycopg.errors.InsufficientPrivilege),
    (BUILDER, "SELECT * FROM events", psycopg.errors.InsufficientPrivilege),
    (BUILDER, "SELECT * FROM attachments", psycopg.errors.InsufficientPrivilege),
    (BUILDER, "DELETE FROM events", psycopg.errors.InsufficientPrivilege),
    (BUILDER, "UPDATE streams SET status = 'live'", psycopg.errors.InsufficientPrivilege),
    (PURGER, "INSERT INTO events SELECT * FROM events", psycopg.errors.InsufficientPrivilege),
    (PURGER, "UPDATE streams SET status = 'retired'", psycopg.errors.InsufficientPrivilege),
    (KEEPER, "SELECT * FROM events", psycopg.errors.InsufficientPrivilege),
    (KEEPER, "SELECT slug FROM accounts", psycopg.errors.InsufficientPrivilege),
    (KEEPER, "SELECT data FROM control_events", psycopg.errors.InsufficientPrivilege),
    (KEEPER, "UPDATE daily_backups SET archive = NULL", psycopg.errors.InsufficientPrivilege),
    (OBSERVER, "SELECT slug FROM accounts", psycopg.errors.InsufficientPrivilege),
    (OBSERVER, "SELECT created_by FROM streams", psycopg.errors.InsufficientPrivilege),
    (OBSERVER, "SELECT 1 FROM events", psycopg.errors.InsufficientPrivilege),
    (OBSERVER, "DELETE FROM streams", psycopg.errors.InsufficientPrivilege),
]


@pytest.mark.parametrize(("role", "statement", "error"), REFUSED)
def test_t18_no_role_does_what_is_not_its_work(
    books: Books, role: str, statement: str, error: type[psycopg.Error]
) -> None:
    with pytest.raises(error):
        rows(books.application.database, role, statement, books.access.account)


def test_not_even_the_purging_role_deletes_from_the_live_stream(books: Books) -> None:
    before = books.rows()

    deleted = rows(books.application.database, PURGER, "DELETE FROM events", books.access.account)

    assert deleted == 0
    assert books.rows() == before


def test_t07_every_key_begins_with_the_account_and_no_reference_leaves_it(shared_database: Database) -> None:
    """But for the account's own name: a key without the account would go past the policies."""
    with psycopg.connect(shared_database.dsn) as connection:
        found = connection.execute(
            "SELECT conrelid::regclass || '.' || conname FROM pg_constraint"
            " JOIN pg_attribute a ON a.attrelid = conrelid AND a.attname = 'account_id'"
            " WHERE contype IN ('p', 'u', 'f') AND connamespace = 'public'::regnamespace AND conkey[1] <> a.attnum"
        ).fetchall()
        truncated = connection.execute(
            "SELECT c.relname, r.rolname FROM pg_class c, pg_roles r WHERE c.relkind = 'r'"
            " AND c.relnamespace = 'public'::regnamespace AND r.rolname = ANY(%s)"
            " AND has_table_privilege(r.oid, c.oid, 'TRUNCATE')",
            ([APP, BUILDER, KEEPER, OBSERVER, PURGER],),
        ).fetchall()

    assert found == [("accounts.accounts_slug_key",)]
    assert truncated == []


def test_t07_rows_of_another_account_can_not_be_written(books: Books, fresh_account: OpenAccount) -> None:
    other = Books(fresh_account())
    statement = (
        f"INSERT INTO series (account_id, stream_id, kind, series, highest)"
        f" VALUES ('{books.access.account}', 1, 'invoice', 'x', 9)"
    )

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        rows(books.application.database, APP, statement, other.access.account)


def test_t06_one_connection_answers_one_account_after_the_other(books: Books, fresh_account: OpenAccount) -> None:
    """Statements are prepared at their first use, and their plans kept."""
    others = [books, *(Books(fresh_account()) for _ in range(2))]
    expected = {one.access.account: one.customer() for one in others}
    with Database(books.application.database.dsn, most_connections=1) as database:
        for _ in range(10):
            for account, customer in expected.items():
                with database.transaction(account) as connection:
                    seen = connection.execute(
                        "SELECT account_id::text, entity_id::text FROM entities WHERE entity_id = ANY(%s::uuid[])",
                        (list(expected.values()),),
                    ).fetchall()
                assert seen == [(account, customer)]


def test_t05_nothing_is_left_set_on_a_pooled_connection(books: Books, fresh_account: OpenAccount) -> None:
    database = books.application.database
    fails: Callable[[], object] = lambda: books.run(lambda work: work.get(None, "x"))  # noqa: E731
    for _ in range(20):
        books.customer()
        with pytest.raises(Exception):  # noqa: B017 - whatever it is, the connection goes back
            fails()

    with database.connection() as connection:
        seen = connection.execute("SELECT count(*) FROM events").fetchone()

    assert seen == (0,)
