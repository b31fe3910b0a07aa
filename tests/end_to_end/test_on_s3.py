"""An installation whose archives are in S3, from one night to the next: everything that is done with them, and what is
left when the storage goes away in the middle of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from api.bootstrap import Installation
from api.daily import night
from api.http.app import create_app
from api.jobs.workforce import workforce
from api.settings import Settings
from api.storage import shelves
from domain.application import Application
from domain.ids import AccountId
from domain.store.database import Database
from tests.fixtures.http_api import AccountOverHttp, Served, Visitor, answering
from tests.fixtures.s3_server import BUCKET, GoBetween, S3Server, go_between
from tests.fixtures.server import own_database


class OnS3(NamedTuple):
    """A served installation, and what stands between it and its storage."""

    served: Served
    between: GoBetween

    def night(self, days: int) -> None:
        """What the service does by itself in the night so many days ahead; the first one only plans the next."""
        application = self.served.application
        clock = application.clock
        ahead = Application(application.database, lambda: clock() + days * timedelta(hours=27))
        night(Installation(self.served.settings, application.database, ahead), longest_s=60)

    def objects(self, account: str) -> list[str]:
        """The files that are stored of the account's backups."""
        shelf = shelves(self.served.settings).backups
        return [item.name.rpartition("/")[2] for item in shelf.items(AccountId(account))]


@pytest.fixture
def on_s3(server_dsn: str, s3_server: S3Server, tmp_path: Path) -> Iterator[OnS3]:
    """An installation of the test's own, and its worker."""
    with own_database(server_dsn) as dsn, Database(dsn) as database, go_between(s3_server) as between:
        settings = Settings(
            home=tmp_path,
            database_url=dsn,
            backups=tmp_path / "backups",
            storage=f"s3://{BUCKET}/{s3_server.location().prefix}",
            storage_endpoint=between.endpoint,
            storage_region="us-east-1",
        )
        application = Application(database)
        with answering(create_app(application, settings)) as url, workforce(settings, 1):
            yield OnS3(Served(url, application, settings), between)


def names(books: AccountOverHttp) -> list[str]:
    """The account's customers."""
    return sorted(one["party"]["name"] for one in books.get("customers").json()["items"])


@pytest.mark.slow
def test_a_backup_by_night_is_listed_downloaded_in_parts_restored_rehearsed_verified_and_let_go(on_s3: OnS3) -> None:
    books = Visitor(on_s3.served).open_account()
    rule = {"daily": 1, "weekly": 0, "monthly": 0}
    assert books.ask("PATCH", "settings", {"backups_kept": rule}).is_success
    books.issued()
    on_s3.night(0)
    on_s3.night(1)
    (listed,) = books.get("backups").json()["items"]
    first = f"backups/{listed['archive']}"

    size = listed["size"]
    parts = [
        books.get(first, headers={"Range": f"bytes={start}-{end}"})
        for start, end in ((0, size // 2), (size // 2 + 1, size - 1))
    ]
    whole = b"".join(part.content for part in parts)
    books.customer("After the backup")
    rehearsed, verified = books.make("backups/rehearsal"), books.make("backups/verification")
    books.make(f"{first}/restore", {"mode": "overwrite", "numbers": "reuse-numbers"})
    other = books.visitor.open_account("Other")
    sent = other.asked("POST", "archives", content=whole, headers={"Content-Type": "application/zip"}).json()
    other.make(f"archives/{sent['id']}/restore", {"from_other_account": True})
    on_s3.night(2)

    (newest,) = books.get("backups").json()["items"]
    assert (listed["daily"], listed["available"]) == (True, True)
    assert [part.status_code for part in parts] == [206, 206]
    assert books.get(first).status_code == 404
    assert rehearsed["archive"] == listed["archive"]
    assert (verified["archives"], verified["size_bytes"], verified["damaged"]) == (1, size, [])
    assert names(books) == names(other) == ["Klant"]
    assert newest["archive"] != listed["archive"]
    assert on_s3.objects(books.id) == [newest["file"]]


@pytest.mark.slow
@pytest.mark.parametrize("still", [(), ("HEAD",)], ids=["at once", "in the middle"])
def test_f07_storage_that_goes_away_is_said_to_and_leaves_nothing_half(on_s3: OnS3, still: tuple[str, ...]) -> None:
    books = Visitor(on_s3.served).open_account()
    books.issued()
    taken = books.make("backups")
    books.customer("After the backup")
    before = (names(books), on_s3.objects(books.id))

    on_s3.between.fault = lambda number, method, path: None if method in still else "hangs up"
    refused = [
        books.post("backups", {}),
        books.post(f"backups/{taken['archive']}/restore", {"mode": "overwrite"}),
        books.post("backups/rehearsal", {"archive": taken["archive"]}),
        books.post("backups/verification"),
    ]
    if still:  # the answer had begun: it breaks off before the length that it said
        with pytest.raises(httpx.RemoteProtocolError):
            books.get(f"backups/{taken['archive']}")
    else:
        refused.append(books.get(f"backups/{taken['archive']}"))
    on_s3.night(0)
    on_s3.night(1)
    status = books.get("backups/status").json()
    on_s3.between.fault = lambda number, method, path: None

    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(503, "storage.unavailable")] * len(
        refused
    )
    assert (status["is_failing"], status["last_failure"]["code"]) == (True, "storage.unavailable")
    assert (names(books), on_s3.objects(books.id)) == before
    assert [one["status"] for one in books.get("streams").json()["items"]] == ["live"]
    assert books.make("backups/verification")["damaged"] == []
    books.make(f"backups/{taken['archive']}/restore", {"mode": "overwrite", "meanwhile": "discard"})
    assert names(books) == ["Klant"]
