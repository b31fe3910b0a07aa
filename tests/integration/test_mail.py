"""What owners and administrators are told is mailed: at least once, and never called sent when it was not."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import psycopg
import pytest

from api.bootstrap import Installation
from api.letters import MOST_SENTENCES, letter, mailable
from api.mail import GIVEN_UP_AFTER, MOST_AN_HOUR, MailReport, mailing, send_due
from api.settings import Settings
from domain import control as c
from domain.accounts import Person, add_member, ensure_person, open_account
from domain.application import Actor
from domain.ids import PersonId
from domain.store.database import Database
from projections.notices import Notice, read_notices
from tests.faults.test_interrupted import MOST_STEPS, Faults, failing
from tests.fixtures.accounts import OpenedAccount, open_in
from tests.fixtures.mail import PASSWORD, MailServer, certificate, mail_server, only_with_password
from tests.fixtures.server import own_database

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def database(server_dsn: str) -> Iterator[Database]:
    """A database of these tests' own: whoever mails, mails for every account in it."""
    with own_database(server_dsn) as dsn, Database(dsn) as opened:
        yield opened


@pytest.fixture(scope="module")
def running() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest.fixture
def server(running: MailServer) -> MailServer:
    """A server that took nothing yet."""
    running.mails.clear()
    running.fails = ""
    return running


class Mailing:
    """An account whose owner, administrator and editor can be mailed; nobody else has anything to be mailed."""

    def __init__(self, database: Database, server: MailServer, home: Path) -> None:
        with psycopg.connect(database.dsn) as connection:
            connection.execute("UPDATE notices SET mail_due_at = NULL")
        opened: OpenedAccount = open_in(database)
        self.application, self.access, self.clock = opened
        self.owner, self.editor = self.access.control.members
        self.actor = Actor.person(self.owner.person, "api")
        self.administrator = add_member(
            self.application,
            self.access,
            self.actor,
            email=f"admin.{self.access.account}@example.com",
            name="Ada",
            role=c.Role.ADMINISTRATOR,
        )
        self.settings = Settings(
            home=home,
            backups=home / "backups",
            smtp_host="127.0.0.1",
            smtp_port=server.port,
            smtp_tls="off",
            smtp_from="counterfoil@example.org",
            public_url="https://books.example.org",
        )
        self.server = server

    def happens(self, times: int = 1, archive: str = "one") -> None:
        """Something that people are told of, a second apart."""
        for _ in range(times):
            self.clock.now += timedelta(seconds=1)
            event = c.ArchiveDownloaded(archive=archive, file=f"{archive}.zip", address="127.0.0.1")
            self.application.record_control(self.access.account, self.actor, event)

    def send(self, **settings: Any) -> MailReport:
        """Mail what is due."""
        there = msgspec.structs.replace(self.settings, **settings)
        return send_due(Installation(there, self.application.database, self.application))

    def later(self, time: timedelta) -> None:
        self.clock.now += time

    def next_try(self) -> datetime | None:
        """When the owner is to be mailed next."""
        with self.application.database.transaction(self.access.account) as connection:
            row = connection.execute(
                "SELECT min(mail_due_at) FROM notices WHERE person_id = %s", (self.owner.person,)
            ).fetchone()
        return row[0] if row else None

    def notices(self) -> tuple[Notice, ...]:
        """What the owner was told, newest first."""
        return read_notices(self.application.database, self.access.account, self.owner.person).items

    def to_owner(self) -> list[EmailMessage]:
        return self.server.to(self.owner.email)


@pytest.fixture
def there(database: Database, server: MailServer, tmp_path: Path) -> Mailing:
    return Mailing(database, server, tmp_path)


def text_of(mail: EmailMessage) -> str:
    return str(mail.get_content()).replace("\r\n", "\n")


def test_owners_and_administrators_get_a_mail_and_nobody_else(there: Mailing) -> None:
    there.happens()

    assert there.send() == MailReport(sent=2)

    assert {mail["X-To"] for mail in there.server.mails} == {there.owner.email, there.administrator.email}
    assert [one.mail for one in there.notices()] == ["sent"]
    assert there.send() == MailReport()


