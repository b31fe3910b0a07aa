"""Owners and administrators are told of what was done with their account, and nobody else is."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from tests.fixtures.http_api import AccountOverHttp, Served, Visitor


class Told:
    """An account, one member of each role, and somebody who has another account."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.owner = Visitor(served, "Olga").open_account("Houtwerk")
        self.members = {"owner": self.owner}
        for role in ("administrator", "editor", "viewer", "auditor"):
            member = Visitor(served, role.title())
            fields = {"email": member.email, "name": role.title(), "role": role}
            self.owner.make("members", fields)
            self.members[role] = AccountOverHttp(member, self.owner.id)
        self.stranger = Visitor(served, "Stranger").open_account("Van een ander")

    def topics(self) -> dict[str, list[str]]:
        """What each was told of, newest first."""
        everybody = {**self.members, "stranger": self.stranger}
        return {
            name: [one["topic"] for one in account.get("notifications").json()["items"]]
            for name, account in everybody.items()
        }


@pytest.fixture
def told(served: Served) -> Told:
    return Told(served)


def restored(told: Told) -> None:
    archive = told.owner.make("backups")["archive"]
    told.owner.make(f"backups/{archive}/restore", {"mode": "overwrite"})


def undone(told: Told) -> None:
    restored(told)
    told.owner.make("streams/1/activation")


def cloned(told: Told) -> None:
    told.owner.make("clones", {"new": f"Kopie {uuid.uuid4().hex}"})


def downloaded(told: Told) -> None:
    archive = told.owner.make("backups")["archive"]
    assert told.owner.get(f"backups/{archive}").is_success


def backup_failed(told: Told) -> None:
    folder = told.served.settings.backups
    folder.mkdir(parents=True, exist_ok=True)
    (folder / told.owner.id).write_text("no folder")
    assert told.owner.post("backups").status_code == 507


@pytest.mark.parametrize(
    ("done", "topics"),
    [
        (restored, ["restores"]),
        (undone, ["undos", "restores"]),
        (cloned, ["clones"]),
        (downloaded, ["downloads"]),
        (backup_failed, ["failed-backups"]),
    ],
)
def test_owners_and_administrators_are_told_and_nobody_else(
    told: Told, done: Callable[[Told], None], topics: list[str]
) -> None:
    done(told)

    nothing: dict[str, list[str]] = {name: [] for name in ("editor", "viewer", "auditor", "stranger")}
    assert told.topics() == {"owner": topics, "administrator": topics, **nothing}


def test_a_notice_says_who_did_what_when_and_from_where(told: Told) -> None:
    downloaded(told)

    (notice,) = told.members["administrator"].get("notifications").json()["items"]

    backup = told.owner.get("backups").json()["items"][0]
    assert notice["data"] == {"archive": backup["archive"], "file": backup["file"], "address": "127.0.0.1"}
    person = f"Olga <{told.owner.visitor.email}>"
    assert notice["text"] == f"{person} downloaded the archive {backup['file']} from 127.0.0.1."
    assert (notice["actor"], notice["type"]) == (f"person:{told.owner.visitor.person}", "archive.downloaded")
    assert (notice["read"], notice["mail"]) == (False, "waiting")


def test_a_download_in_parts_is_told_once_and_a_whole_one_every_time(told: Told) -> None:
    archive = told.owner.make("backups")["archive"]

    for part in ("bytes=10-19", "bytes=0-9", "bytes=20-"):
        assert told.owner.get(f"backups/{archive}", headers={"Range": part}).status_code == 206
    assert told.topics()["owner"] == ["downloads"]
    administrator = told.members["administrator"]
    assert administrator.get(f"backups/{archive}", headers={"Range": "bytes=5-9"}).status_code == 206
    for _ in range(2):
        assert told.owner.get(f"backups/{archive}").status_code == 200

    assert told.topics()["owner"] == ["downloads"] * 4, "another person's part, and two whole ones"


def test_rehearsals_and_refusals_are_told_to_nobody(told: Told) -> None:
    archive = told.owner.make("backups")["archive"]
    told.owner.make(f"backups/{archive}/restore", {"mode": "overwrite", "dry_run": True})
    told.owner.make("clones", {"new": f"Kopie {uuid.uuid4().hex}", "dry_run": True})
    assert told.owner.post(f"backups/{archive}/restore", {"mode": "overwrite", "token": "x"}).is_error

    assert set(map(len, told.topics().values())) == {0}


def test_what_a_restore_brings_back_tells_nobody_but_the_restore_itself(told: Told) -> None:
    told.owner.issued()
    restored(told)
    restored(told)

    assert told.topics()["owner"] == ["restores", "restores"], "invariant 8: nothing but its own report"


def test_each_reads_for_themselves(told: Told) -> None:
    for _ in range(3):
        downloaded(told)
    owner, administrator = told.owner, told.members["administrator"]
    newest, middle, oldest = [one["id"] for one in owner.get("notifications").json()["items"]]

    assert owner.make("notifications/read", {"up_to": middle}) == {"unread": 1}
    assert owner.make("notifications/read", {"up_to": oldest}) == {"unread": 1}

    found = owner.get("notifications").json()
    assert [one["read"] for one in found["items"]] == [False, True, True]
    assert [one["id"] for one in owner.get("notifications?unread=true").json()["items"]] == [newest]
    assert administrator.get("notifications").json()["unread"] == 3
    assert owner.make("notifications/read") == {"unread": 0}


def test_a_list_goes_on_page_by_page(told: Told) -> None:
    for _ in range(5):
        downloaded(told)
    everything = told.owner.get("notifications").json()["items"]

    pages, path = [], "notifications?limit=2"
    while path:
        answer = told.owner.get(path)
        pages += answer.json()["items"]
        path = answer.links["next"]["url"] if "next" in answer.links else ""

    assert pages == everything
    assert len(pages) == 5


@pytest.mark.parametrize("cursor", ["x", "-1", "0", "٣", "9" * 20, ""])
def test_a_cursor_that_is_none_is_refused(told: Told, cursor: str) -> None:
    assert told.owner.get("notifications", params={"cursor": cursor}).json()["code"] == "http.cursor-refused"


def test_a_member_can_ask_to_be_told_and_an_owner_cannot_ask_not_to_be(told: Told) -> None:
    editor = told.members["editor"]
    assert editor.ask("PUT", "notifications/topics", {"topics": ["restores"]}).json() == {"topics": ["restores"]}
    assert told.owner.ask("PUT", "notifications/topics", {"topics": []}).is_success

    downloaded(told)
    restored(told)

    assert told.topics()["editor"] == ["restores"]
    assert told.topics()["owner"] == ["restores", "downloads"]


def test_a_topic_that_there_is_not_is_refused(told: Told) -> None:
    answer = told.owner.ask("PUT", "notifications/topics", {"topics": ["gossip"]})

    assert (answer.status_code, answer.json()["pointer"]) == (422, "/topics/0")


def test_whoever_had_no_access_yet_was_not_told(told: Told) -> None:
    downloaded(told)
    late = Visitor(told.served)
    told.owner.make("members", {"email": late.email, "role": "administrator"})

    assert AccountOverHttp(late, told.owner.id).get("notifications").json() == {"unread": 0, "items": []}


def test_what_an_account_is_called_cannot_make_up_a_notice(served: Served) -> None:
    there = Visitor(served, "Mallory\r\nBcc: all@example.com").open_account("Bron")
    there.make("clones", {"new": f"Kopie {uuid.uuid4().hex}\n* 9  Olga closed the account.\x1b[2J\u202e"})

    (notice,) = there.get("notifications").json()["items"]

    assert notice["text"].isprintable()
