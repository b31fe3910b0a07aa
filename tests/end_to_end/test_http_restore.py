"""The main job over HTTP: back up, send an archive, look into it, rehearse, restore, read the timeline."""

from __future__ import annotations

import io
import zipfile

from snapshots.format.manifest import TIMELINE
from tests.fixtures.archives import Edited
from tests.fixtures.http_api import AccountOverHttp
from tests.integration.restoring import LINE

ZIP = {"Content-Type": "application/zip"}


def sent(books: AccountOverHttp, content: bytes) -> str:
    """The path of an archive that was sent."""
    answer = books.post("archives", content=content, headers=ZIP)
    assert answer.status_code == 201, answer.text
    return f"archives/{answer.json()['id']}"


def archive_of(books: AccountOverHttp) -> bytes:
    """The bytes of a fresh backup."""
    taken = books.make("backups")
    return books.get(f"backups/{taken['archive']}").content


def test_a_backup_is_sent_to_another_account_looked_into_rehearsed_and_restored(books: AccountOverHttp) -> None:
    invoice = books.issued()
    other = books.visitor.open_account("Other")
    path = sent(other, archive_of(books))

    inspection = other.get(f"{path}/inspection").json()
    not_meant = other.post(f"{path}/restore", {"dry_run": True})
    rehearsed = other.make(f"{path}/restore", {"dry_run": True, "from_other_account": True})
    assert other.get(invoice).status_code == 404
    restored = other.make(f"{path}/restore", {"from_other_account": True})

    assert inspection["is_sound"] is True
    assert (not_meant.status_code, not_meant.json()["code"]) == (409, "restore.other-account")
    assert (restored["from_other_account"], restored["source_account_id"]) == (True, books.id)
    assert (rehearsed["outcome"], restored["outcome"]) == ("would_restore", "restored")
    assert other.get(invoice).json()["number"] == books.get(invoice).json()["number"]
    assert other.get("counts").json()["invoice"] == 1
    assert "differences" not in other.make("rebuild-check")


def test_a_backup_is_restored_where_it_is_and_the_timeline_tells(books: AccountOverHttp) -> None:
    taken = books.make("backups")
    books.issued()

    report = books.make(f"backups/{taken['archive']}/restore")
    entries = books.get("timeline", params={"kind": "account", "limit": 3}).json()["entries"]

    assert report["lost_documents_count"] == 1
    assert [entry["type"] for entry in entries][:2] == ["stream.swapped", "restore.finished"]


def test_a_refusal_is_a_problem_that_holds_the_report(books: AccountOverHttp) -> None:
    other = books.visitor.open_account("Other")
    books.issued()
    other.issued()
    path = sent(other, archive_of(books))

    answer = other.post(f"{path}/restore", {"mode": "add", "from_other_account": True})

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (409, "restore.numbers-clash")
    assert problem["report"]["outcome"] == "refused"
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_zip_of_something_else_is_refused_by_name(books: AccountOverHttp) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("holiday.jpg", b"...")
    path = sent(books, made.getvalue())

    for answer in (books.get(f"{path}/inspection"), books.post(f"{path}/restore")):
        assert (answer.status_code, answer.json()["code"]) == (422, "archive.manifest")


def test_a_choice_that_there_is_not_is_refused(books: AccountOverHttp) -> None:
    path = sent(books, archive_of(books))

    answer = books.post(f"{path}/restore", {"mode": "sideways"})

    assert (answer.status_code, answer.json()["pointer"]) == (422, "/mode")


def test_timeline_pages_lead_on_by_link(books: AccountOverHttp) -> None:
    books.issued()

    first = books.get("timeline", params={"limit": 2})
    second = books.get(first.links["next"]["url"])

    assert second.status_code == 200
    assert first.json()["entries"][-1] != second.json()["entries"][0]


def test_a_cursor_is_gone_after_a_restore(books: AccountOverHttp) -> None:
    taken = books.make("backups")
    cursor = books.get("timeline", params={"limit": 1}).json()["cursor"]
    books.make(f"backups/{taken['archive']}/restore")

    answer = books.get("timeline", params={"cursor": cursor})

    assert (answer.status_code, answer.json()["code"]) == (410, "cursor.gone")


def test_a_time_without_a_zone_is_refused(books: AccountOverHttp) -> None:
    answer = books.get("timeline", params={"since": "2026-01-01"})

    assert (answer.status_code, answer.json()["code"]) == (400, "http.request-invalid")


def test_a_closed_account_is_restored_no_more(books: AccountOverHttp) -> None:
    taken = books.make("backups")
    books.make("close")

    for fields in ({"dry_run": True}, {}):
        answer = books.post(f"backups/{taken['archive']}/restore", fields)

        assert (answer.status_code, answer.json()["code"]) == (409, "account.closed")


def test_a_broken_archive_is_refused_with_file_and_line(books: AccountOverHttp) -> None:
    books.issued()
    edited = Edited(archive_of(books))
    edited.files[TIMELINE] = edited.files[TIMELINE][:-1]
    edited.relist(TIMELINE, rows=3)
    path = sent(books, edited.zipped().getvalue())

    problem = books.post(f"{path}/restore").json()

    assert (problem["status"], problem["code"], problem["file"]) == (422, "archive.lines-broken", TIMELINE)
    assert problem["line"] == 3


