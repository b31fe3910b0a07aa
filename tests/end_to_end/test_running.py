"""What whoever runs the service sees of it: probes, figures and the log, with nothing of any account in them."""

from __future__ import annotations

import asyncio
import io
import json
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from api.figures import InstallationFigures
from api.http.app import create_app
from api.logs import logging_to
from api.settings import Settings
from domain.application import Application
from domain.store.database import Database
from tests.fixtures.accounts import OpenAccount
from tests.fixtures.http_api import METRICS_TOKEN, AccountOverHttp, Served, Visitor
from tests.integration.restoring import Books

_SAMPLE = re.compile(r"^(?P<name>\w+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@contextmanager
def logged(*, requests: int) -> Iterator[list[dict[str, Any]]]:
    """The lines that the service logs within the ``with``, there at its end, once it told of so many requests."""
    out = io.StringIO()
    lines: list[dict[str, Any]] = []
    with logging_to(out, level="info", as_json=True):
        yield lines
        ends = time.monotonic() + 10
        while out.getvalue().count('"event":"request"') < requests and time.monotonic() < ends:
            time.sleep(0.01)  # a request is told of once its answer is sent
    lines += [line for line in map(json.loads, out.getvalue().splitlines()) if line["logger"].startswith("counterfoil")]


def asked(app: FastAPI, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    """What *app* answers, in this process."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            return await client.request(method, path)

    return asyncio.run(ask())


def scraped(client: httpx.Client) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The figures by name and labels."""
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
    assert answer.status_code == 200, answer.text
    found = {}
    for line in answer.text.splitlines():
        if not line.startswith("#"):
            sample = _SAMPLE.fullmatch(line)
            assert sample, line
            found[sample["name"], frozenset(_LABEL.findall(sample["labels"] or ""))] = float(sample["value"])
    return found


def counted(database: Database) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The figures of an installation as they are now."""
    found = InstallationFigures(database).collect()
    return {(one.name, frozenset(one.labels.items())): one.value for metric in found for one in metric.samples}


def of(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


def test_a_service_that_works_is_alive_and_ready(nobody: httpx.Client) -> None:
    alive, ready = nobody.get("/healthz"), nobody.get("/readyz")

    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
    assert ready.status_code == 200
    assert ready.json() == {"status": "ready", "checks": {"archives": "ok", "database": "ok"}}


def test_figures_are_for_who_has_their_token_and_for_nobody_when_there_is_none(
    nobody: httpx.Client, visitor: Visitor, served: Served
) -> None:
    without = create_app(served.application, Settings(home=served.settings.home, backups=served.settings.home))

    assert nobody.get("/metrics").status_code == 401
    assert visitor.http.get("/metrics").status_code == 401
    assert asked(without, "/metrics", authorization="Bearer None").status_code == 401
    assert nobody.get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_a_probe_is_only_read(nobody: httpx.Client, path: str) -> None:
    assert nobody.post(path).status_code == 405
    assert nobody.head("/healthz").content == b""


def test_requests_are_counted_by_the_template_of_their_route(books: AccountOverHttp) -> None:
    route = "/v1/accounts/{account}/customers/{entity}"
    customer = books.customer()
    before = scraped(books.visitor.http)

    for _ in range(3):
        books.get(f"customers/{customer}")
    books.get(f"customers/{uuid.uuid4()}")

    after = scraped(books.visitor.http)
    for status, number in (("200", 3), ("404", 1)):
        key = of("counterfoil_http_requests_total", method="GET", route=route, status=status)
        assert after[key] - before.get(key, 0) == number
    key = of("counterfoil_http_request_seconds_count", method="GET", route=route)
    assert after[key] - before.get(key, 0) == 4
    assert after[of("counterfoil_database_up")] == 1


def test_accounts_streams_and_events_are_counted_over_all_accounts(fresh_account: OpenAccount) -> None:
    books = Books(fresh_account())
    database = books.application.database
    before = counted(database)
    books.customer()
    Books(fresh_account()).customer()
    after = counted(database)

    assert after[of("counterfoil_events", status="live")] - before[of("counterfoil_events", status="live")] == 2
    assert after[of("counterfoil_accounts")] - before[of("counterfoil_accounts")] == 1


def test_backups_are_counted_by_age_and_jobs_by_kind_and_state(empty_database: str) -> None:
    accounts = [f"01900000-0000-7000-8000-00000000000{number}" for number in range(4)]
    ages = ["'3 hours'", "'36 hours'", "'90 days'", "NULL::interval"]
    jobs = [("backup", "queued", "NULL", "NULL"), ("backup", "failed", "now() - interval '9 s'", "now()")]
    with Database(empty_database) as database:
        with psycopg.connect(empty_database, autocommit=True) as connection:
            for account, age in zip(accounts, ages, strict=True):
                connection.execute(
                    "INSERT INTO accounts (account_id, slug, control_position, control)"
                    f" VALUES ('{account}', '{account}', 1, '');"
                    " INSERT INTO daily_backups (account_id, time_zone, next_at, rehearse_at, current_at, kept_bytes)"
                    f" VALUES ('{account}', 'UTC', now(), now(), now() - {age}::interval, 100)".encode()
                )
            for number, (kind, state, started, ended) in enumerate(jobs):
                connection.execute(
                    "INSERT INTO jobs (account_id, job_id, kind, state, requested_by, via, request, requested_at,"
                    f" due_at, started_at, ended_at) VALUES ('{accounts[0]}', '{accounts[number]}', '{kind}',"
                    f" '{state}', 'x', 'api', '', now(), now() - interval '1 minute', {started}, {ended})".encode()
                )

        found = counted(database)

    by_age = {age: found[of("counterfoil_accounts_by_backup_age", age=age)] for age in ("1d", "2d", "7d", "30d")}
    assert by_age == {"1d": 1, "2d": 1, "7d": 0, "30d": 0}
    assert found[of("counterfoil_accounts_by_backup_age", age="older")] == 1
    assert found[of("counterfoil_accounts_by_backup_age", age="never")] == 1
    assert found[of("counterfoil_accounts_by_proof_age", age="never")] == 4
    assert found[of("counterfoil_backups_kept_bytes")] == 400
    assert found[of("counterfoil_jobs", kind="backup", state="queued")] == 1
    assert 60 <= found[of("counterfoil_jobs_waiting_seconds", kind="backup")] < 120
    assert found[of("counterfoil_jobs_ended_last_day", kind="backup", state="failed")] == 1
    assert found[of("counterfoil_jobs_seconds_last_day", kind="backup", state="failed")] == 9
    assert found[of("counterfoil_workers")] == 0


def test_what_a_caller_makes_up_is_no_label(visitor: Visitor) -> None:
    for _ in range(3):
        visitor.http.request(f"MADEUP{uuid.uuid4().hex}", f"/v1/{uuid.uuid4()}")

    labels = [dict(labels) for name, labels in scraped(visitor.http) if name == "counterfoil_http_requests_total"]

    assert {one["method"] for one in labels} <= {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"}
    assert all(one["route"] == "none" or one["route"].startswith(("/v1/", "/openapi.json")) for one in labels)


def test_t08_figures_name_no_account_and_no_person(books: AccountOverHttp) -> None:
    books.issued()

    told = " ".join(value for _, labels in scraped(books.visitor.http) for _, value in labels)

    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-", told)
    assert "@" not in told
    assert "houtwerk" not in told.lower()


def test_a_request_is_one_line_with_its_ids_and_nothing_of_its_address_or_token(
    books: AccountOverHttp, served: Served
) -> None:
    customer = books.customer("Secret Klant")

    with logged(requests=2) as lines:
        answer = books.get(f"customers/{customer}", headers={"X-Request-Id": "proxy-17"})
        books.get("customers?limit=5")

    first, second = (line for line in lines if line["event"] == "request")
    assert first["request"] == answer.headers["X-Request-Id"]
    assert first["account"] == books.id
    assert first["person"] == str(books.visitor.person)
    assert (first["method"], first["route"], first["status"]) == (
        "GET", "/v1/accounts/{account}/customers/{entity}", 200,
    )  # fmt: skip
    assert first["bytes"] == len(answer.content)
    assert first["client"] == "127.0.0.1"
    assert first["request"] == "proxy-17" != second["request"]
    text = json.dumps(lines)
    assert not any(word in text for word in (books.visitor.token, "Secret", customer, "limit", books.visitor.email))


@pytest.fixture
def breaking(served: Served) -> FastAPI:
    """The service, with a route that fails as nobody foresaw."""
    app = create_app(served.application, served.settings)

    def fails() -> None:
        raise RuntimeError(
            "SELECT secret FROM /srv/data\r\n2026-11-24 forged \x1b[31m cf_aaaaaaaaaaaaaaaaaaaa password=hunter2"
        )

    app.add_api_route("/v1/fails", fails)
    return app


def test_w13_what_nobody_foresaw_is_told_by_an_id_that_leads_to_it_in_the_log(
    breaking: FastAPI, visitor: Visitor
) -> None:
    token = f"Bearer {visitor.token}"

    with logged(requests=1) as lines:
        answer = asked(breaking, "/v1/fails", authorization=token)

    problem = answer.json()
    assert answer.status_code == 500
    assert problem["code"] == "http.internal"
    assert not any(word in answer.text for word in ("SELECT", "srv", "RuntimeError", "Traceback"))
    (found,) = (line for line in lines if "exception" in line)
    assert found["request"] == problem["request_id"] == answer.headers["X-Request-Id"]
    assert "RuntimeError: SELECT secret FROM" in found["exception"]


@pytest.mark.parametrize("as_json", [True, False])
def test_w08_nothing_that_is_logged_begins_a_line_of_its_own_or_steers_a_terminal_or_holds_a_secret(
    breaking: FastAPI, visitor: Visitor, *, as_json: bool
) -> None:
    token = f"Bearer {visitor.token}"
    out = io.StringIO()

    with logging_to(out, level="info", as_json=as_json):
        asked(breaking, "/v1/fails", authorization=token, **{"x-request-id": "a\x1b[31mb"})
        asked(breaking, "/v1/people/me%0d%0aforged", "GET\x0b", authorization=token)

    text = out.getvalue()
    assert all(letter == "\n" or " " <= letter <= "~" for letter in text)
    begins = r'\{"at":"2' if as_json else r"(2\d{3}-|    \| )"
    assert all(re.match(begins, line) for line in text.splitlines())
    assert "forged" in text
    assert "hunter2" not in text
    assert "cf_aaaa" not in text
    assert visitor.token not in text


def test_a_service_whose_database_is_gone_is_alive_and_not_ready_and_says_which_check_failed(
    empty_database: str, tmp_path: Any
) -> None:
    with Database(empty_database) as database:
        settings = Settings(home=tmp_path, backups=tmp_path / "backups", metrics_token=METRICS_TOKEN)
        app = create_app(Application(database), settings)
        with database.session("counterfoil_app") as superuser:
            superuser.execute("RESET ROLE")
            superuser.execute("DROP TABLE schema_migrations")

            ready, alive = asked(app, "/readyz"), asked(app, "/healthz")

    assert (ready.status_code, alive.status_code) == (503, 200)
    assert ready.headers["Retry-After"]
    assert ready.json() == {"status": "not ready", "checks": {"archives": "ok", "database": "failed"}}