def test_a_mail_says_in_plain_text_what_happened_and_where_to_look(there: Mailing) -> None:
    there.happens()
    there.send()

    (mail,) = there.to_owner()

    assert mail["Subject"] == "[Counterfoil] Trapgevel: an archive was downloaded"
    assert mail["From"] == "Counterfoil <counterfoil@example.org>"
    assert mail["To"] == f"An <{there.owner.email}>"
    assert (mail["Auto-Submitted"], mail.get_content_type()) == ("auto-generated", "text/plain")
    at = f"{there.clock.now.astimezone(ZoneInfo('Europe/Brussels')):%Y-%m-%d %H:%M} (Europe/Brussels)"
    sentence = f"An <{there.owner.email}> downloaded the archive one.zip from 127.0.0.1."
    assert f"{at}\n{sentence}\n" in text_of(mail)
    assert f"https://books.example.org/v1/accounts/{there.access.account}/notifications" in text_of(mail)


def test_without_an_address_of_the_service_a_mail_has_no_link(there: Mailing) -> None:
    there.happens()

    there.send(public_url=None)

    assert "://" not in text_of(there.to_owner()[0])


@pytest.mark.parametrize("fails", ["hang up before", "address, for now", "hang up during", "mail, for now"])
def test_f19_what_was_not_taken_is_not_called_sent_and_is_tried_again(there: Mailing, fails: str) -> None:
    there.happens()
    there.server.fails = fails

    assert there.send().put_off == 2
    assert [one.mail for one in there.notices()] == ["waiting"]
    assert there.notices()[0].mail_problem
    assert there.send() == MailReport(), "not at once"

    there.server.fails = ""
    there.later(timedelta(minutes=2))
    assert there.send() == MailReport(sent=2)
    assert len(there.to_owner()) == 1
    assert [(one.mail, one.mail_problem) for one in there.notices()] == [("sent", None)]


def test_f19_a_mail_that_was_taken_without_a_reply_is_sent_again_as_the_same_mail(there: Mailing) -> None:
    there.happens()
    there.server.fails = "hang up after"
    assert there.send().put_off == 2
    assert [one.mail for one in there.notices()] == ["waiting"]

    there.server.fails = ""
    there.happens(archive="two")
    there.later(timedelta(minutes=2))
    there.send()

    first, again, other = sorted(there.to_owner(), key=lambda mail: "two.zip" in text_of(mail))
    assert (first["Message-ID"], text_of(first)) == (again["Message-ID"], text_of(again))
    assert other["Message-ID"] != first["Message-ID"]


@pytest.mark.slow
@pytest.mark.parametrize("for_good", [False, True], ids=["once", "from-then-on"])
def test_f19_whoever_dies_at_any_statement_leaves_it_to_the_next_and_nothing_is_lost(
    there: Mailing, monkeypatch: pytest.MonkeyPatch, *, for_good: bool
) -> None:
    for fails_at in range(1, MOST_STEPS):
        there.server.mails.clear()
        there.later(2 * HOUR)
        there.happens()
        faults = Faults(fails_at, for_good=for_good)

        with failing(monkeypatch, faults), suppress(psycopg.Error):
            there.send()
        taken = {mail["X-To"] for mail in there.server.mails}
        called_sent = there.notices()[0].mail == "sent"
        there.later(timedelta(minutes=11))
        there.send()

        assert there.owner.email in taken or not called_sent, f"called sent, fault at statement {fails_at}"
        for email in (there.owner.email, there.administrator.email):
            assert len(there.server.to(email)) >= 1, f"fault at statement {fails_at}"
            assert len(set(there.server.ids(email))) == 1, f"fault at statement {fails_at}"
        assert there.notices()[0].mail == "sent"
        if not faults.met:
            break
    else:
        pytest.fail("no end of statements")

    assert fails_at > 5, "so few statements cannot be all of it"


