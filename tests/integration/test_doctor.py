"""The doctor finds what was broken on purpose, says what to do, and changes nothing."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from api.bootstrap import installation
from api.cli.program import run
from api.doctor import Examination, examine
from api.settings import Settings, load_settings
from domain.store.database import APP


@pytest.fixture
def settings(empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation that was started once."""
    monkeypatch.setenv("COUNTERFOIL_HOME", str(tmp_path))
    monkeypatch.setenv("COUNTERFOIL_DATABASE_URL", empty_database)
    settings = load_settings({"COUNTERFOIL_HOME": str(tmp_path), "COUNTERFOIL_DATABASE_URL": empty_database})
    with installation(settings):
        pass
    return settings


def states(found: Examination) -> dict[str, str]:
    """What is not as it should be."""
    assert all(one.advice or one.state == "fail" for one in found.findings if one.state != "ok")
    # No worker is at work here.
    return {one.check: one.state for one in found.findings if one.state != "ok" and one.check != "workers"}


def changed(settings: Settings, statement: str) -> None:
    assert settings.database_url is not None
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute(statement.encode())


def test_a_sound_installation_is_found_sound_and_nothing_is_left_of_looking(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.backups.mkdir(exist_ok=True)
    before = sorted(settings.home.rglob("*"))

    status = run(["doctor", "--json"])

    assert status == 0, capsys.readouterr()
    assert '"state": "fail"' not in capsys.readouterr().out
    assert sorted(settings.home.rglob("*")) == before


def test_a_key_that_others_may_read_fails_by_name_with_what_to_do(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    (settings.home / "keys" / "signing.pem").chmod(0o644)

    status = run(["doctor"])

    said = capsys.readouterr().out
    assert status == 1
    assert "fail   signing key" in said
    assert "What to do:" in said


def test_a_table_without_row_level_security_fails(settings: Settings) -> None:
    changed(settings, "ALTER TABLE events NO FORCE ROW LEVEL SECURITY")

    assert states(examine(settings)) == {"row-level security": "fail"}


def test_a_database_of_another_version_is_told(settings: Settings) -> None:
    changed(settings, "INSERT INTO schema_migrations (number, sha256) VALUES (9999, '')")
    assert states(examine(settings)) == {"migrations": "fail"}

    changed(settings, "DELETE FROM schema_migrations WHERE number > 3")
    assert states(examine(settings)) == {"migrations": "warn"}


def test_a_stream_that_nobody_builds_is_told_and_one_that_somebody_builds_is_not(settings: Settings) -> None:
    account = "01900000-0000-7000-8000-000000000001"
    changed(
        settings,
        f"INSERT INTO accounts (account_id, slug, control_position, control) VALUES ('{account}', 'x', 0, '');"
        " INSERT INTO streams (account_id, stream_id, status, created_at, created_by)"
        f" VALUES ('{account}', 1, 'building', now(), 'x')",
    )
    assert settings.database_url is not None
    with psycopg.connect(settings.database_url, autocommit=True) as builder:
        builder.execute("SELECT pg_advisory_lock(hashtextextended(%s, 1))", (account,))
        assert states(examine(settings)) == {}

    assert states(examine(settings)) == {"streams being built": "warn"}


def test_jobs_that_nobody_does_and_backups_that_fail_are_told(settings: Settings) -> None:
    account = "01900000-0000-7000-8000-000000000001"
    changed(
        settings,
        f"INSERT INTO accounts (account_id, slug, control_position, control) VALUES ('{account}', 'x', 1, '');"
        " INSERT INTO daily_backups (account_id, time_zone, next_at, rehearse_at, current_at, attempts)"
        f" VALUES ('{account}', 'UTC', now(), now(), now(), 2);"
        " INSERT INTO jobs (account_id, job_id, kind, state, requested_by, via, request, requested_at, due_at)"
        f" VALUES ('{account}', '{account}', 'backup', 'queued', 'x', 'api', '', now(), now() - interval '2 hours')",
    )

    assert states(examine(settings)) == {"jobs": "warn", "backups": "warn"}


def test_what_was_never_whole_is_told(settings: Settings) -> None:
    settings.backups.mkdir(exist_ok=True)
    (settings.backups / f".acme.zip.{'0' * 16}.partial").touch()

    assert states(examine(settings)) == {"unfinished files": "warn"}


def test_a_backups_folder_that_takes_nothing_fails(settings: Settings) -> None:
    settings.backups.write_text("no folder")

    assert states(examine(settings)) == {"storage of archives": "fail"}


def test_a_database_that_does_not_answer_is_one_failure_and_its_password_is_shown_to_nobody(tmp_path: Path) -> None:
    url = "postgresql://an:hunter2@127.0.0.1:1/data"
    (tmp_path / "backups").mkdir()
    settings = load_settings({"COUNTERFOIL_HOME": str(tmp_path), "COUNTERFOIL_DATABASE_URL": url})

    found = examine(settings)

    assert states(found) == {"signing key": "warn", "database": "fail"}
    assert not any("hunter2" in one.found + one.advice for one in found.findings)


def test_a_role_that_may_do_too_much_fails(settings: Settings) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("api.doctor._ROLES", {APP: True})

        assert states(examine(settings)) == {"database roles": "fail"}
