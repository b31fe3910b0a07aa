"""A database that does not answer is told by one name, whichever door was knocked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from starlette.testclient import TestClient

from api.cli.program import _unforeseen
from api.http.app import create_app
from api.settings import Settings
from domain.application import Application
from domain.store.database import Database, DatabaseUnavailable
from tests.fixtures.accounts import OpenAccount


def test_both_doors_have_one_code_for_a_database_that_does_not_answer(tmp_path: Path) -> None:
    never_opened = Application(Database("dbname=none"))
    client = TestClient(
        create_app(never_opened, Settings(home=tmp_path, backups=tmp_path)), raise_server_exceptions=False
    )

    answer = client.get("/v1/people/me", headers={"Authorization": f"Bearer cf_{'x' * 43}"})
    code, _ = _unforeseen(psycopg.OperationalError("the connection is gone\nin two lines"))

    assert (answer.status_code, answer.json()["code"]) == (503, "store.unavailable")
    assert code == DatabaseUnavailable.code == "store.unavailable"


def test_a_moment_that_a_restarted_server_has_forgotten_is_told_by_name(fresh_account: OpenAccount) -> None:
    opened = fresh_account()
    database = opened.application.database

    class Forgotten:
        """A connection that exported its moment before the server was restarted."""

        def execute(self, _: str) -> Any:
            return self

        def fetchone(self) -> tuple[str]:
            return ("00000099-00000099-1",)

    first: Any = Forgotten()
    with pytest.raises(DatabaseUnavailable, match="snapshot"), database.beside(opened.access.account, first):
        pass