def test_an_address_that_the_server_does_not_know_is_given_up_and_that_is_seen(there: Mailing) -> None:
    there.happens()
    there.server.fails = "address"

    assert there.send() == MailReport(failed=2)

    assert [(one.mail, one.mail_problem) for one in there.notices()] == [
        ("failed", "the mail server refuses the address (550)")
    ]
    there.later(HOUR)
    assert there.send() == MailReport()


def test_a_server_that_is_gone_is_tried_ever_less_often_and_given_up_after_three_days(there: Mailing) -> None:
    there.happens()
    tries = []
    while (due := there.next_try()) is not None:
        there.clock.now = max(due, there.clock.now)
        tries.append(there.clock.now)
        there.send(smtp_port=1)

    waits = [after - before for before, after in itertools.pairwise(tries)]
    assert waits == sorted(waits)
    assert 10 < len(tries) < 40
    assert max(waits) == 4 * HOUR
    assert GIVEN_UP_AFTER - 4 * HOUR <= tries[-1] - tries[0] <= GIVEN_UP_AFTER
    assert [one.mail for one in there.notices()] == ["failed"]
    assert there.server.mails == []


def test_what_was_told_before_there_was_a_server_is_not_mailed_days_after(there: Mailing) -> None:
    there.happens(archive="old")
    there.later(timedelta(days=4))
    there.happens(archive="new")

    there.send()

    assert ["old.zip" in text_of(mail) for mail in there.to_owner()] == [False]
    assert [one.mail for one in there.notices()] == ["sent", "failed"]


def test_without_a_server_nothing_is_mailed(there: Mailing) -> None:
    there.happens()

    assert there.send(smtp_host=None) == MailReport()
    assert there.server.mails == []


def test_a_storm_is_a_few_mails_an_hour_and_the_last_one_tells_of_the_rest(there: Mailing) -> None:
    for number in range(MOST_AN_HOUR + 40):
        there.happens(archive=f"a{number}")
        there.send()

    assert len(there.to_owner()) == MOST_AN_HOUR
    there.later(HOUR)
    there.send()
    assert len(there.to_owner()) == MOST_AN_HOUR + 1
    last = there.to_owner()[-1]
    assert last["Subject"] == "[Counterfoil] Trapgevel: 40 notices"
    assert text_of(last).count(".zip") == MOST_SENTENCES
    assert "And 20 more" in text_of(last)
    assert {one.mail for one in there.notices()} == {"sent"}