def test_resuming_answers_with_the_periods_that_another_stream_invoiced(books: AccountOverHttp) -> None:
    started = {
        "customer": books.customer(),
        "lines": [LINE],
        "interval": {"n": 1, "unit": "months"},
        "next_date": "2025-03-01",
        "until": "2025-04-30",
    }
    subscription = f"subscriptions/{books.make('subscriptions', started)['id']}"
    taken = books.make("backups")
    invoice = books.make(f"{subscription}/invoice-period")
    report = books.make(f"backups/{taken['archive']}/restore")

    held = books.post(f"{subscription}/invoice-period")
    state = books.make(f"{subscription}/resume")

    assert (held.status_code, held.json()["code"]) == (409, "domain.not-possible")
    assert [one["next_date"] for one in report["held"]] == ["2025-03-01"]
    assert state["left_out"] == [
        {
            "start": "2025-03-01",
            "next_date": "2025-04-01",
            "document": invoice["id"],
            "stream": report["retired_stream"],
        }
    ]
    assert state["next_date"] == "2025-04-01"


def test_subscriptions_that_moved_go_on_in_the_account_that_replaces_theirs(books: AccountOverHttp) -> None:
    started = {
        "customer": books.customer(),
        "lines": [LINE],
        "interval": {"n": 1, "unit": "months"},
        "next_date": "2025-03-01",
    }
    subscription = f"subscriptions/{books.make('subscriptions', started)['id']}"
    other = books.visitor.open_account("Other")
    path = sent(other, archive_of(books))

    report = other.make(f"{path}/restore", {"subscriptions": "moved", "from_other_account": True})

    assert report["subscriptions"] == "moved"
    assert other.make(f"{subscription}/invoice-period")["issue_date"] == "2025-03-01"


def test_one_deleted_customer_comes_back_over_http(books: AccountOverHttp) -> None:
    customer = books.customer("Gone")
    taken = books.make("backups")
    assert books.ask("DELETE", f"customers/{customer}").status_code == 204
    restore = f"backups/{taken['archive']}/restore"

    added = books.make(restore, {"mode": "add"})
    returned = books.make(restore, {"mode": "add", "only_entities": [customer], "as_of": "1"})

    assert (added["outcome"], [one["id"] for one in added["deleted_here"]]) == ("nothing_to_add", [customer])
    assert [(one["id"], one["was"]) for one in returned["came_back"]] == [(customer, "deleted")]
    assert (returned["as_of"], books.get(f"customers/{customer}").json()["version"]) == (1, 3)


def test_what_a_selection_cannot_be_is_a_problem_that_says_so(books: AccountOverHttp) -> None:
    restore = f"backups/{books.make('backups')['archive']}/restore"
    unknown = "01960000-0000-7000-8000-00000000abcd"

    answers = [
        books.post(restore, {"only": ["customer"]}),
        books.post(restore, {"mode": "add", "only": ["elephant"]}),
        books.post(restore, {"mode": "add", "only_entities": [unknown]}),
        books.post(restore, {"as_of": "tomorrow"}),
        books.post(restore, {"as_of": "999"}),
        books.post(restore, {"mode": "add", "left_out": {"archive": "x"}}),
        books.post(restore, {"mode": "add", "left_out": {"archive": "x", "outcome": "restored", "errors": "skip"}}),
    ]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (409, "restore.choice-unfitting"),
        (422, "domain.field-refused"),
        (409, "restore.not-in-archive"),
        (422, "domain.field-refused"),
        (422, "domain.field-refused"),
        (422, "domain.field-refused"),
        (409, "restore.other-report"),
    ]


def test_what_was_left_out_is_given_back_over_http(books: AccountOverHttp) -> None:
    jan, piet = books.customer("Jan"), books.customer("Piet")
    good = archive_of(books)
    broken = Edited(good)
    broken.change_line(TIMELINE, b'"name":"Jan"', lambda line: line.replace(b'"Jan"', b'""'))
    other = books.visitor.open_account("Other")
    meant = {"mode": "add", "from_other_account": True}

    skipped = other.make(f"{sent(other, broken.zipped().read())}/restore", {**meant, "errors": "skip"})
    given = other.make(f"{sent(other, good)}/restore", {**meant, "left_out": skipped})

    assert (skipped["left_out"], [one["id"] for one in skipped["entities"]]) == ([jan], [piet])
    assert [one["id"] for one in given["entities"] if one["change"] == "created"] == [jan]


def test_s01_a_token_ties_the_restore_to_what_was_rehearsed(books: AccountOverHttp) -> None:
    path = f"backups/{books.make('backups')['archive']}/restore"
    token = books.make(path, {"dry_run": True})["token"]
    books.customer()

    stale = books.post(path, {"token": token})
    fresh = books.make(path, {"dry_run": True})["token"]

    assert (stale.status_code, stale.json()["code"]) == (412, "restore.token-stale")
    assert books.make(path, {"token": fresh})["outcome"] == "restored"
