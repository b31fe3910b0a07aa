"""Hostile archives over HTTP: kept as what they are, refused with a stable code wherever they are read, never a 5xx."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.fixtures.http_api import AccountOverHttp, Served
from tests.integration.test_hostile_input import LINES, SAMPLE, with_line
from tests.small_archive import small_archive

ZIP = {"Content-Type": "application/zip"}
SMALL = [case for case in SAMPLE if case not in ("Z07", "J10")]  # the server of the tests takes a megabyte


@pytest.mark.parametrize("case", SMALL)
def test_what_is_hostile_is_refused_by_code_on_its_way_in_or_when_it_is_read(case: str, books: AccountOverHttp) -> None:
    build, code = SAMPLE[case]
    before = books.get("counts").json()

    sent = books.post("archives", content=build(), headers=ZIP)
    answers = [sent]
    if sent.status_code == 201:
        path = f"archives/{sent.json()['id']}"
        answers = [books.get(f"{path}/inspection"), books.post(f"{path}/restore", {"from_other_account": True})]

    for answer in answers:
        assert (answer.status_code // 100, answer.json()["code"]) == (4, code), answer.text
        assert "Traceback" not in answer.text
    assert books.get("counts").json() == before


def test_m10_a_hostile_line_is_named_in_the_problem(books: AccountOverHttp) -> None:
    sent = books.post("archives", content=with_line(*LINES["J08"]), headers=ZIP)
    path = f"archives/{sent.json()['id']}"

    answer = books.post(f"{path}/restore", {"from_other_account": True})

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (409, "restore.archive-faulty"), answer.text
    assert problem["report"]["faults"][0]["code"] == "line.refused"


def test_z12_an_upload_that_breaks_off_leaves_nothing_that_another_could_build_on(
    books: AccountOverHttp, served: Served
) -> None:
    archive = small_archive()
    address = urlsplit(served.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port)
    connection.putrequest("POST", f"{books.path}/archives")
    connection.putheader("Authorization", f"Bearer {books.visitor.token}")
    connection.putheader("Content-Type", "application/zip")
    connection.putheader("Content-Length", str(len(archive)))
    connection.endheaders(archive[: len(archive) // 2])
    connection.close()

    rest = books.post("archives", content=archive[len(archive) // 2 :], headers=ZIP)

    known = books.get("archives").json()
    assert [one["id"] for one in known.get("archives", known.get("items", []))] == (
        [rest.json()["id"]] if rest.status_code == 201 else []
    )


@pytest.mark.parametrize("case", ["Z08", "Z27", "M01", "J10"])
def test_what_is_hostile_is_refused_by_the_command_line_in_one_sentence(case: str, tmp_path: Path) -> None:
    build, _ = SAMPLE[case]
    file = tmp_path / "hostile.zip"
    file.write_bytes(build())

    ran = subprocess.run(
        [sys.executable, "-m", "api.cli", "inspect", file],
        env={**os.environ, "COUNTERFOIL_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 1, ran.stderr
    assert "Traceback" not in ran.stderr + ran.stdout
    assert "found" in ran.stderr
    assert sorted(path.name for path in tmp_path.glob("*.zip")) == ["hostile.zip"]