def test_one_account_that_cannot_be_mailed_for_keeps_no_other(
    there: Mailing, database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = OpenedAccount(*open_in(database))
    for account, archive in ((there.access, "good"), (other.access, "bad")):
        event = c.ArchiveDownloaded(archive=archive)
        there.application.record_control(account.account, there.actor, event)
    with psycopg.connect(database.dsn) as connection:
        connection.execute(
            "UPDATE control_events SET data = 'no JSON' WHERE account_id = %s AND type = 'archive.downloaded'",
            (other.access.account,),
        )

    with caplog.at_level(logging.ERROR):
        assert there.send() == MailReport(sent=2)

    assert other.access.account in caplog.text


def test_a_mail_is_sent_under_tls_to_who_proves_to_be_the_server(there: Mailing, tmp_path: Path) -> None:
    made, context = certificate(tmp_path)
    there.happens()
    options: dict[str, Any] = {"tls_context": context, "require_starttls": True, "auth_required": True}
    with mail_server(**options, authenticator=only_with_password) as secure:
        known = {"smtp_port": secure.port, "smtp_user": "counterfoil", "smtp_tls": "starttls"}

        unknown_certificate = there.send(**known, smtp_password=PASSWORD)
        there.later(HOUR)
        wrong_password = there.send(**known, smtp_password="battery staple", smtp_ca_file=made)
        there.later(HOUR)
        right = there.send(**known, smtp_password=PASSWORD, smtp_ca_file=made)

        assert (unknown_certificate, wrong_password) == (MailReport(put_off=2), MailReport(put_off=2))
        assert right == MailReport(sent=2)
        assert secure.clear_text == [False, False]


def test_a_server_that_offers_no_tls_gets_nothing(there: Mailing) -> None:
    there.happens()

    assert there.send(smtp_tls="starttls").put_off == 2
    assert there.server.mails == []


def test_a_password_is_in_no_log_and_no_problem(
    there: Mailing, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    there.happens()
    with caplog.at_level(logging.DEBUG):
        there.send(smtp_user="counterfoil", smtp_password=PASSWORD)

    assert PASSWORD not in caplog.text
    assert PASSWORD not in str(there.notices())


EVIL = "Mallory\r\nBcc: all@example.com\r\n\r\nClick\x1b[2J\u202e"


def test_w08_what_people_and_accounts_are_called_adds_no_header_and_no_line(there: Mailing) -> None:
    with psycopg.connect(there.application.database.dsn) as connection:
        connection.execute("UPDATE people SET name = %s WHERE person_id = %s", (EVIL, there.owner.person))
    there.application.record_control(there.access.account, there.actor, c.Renamed(name=EVIL))
    there.happens(archive=EVIL)

    assert there.send() == MailReport(sent=2)

    (mail,) = there.to_owner()
    assert mail["Bcc"] is None
    assert all("\x1b" not in part and "\u202e" not in part for part in (str(mail["Subject"]), text_of(mail)))
    assert "\nBcc" not in text_of(mail)
    assert not mail.defects


def test_w08_a_header_with_a_line_feed_is_refused_by_the_mail_itself(there: Mailing) -> None:
    person = Person(PersonId("p"), "an@example.com", "An")
    settings = msgspec.structs.replace(there.settings, smtp_from="a@example.com\r\nBcc: b@example.com")

    with pytest.raises(ValueError):
        letter(settings, there.access, person, [], first=1)


@pytest.mark.parametrize("email", ["ü@example.com", "a,b@example.com", "a<b@example.com", "a@ex ample.com", "a@-..x"])
def test_an_address_that_cannot_be_mailed_is_given_up(there: Mailing, email: str) -> None:
    with psycopg.connect(there.application.database.dsn) as connection:
        unique = email.replace("@", f".{there.access.account[:8]}@") if email[0] != "ü" else email
        connection.execute("DELETE FROM people WHERE email = %s", (unique,))
        connection.execute("UPDATE people SET email = %s WHERE person_id = %s", (unique, there.owner.person))
    there.happens()

    assert there.send() == MailReport(sent=1, failed=1)
    assert there.notices()[0].mail_problem == "the e-mail address is none that can be mailed"


def test_a_domain_in_other_letters_is_written_in_ascii() -> None:
    assert mailable("an@bücher.example") == "an@xn--bcher-kva.example"


def test_w07_links_are_of_the_setting_whatever_host_a_request_names(there: Mailing) -> None:
    there.happens()
    there.send()

    assert text_of(there.to_owner()[0]).count("://") == 1, "and a request's Host is not even known where mails are made"


def test_t08_a_mail_tells_of_one_account_only(there: Mailing, database: Database) -> None:
    owner = ensure_person(database, there.owner.email, None, at=there.clock())
    other = open_account(there.application, "Andere", owner, there.access.control.settings, via="api")
    there.happens(archive="of-the-one")
    there.application.record_control(other.account, there.actor, c.ArchiveDownloaded(archive="of-the-other"))

    there.send()

    found = sorted(text_of(mail) for mail in there.to_owner())
    assert len(found) == 2
    assert ["of-the-one" in text for text in found].count(True) == 1
    assert all(("of-the-one" in text) != ("of-the-other" in text) for text in found)


def test_a_service_that_runs_mails_by_itself(there: Mailing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.mail.EVERY_S", 0.01)
    there.happens()
    installed = Installation(there.settings, there.application.database, there.application)

    with mailing(installed):
        there.server.wait_for(2)

    assert len(there.server.mails) == 2
