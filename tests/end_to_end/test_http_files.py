"""Attachments, backups, archives and imports: bytes that go in and come out whole, or leave nothing."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import httpx
import pytest

from tests.fixtures.http_api import AccountOverHttp, Served, Visitor
from tests.ubl_documents import credit_note, invoice

PDF = {"Content-Type": "application/pdf"}
ZIP = {"Content-Type": "application/zip"}


def kept(served: Served, books: AccountOverHttp) -> list[Path]:
    """The files that are kept of what was sent for an account."""
    return sorted((served.settings.home / "uploads" / books.id).glob("*"))


def test_w06_a_file_is_attached_and_comes_back_to_be_saved_under_its_name(books: AccountOverHttp) -> None:
    path = books.draft()
    content = b"%PDF-1.7 \x00\xff"

    attached = books.post(f"{path}/attachments?name=bon%20%E2%82%AC.pdf", content=content, headers=PDF)
    answer = books.get(attached.headers["location"])

    assert (attached.status_code, attached.headers["etag"]) == (201, '"1.2"')
    assert attached.json()["sha256"] == hashlib.sha256(content).hexdigest()
    assert answer.content == content
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''bon%20%E2%82%AC.pdf"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]


def test_a_file_is_taken_off_a_draft_and_no_longer_there(books: AccountOverHttp) -> None:
    path = books.draft()
    address = books.post(f"{path}/attachments?name=a&reference=x/y", content=b"a", headers=PDF).headers["location"]

    answer = books.ask("DELETE", address)

    assert address.endswith("/attachments/x%2Fy")
    assert "attachments" not in answer.json()
    assert books.get(address).json()["code"] == "http.file-unknown"
    assert books.ask("DELETE", address).status_code == 404


def test_an_issued_invoice_takes_no_file(books: AccountOverHttp) -> None:
    answer = books.post(f"{books.issued()}/attachments?name=a", content=b"a", headers=PDF)

    assert (answer.status_code, answer.json()["code"]) == (409, "domain.not-possible")


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("", PDF, 400),
        ("?name=", PDF, 422),
        ("?name=" + "x" * 256, PDF, 422),
        ("?name=%00", PDF, 422),
        ("?name=a", {"Content-Type": ""}, 415),
        ("?name=a", {"Content-Type": "pdf"}, 422),
        ("?name=a", {**PDF, "Content-Encoding": "gzip"}, 415),
        ("?name=a", {**PDF, "If-Match": '"1.9"'}, 412),
    ],
)
def test_a_file_without_a_name_or_type_is_refused(
    books: AccountOverHttp, query: str, headers: dict[str, str], status: int
) -> None:
    path = books.draft()

    answer = books.post(f"{path}/attachments{query}", content=b"a", headers=headers)

    assert answer.status_code == status, answer.text
    assert "attachments" not in books.get(path).json()


def test_a_backup_is_taken_listed_and_downloaded_whole(books: AccountOverHttp) -> None:
    books.issued()

    taken = books.make("backups")
    listed = books.get("backups").json()["items"]
    answer = books.get(f"backups/{taken['archive']}")

    assert listed == [taken]
    assert taken["available"] is True
    assert hashlib.sha256(answer.content).hexdigest() == taken["sha256"]
    assert int(answer.headers["content-length"]) == len(answer.content) == taken["size"]
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert "invoices" in str(zipfile.ZipFile(io.BytesIO(answer.content)).namelist())


def test_a_backup_whose_file_is_away_is_known_but_not_to_be_had(served: Served, books: AccountOverHttp) -> None:
    taken = books.make("backups")
    (served.settings.backups / books.id / taken["file"]).unlink()

    answer = books.get(f"backups/{taken['archive']}")

    assert [one["available"] for one in books.get("backups").json()["items"]] == [False]
    assert (answer.status_code, answer.json()["code"]) == (404, "http.file-unknown")


def test_a_backup_of_another_account_is_not_to_be_had(served: Served, books: AccountOverHttp) -> None:
    taken = Visitor(served).open_account().make("backups")

    assert books.get(f"backups/{taken['archive']}").status_code == 404


def test_an_archive_is_sent_listed_and_deleted(served: Served, books: AccountOverHttp) -> None:
    sent = books.post("archives", content=b"PK and more", headers=ZIP)
    listed = books.get("archives").json()["items"]
    deleted = books.ask("DELETE", sent.headers["location"])

    assert sent.json()["sha256"] == hashlib.sha256(b"PK and more").hexdigest()
    assert [one["id"] for one in listed] == [sent.json()["id"]]
    assert deleted.status_code == 204
    assert kept(served, books) == []
    assert books.ask("DELETE", sent.headers["location"]).status_code == 404


@pytest.mark.parametrize("chunked", [False, True])
def test_an_archive_over_the_limit_is_refused_and_leaves_nothing(
    served: Served, books: AccountOverHttp, chunked: bool
) -> None:
    piece = b"x" * 65_536
    pieces = [piece] * (served.settings.upload_limit_bytes // len(piece)) + [b"x"]

    answer = books.post("archives", content=iter(pieces) if chunked else b"".join(pieces), headers=ZIP)

    assert (answer.status_code, answer.json()["code"]) == (413, "http.body-too-large")
    assert kept(served, books) == []


def test_an_archive_up_to_the_limit_is_kept(served: Served, books: AccountOverHttp) -> None:
    content = b"x" * served.settings.upload_limit_bytes

    assert books.post("archives", content=content, headers=ZIP).json()["size"] == len(content)


def test_an_archive_of_another_type_is_refused(books: AccountOverHttp) -> None:
    assert books.post("archives", content=b"{}", headers={"Content-Type": "application/json"}).status_code == 415


@pytest.mark.slow
def test_w11_only_so_many_archives_are_kept(served: Served, books: AccountOverHttp) -> None:
    answers = [books.post("archives", content=b"x", headers=ZIP).status_code for _ in range(21)]

    assert answers == [201] * 20 + [409]
    assert len([path for path in kept(served, books) if path.suffix == ".zip"]) == 20


@pytest.mark.parametrize("id_", ["%2e%2e", "..%2f..%2fbackups", "%2fetc%2fpasswd", "x", "%00"])
def test_an_archive_is_not_found_outside_its_folder(books: AccountOverHttp, id_: str) -> None:
    assert books.ask("DELETE", f"{books.path}/archives/{id_}").status_code == 404


def files(*contents: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("files", (f"{place}.xml", content, "application/xml")) for place, content in enumerate(contents, 1)]


def test_ubl_invoices_are_imported_with_what_they_name(books: AccountOverHttp) -> None:
    answer = books.post("imports/ubl?any_supplier=true", files=files(invoice("2026-00007"), credit_note("C-1")))

    assert answer.status_code == 200, answer.text
    assert [file["document"]["kind"] for file in answer.json()["files"]] == ["invoice", "credit_note"]
    assert books.get("invoices?number=2026-00007").json()["items"][0]["state"] == "issued"


def test_a_file_that_is_refused_stops_no_other(books: AccountOverHttp) -> None:
    answer = books.post("imports/ubl?any_supplier=true", files=files(b"<html/>", invoice()))

    refused, imported = answer.json()["files"]
    assert (refused["refused"]["code"], imported["document"]["name"]) == ("ubl.not-an-invoice", "2026-00001")


def test_an_import_of_nothing_is_a_problem_that_names_each_file(books: AccountOverHttp) -> None:
    answer = books.post("imports/ubl?any_supplier=true", files=files(b"<html/>", b"no XML"))

    said = answer.json()
    assert (answer.status_code, said["code"]) == (422, "ubl.nothing-imported")
    assert [file["file"] for file in said["report"]["files"]] == ["1.xml", "2.xml"]
    assert "1.xml" in said["detail"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"data": {"files": "text"}}, 415),
        ({"files": [("other", ("a.xml", b"x", "application/xml"))]}, 400),
        ({"content": b"x", "headers": {"Content-Type": "application/xml"}}, 415),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}, 400),
    ],
    ids=["no files", "another name", "no form", "no boundary", "no parts"],
)
def test_a_form_without_files_is_refused(books: AccountOverHttp, sent: dict[str, object], status: int) -> None:
    answer: httpx.Response = books.post("imports/ubl", **sent)

    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_import_that_is_sent_again_with_its_key_imports_nothing_again(books: AccountOverHttp) -> None:
    """The forms differ in their boundary; the files are the same."""
    named = {"Idempotency-Key": "import-1"}
    sent = files(invoice("2026-00007"), b"<html/>")

    first, again = (books.post("imports/ubl?any_supplier=true", files=sent, headers=named) for _ in range(2))
    other = books.post("imports/ubl?any_supplier=true", files=files(invoice("2026-00007")), headers=named)

    assert (first.status_code, again.headers["idempotent-replayed"]) == (200, "true")
    assert again.content == first.content
    assert other.json()["code"] == "http.idempotency-key-reused"
    assert len(books.get("invoices").json()["items"]) == 1
