"""Passwords, sessions, one-time codes and API tokens, by a clock of the test's own and from addresses of its choice."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import statistics
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psycopg
import pytest
from msgspec.structs import replace
from nacl import pwhash

from api.cli.program import run
from api.http import guessing
from api.http.app import create_app
from api.http.credentials import AT_ONCE, MOST_WAITING, hashing
from api.http.guessing import MOST_WRONG
from api.settings import Settings
from domain import passwords
from domain.accounts import Person, add_member, ensure_person, find_access
from domain.application import Actor, Application, utc_now
from domain.attempts import PAIR, PERSON, TooManyTries, charge, of_sign_in
from domain.control import Role
from domain.credentials import Scope, create_token
from domain.sign_in import CODE_LASTS, make_code, set_password
from domain.store.database import APP, Database
from tests.fixtures.http_api import AccountOverHttp, Served, Visitor, anonymous, answering
from tests.histories import Clock

PASSWORD = "seven cups of green tea"
OTHER = "a bicycle without a bell"


class Place(NamedTuple):
    """A service behind a proxy that it trusts, and the clock that it goes by."""

    served: Served
    clock: Clock

    @property
    def database(self) -> Database:
        """What it keeps its people in."""
        return self.served.application.database

    def person(self, password: str | None = PASSWORD) -> Person:
        """Somebody new, with that password."""
        person = ensure_person(self.database, f"{uuid.uuid4().hex}@example.com", "An", at=self.clock())
        if password is not None:
            set_password(self.database, person, password, at=self.clock())
        return person

    def client(self, address: str | None = None) -> httpx.Client:
        """A client at an address, by default one that nobody else is at."""
        client = anonymous(self.served.url)
        client.headers["X-Forwarded-For"] = address or f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"
        return client

    def signed_in(self, person: Person) -> httpx.Client:
        """A client with a session, which sends what a page sends."""
        client = self.client()
        answer = sign_in(client, person.email)
        assert answer.status_code == 201, answer.text
        client.headers["X-CSRF-Token"] = answer.json()["csrf_token"]
        return client

    def with_token(self, person: Person, *scopes: Scope, **more: Any) -> httpx.Client:
        """A client with an API token."""
        made = create_token(self.database, person.id, at=self.clock(), name="t", scopes=scopes or Scope, **more)
        client = self.client()
        client.headers["Authorization"] = f"Bearer {made.secret}"
        return client


def sign_in(client: httpx.Client, email: str, password: str = PASSWORD) -> httpx.Response:
    return client.post("/v1/sessions", json={"email": email, "password": password})


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@pytest.fixture(scope="module")
def place(http_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    home = tmp_path_factory.mktemp("place")
    settings = Settings(
        home=home,
        backups=home / "backups",
        database_url=http_database.dsn,
        trusted_proxies=("127.0.0.1",),
        session_days=1,
    )
    clock = Clock(utc_now())
    application = Application(http_database, clock)
    with pytest.MonkeyPatch.context() as patch, answering(create_app(application, settings), settings) as url:
        patch.setattr(passwords, "PASSES", 1)  # what a hash costs is not what these tests are about, but for one
        patch.setattr(passwords, "MEMORY_BYTES", 1 << 20)
        yield Place(Served(url, application, settings), clock)


# Sessions


def test_a_password_begins_a_session_in_a_cookie_that_scripts_cannot_read(place: Place) -> None:
    person, client = place.person(), place.client()

    answer = sign_in(client, person.email.upper())

    assert answer.status_code == 201
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("counterfoil=")
    assert {"httponly", "samesite=lax", "path=/"} <= {part.strip() for part in cookie.split(";")}
    assert client.get("/v1/people/me").json()["id"] == person.id


def test_over_tls_the_cookie_is_for_this_host_alone(place: Place) -> None:
    client = place.client()
    client.headers["X-Forwarded-Proto"] = "https"

    answer = sign_in(client, place.person().email)

    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("__host-counterfoil=")
    assert "secure" in cookie
    assert answer.headers["strict-transport-security"].startswith("max-age=")


def test_whoever_signs_out_is_known_no_longer(place: Place) -> None:
    client = place.signed_in(place.person())
    kept = dict(client.cookies)

    assert client.delete("/v1/sessions/current").status_code == 204

    assert code_of(client.get("/v1/people/me", cookies=kept)) == (401, "http.session-refused")


def test_a_session_ends_by_being_idle_and_by_age(place: Place) -> None:
    settings, idle, old = place.served.settings, place.signed_in(place.person()), place.signed_in(place.person())
    asked = timedelta(0)
    while asked <= timedelta(days=settings.session_days):
        assert old.get("/v1/people/me").status_code == 200
        place.clock.now += timedelta(minutes=settings.session_idle_minutes - 1)
        asked += timedelta(minutes=settings.session_idle_minutes - 1)

    assert idle.get("/v1/people/me").status_code == 401
    assert old.get("/v1/people/me").status_code == 401


def test_one_lists_and_ends_ones_own_sessions_alone(place: Place) -> None:
    person = place.person()
    here, there, other = place.signed_in(person), place.signed_in(person), place.signed_in(place.person())
    listed = here.get("/v1/sessions").json()["items"]
    theirs = next(one["id"] for one in listed if not one["current"])

    assert len(listed) == 2
    assert code_of(other.delete(f"/v1/sessions/{theirs}")) == (404, "access.credential-unknown")
    assert here.delete(f"/v1/sessions/{theirs}").status_code == 204
    assert (here.get("/v1/people/me").status_code, there.get("/v1/people/me").status_code) == (200, 401)


def test_a_changed_password_ends_every_session(place: Place) -> None:
    person = place.person()
    here, there = place.signed_in(person), place.signed_in(person)

    answer = here.put("/v1/people/me/password", json={"current": PASSWORD, "new": OTHER})

    assert answer.status_code == 204
    assert (here.get("/v1/people/me").status_code, there.get("/v1/people/me").status_code) == (401, 401)
    assert sign_in(place.client(), person.email).status_code == 401
    assert sign_in(place.client(), person.email, OTHER).status_code == 201


def test_nobody_changes_a_password_without_the_current_one(place: Place) -> None:
    client = place.signed_in(place.person())

    answer = client.put("/v1/people/me/password", json={"current": OTHER, "new": OTHER})

    assert code_of(answer) == (403, "access.password-wrong")


@pytest.mark.parametrize(
    "password",
    ["fourteen chars", "password" * 3, "123456789012345", "abc" * 6, "Correct Horse Battery Staple", "x" * 257],
)
def test_a_password_that_is_tried_first_is_refused(place: Place, password: str) -> None:
    client = place.with_token(place.person(None))

    answer = client.put("/v1/people/me/password", json={"current": PASSWORD, "new": password})

    assert code_of(answer) == (422, "domain.field-refused")
    assert password not in answer.text


def test_ones_own_address_is_no_password(place: Place) -> None:
    person = place.person(None)

    answer = place.with_token(person).put(
        "/v1/people/me/password", json={"current": PASSWORD, "new": person.email.upper()}
    )

    assert code_of(answer) == (422, "domain.field-refused")


def test_one_password_has_one_form_however_it_is_typed(place: Place) -> None:
    person = place.person("zeven kopjes thé vert")

    answer = sign_in(place.client(), person.email, "zeven kopjes the\u0301 vert")

    assert answer.status_code == 201


def test_a_hash_of_weaker_parameters_is_replaced_when_its_person_signs_in(place: Place) -> None:
    person = place.person(None)
    weak = pwhash.argon2id.str(PASSWORD.encode(), opslimit=1, memlimit=8 << 10).decode()
    with place.database.transaction(person=person.id) as connection:
        connection.execute(
            "INSERT INTO passwords (person_id, hash, changed_at) VALUES (%s, %s, now())", (person.id, weak)
        )

    answer = sign_in(place.client(), person.email)

    with place.database.transaction(person=person.id) as connection:
        kept = connection.execute("SELECT hash FROM passwords WHERE person_id = %s", (person.id,)).fetchone()
    assert answer.status_code == 201
    assert kept is not None
    assert kept[0] != weak
    assert not passwords.is_outdated(kept[0])


# Who guesses


def test_whether_an_address_is_known_shows_neither_in_words_nor_in_time(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "MEMORY_BYTES", 64 << 20)
    passwords._nobodys.cache_clear()
    known, took = place.person(), {}
    said = set()
    for email in (known.email, "nobody@example.com"):
        times = []
        for _ in range(3):
            begun = time.perf_counter()
            answer = sign_in(place.client(), email, OTHER)
            times.append(time.perf_counter() - begun)
            said.add((*code_of(answer), answer.json()["detail"]))
        took[email] = statistics.median(times)

    assert said == {(401, "access.sign-in-refused", "nobody is known by that e-mail address with that password")}
    assert 0.4 < took[known.email] / took["nobody@example.com"] < 2.5  # without a hash it takes a twentieth


def test_w03_guesses_from_one_address_wait_longer_and_longer(place: Place) -> None:
    person, client, waits = place.person(), place.client(), []
    for _ in range(PAIR.free + 3):
        answer = sign_in(client, person.email, OTHER)
        if answer.status_code == 429:
            waits.append(int(answer.headers["retry-after"]))
            place.clock.now += timedelta(seconds=waits[-1])
            answer = sign_in(client, person.email, OTHER)
        assert answer.status_code == 401

    refused = sign_in(client, person.email)
    place.clock.now += timedelta(seconds=int(refused.headers["retry-after"]))

    assert waits == [1, 2, 4]
    assert code_of(refused) == (429, "access.too-many-tries")
    assert sign_in(client, person.email).status_code == 201


def test_w03_whoever_guesses_from_elsewhere_keeps_nobody_out(place: Place) -> None:
    person, mine = place.person(), "198.51.100.7"
    assert sign_in(place.client(mine), person.email).status_code == 201
    whoever = next(one for one in of_sign_in(person.email, "", known_place=False) if one.limit is PERSON)
    charge(place.database, [whoever], at=place.clock())
    with place.database.connection() as connection:
        set_to = (PERSON.free + 9, whoever.key)
        connection.execute("UPDATE attempts SET failures = %s WHERE bucket = %s", set_to)
    assert sign_in(place.client(), person.email, OTHER).status_code == 401

    assert code_of(sign_in(place.client(), person.email)) == (429, "access.too-many-tries")
    assert sign_in(place.client(mine), person.email).status_code == 201


def test_w03_guesses_at_once_are_counted_before_they_are_looked_at(place: Place) -> None:
    person, address = place.person(), "198.51.100.8"

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: sign_in(place.client(address), person.email, OTHER), range(12)))

    assert sum(answer.status_code == 401 for answer in answers) == PAIR.free


def test_w03_a_forwarded_address_counts_only_from_a_trusted_proxy(place: Place) -> None:
    application, settings = place.served.application, replace(place.served.settings, trusted_proxies=())
    email = f"{uuid.uuid4().hex}@example.com"

    with answering(create_app(application, settings), settings) as url:
        directly = place._replace(served=Served(url, application, settings))
        answers = [sign_in(directly.client(f"203.0.113.{number}"), email) for number in range(PAIR.free + 1)]

    assert [answer.status_code for answer in answers] == [401] * PAIR.free + [429]


def test_w03_wrong_tokens_are_soon_not_even_looked_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guessing, "MOST_WRONG", MOST_WRONG)
    address = "198.51.100.9"
    mine = place.with_token(place.person())
    mine.headers["X-Forwarded-For"] = address
    assert mine.get("/v1/people/me").status_code == 200
    guesser = place.client(address)
    statuses: list[int] = []

    for _ in range(100):
        headers = {"Authorization": f"Bearer cf_{secrets.token_urlsafe(32)}"}
        statuses.append(guesser.get("/v1/people/me", headers=headers).status_code)

    assert statuses == [401] * MOST_WRONG + [429] * (100 - MOST_WRONG)
    assert mine.get("/v1/people/me").status_code == 200


# One-time codes


def redeem(client: httpx.Client, email: str, code: str, password: str = PASSWORD) -> httpx.Response:
    return client.post("/v1/passwords", json={"email": email, "code": code, "password": password})


@pytest.fixture
def owned(place: Place) -> AccountOverHttp:
    visitor = Visitor(place.served)
    visitor.http.headers["X-Forwarded-For"] = "198.51.100.10"
    return visitor.open_account()


def test_a_new_member_sets_a_password_by_a_code_once(place: Place, owned: AccountOverHttp) -> None:
    email = f"{uuid.uuid4().hex}@example.com"
    member = owned.make("members", {"email": email, "role": "viewer"})
    code = owned.make(f"members/{member['person']}/invitation")["code"]

    answers = [redeem(place.client(), email, code) for _ in range(2)]

    assert answers[0].status_code == 204
    assert code_of(answers[1]) == (403, "access.code-refused")
    assert sign_in(place.client(), email).status_code == 201


def test_t17_a_code_of_one_person_is_none_of_another(place: Place) -> None:
    one, other = place.person(None), place.person(None)
    code = make_code(place.database, one.id, at=place.clock(), about="test").secret

    assert code_of(redeem(place.client(), other.email, code)) == (403, "access.code-refused")
    assert redeem(place.client(), one.email, code).status_code == 204


def test_a_code_that_is_too_old_is_refused(place: Place) -> None:
    person = place.person(None)
    code = make_code(place.database, person.id, at=place.clock(), about="test").secret
    place.clock.now += CODE_LASTS

    assert code_of(redeem(place.client(), person.email, code)) == (403, "access.code-refused")


def test_t17_an_administrator_invites_nobody_who_has_access_elsewhere(place: Place, owned: AccountOverHttp) -> None:
    elsewhere = Visitor(place.served)
    member = owned.make("members", {"email": elsewhere.email, "role": "viewer"})

    answer = owned.post(f"members/{member['person']}/invitation")

    assert code_of(answer) == (409, "domain.not-possible")


def test_t17_a_code_of_one_account_is_void_once_its_person_is_in_another(place: Place, owned: AccountOverHttp) -> None:
    email = f"{uuid.uuid4().hex}@example.com"
    member = owned.make("members", {"email": email, "role": "viewer"})
    code = owned.make(f"members/{member['person']}/invitation")["code"]
    Visitor(place.served).open_account().make("members", {"email": email, "role": "owner"})

    assert code_of(redeem(place.client(), email, code)) == (403, "access.code-refused")


# API tokens


def test_w01_a_token_is_shown_once_and_kept_as_a_hash_only(place: Place) -> None:
    client = place.with_token(place.person())
    made = client.post("/v1/tokens", json={"name": "nightly", "scopes": ["read"]}).json()

    listed = client.get("/v1/tokens").text

    assert made["id"] in listed
    assert made["token"] not in listed
    with psycopg.connect(place.database.dsn) as connection:
        kept = connection.execute(
            "SELECT count(*) FROM api_tokens t WHERE t::text LIKE %s", (f"%{made['token'][3:]}%",)
        ).fetchone()
    assert kept == (0,)


def test_w01_a_token_that_has_ended_or_was_revoked_opens_nothing(place: Place) -> None:
    person = place.person()
    ending, other = place.with_token(person, days=1), place.with_token(person)
    made = other.post("/v1/tokens", json={"name": "t", "scopes": ["read"]}).json()
    headers = {"Authorization": f"Bearer {made['token']}"}
    before = [ending.get("/v1/people/me").status_code, other.get("/v1/people/me", headers=headers).status_code]

    other.delete(f"/v1/tokens/{made['id']}")
    revoked = other.get("/v1/people/me", headers=headers).status_code
    place.clock.now += timedelta(days=1)

    assert before == [200, 200]
    assert (revoked, ending.get("/v1/people/me").status_code) == (401, 401)


def test_a_token_that_is_asked_for_again_with_one_key_is_made_once(place: Place) -> None:
    client, headers = place.with_token(place.person(None)), {"Idempotency-Key": uuid.uuid4().hex}
    wanted = {"name": "nightly", "scopes": ["read"]}

    first, again = (client.post("/v1/tokens", json=wanted, headers=headers) for _ in range(2))

    assert (first.status_code, code_of(again)) == (201, (409, "http.answer-told-once"))
    assert sorted(one["name"] for one in client.get("/v1/tokens").json()["items"]) == ["nightly", "t"]


@pytest.mark.parametrize(
    "token",
    [
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.",
        "eyJhbGciOiJIUzI1NiIsImtpZCI6Ii4uLy4uL2Rldi9udWxsIn0.eyJzdWIiOiJhZG1pbiJ9.c2ln",
        "eyJhbGciOiJSUzI1NiIsImprdSI6Imh0dHA6Ly9ldmlsLyJ9.eyJzdWIiOiJhZG1pbiJ9.c2ln",
        "null",
        "cf_" + "A" * 43,
        "cf_" + "%" * 43,
    ],
)
def test_w01_what_is_no_token_of_ours_is_nobodys(place: Place, token: str) -> None:
    answer = place.client().get("/v1/people/me", headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == 401


def test_a_token_makes_no_token_that_may_do_more_or_lasts_longer(place: Place) -> None:
    client = place.with_token(place.person(), Scope.READ, Scope.ADMINISTER, days=10)

    wider = client.post("/v1/tokens", json={"name": "t", "scopes": ["read", "restore"]})
    longer = client.post("/v1/tokens", json={"name": "t", "scopes": ["read"], "days": 100}).json()

    assert code_of(wider) == (403, "access.scope-lacking")
    assert longer["expires_at"] < (place.clock() + timedelta(days=11)).isoformat()


def test_a_token_for_one_account_reaches_no_other(place: Place, owned: AccountOverHttp) -> None:
    visitor = owned.visitor
    second = visitor.open_account("Tweede")
    made = visitor.http.post(
        "/v1/tokens", json={"name": "t", "scopes": ["read", "restore", "administer"], "account": owned.id}
    ).json()
    client = place.client()
    client.headers["Authorization"] = f"Bearer {made['token']}"

    assert client.get(owned.path).status_code == 200
    assert code_of(client.get(second.path)) == (404, "account.unknown")
    assert [one["id"] for one in client.get("/v1/accounts").json()["items"]] == [owned.id]
    assert code_of(client.post(f"{owned.path}/clones", json={"into": second.id})) == (404, "account.unknown")
    assert code_of(client.post(f"{owned.path}/clones", json={"new": "Derde"})) == (403, "access.scope-lacking")
    assert code_of(client.post("/v1/tokens", json={"name": "t", "scopes": ["read"]})) == (403, "access.scope-lacking")


def test_the_last_use_of_a_token_is_written_once_a_minute(place: Place) -> None:
    client = place.with_token(place.person())

    def last_used() -> str:
        return str(client.get("/v1/tokens").json()["items"][0]["last_used_at"])

    first = last_used()
    place.clock.now += timedelta(seconds=59)
    second = last_used()
    place.clock.now += timedelta(seconds=2)

    assert (second == first, last_used() == first) == (True, False)


def test_whoever_loses_a_role_may_do_no_more_from_then_on(place: Place, owned: AccountOverHttp) -> None:
    guest = Visitor(place.served)
    owned.make("members", {"email": guest.email, "role": "editor"})
    theirs = AccountOverHttp(guest, owned.id)
    slug = theirs.get().json()["slug"]
    assert theirs.post("customers", {"party": {"name": "Klant"}}).status_code == 201
    assert theirs.get(f"/v1/accounts/{slug}/timeline").status_code == 200

    owned.ask("PATCH", f"members/{guest.person}", {"role": "viewer"})

    assert code_of(theirs.post("customers", {"party": {"name": "Klant"}})) == (403, "access.role-lacking")
    assert code_of(theirs.get(f"/v1/accounts/{slug}/timeline")) == (403, "access.role-lacking")


def test_only_an_owner_makes_or_unmakes_an_owner(place: Place, owned: AccountOverHttp) -> None:
    guest, third = Visitor(place.served), f"{uuid.uuid4().hex}@example.com"
    owned.make("members", {"email": guest.email, "role": "administrator"})
    theirs = AccountOverHttp(guest, owned.id)

    answers = [
        theirs.ask("PATCH", f"members/{guest.person}", {"role": "owner"}),
        theirs.post("members", {"email": third, "role": "owner"}),
        theirs.ask("PATCH", f"members/{owned.visitor.person}", {"role": "viewer"}),
        theirs.ask("DELETE", f"members/{owned.visitor.person}"),
    ]

    assert {code_of(answer) for answer in answers} == {(403, "access.role-lacking")}
    assert theirs.post("members", {"email": third, "role": "editor"}).status_code == 201


def test_a_role_that_was_lost_meanwhile_is_of_no_use(place: Place, owned: AccountOverHttp) -> None:
    guest = Visitor(place.served)
    owned.make("members", {"email": guest.email, "role": "administrator"})
    application = place.served.application
    looked_up = find_access(place.database, guest.person, owned.id)
    owned.ask("PATCH", f"members/{guest.person}", {"role": "viewer"})

    with pytest.raises(Exception, match="is for owners and administrators"):
        add_member(
            application, looked_up, Actor.person(guest.person, "api"), email=guest.email, name=None, role=Role.EDITOR
        )


# What browsers are led to do


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"X-CSRF-Token": "0" * 64},
        {"Origin": "http://127.0.0.1.evil.example"},
    ],
    ids=["nothing", "another site", "a sandbox", "a guessed token", "a site that looks like ours"],
)
def test_w07_a_page_of_another_site_changes_nothing_with_the_cookie(place: Place, headers: dict[str, str]) -> None:
    client = place.signed_in(place.person())
    del client.headers["X-CSRF-Token"]

    answer = client.delete("/v1/sessions/current", headers=headers)

    assert code_of(answer) == (403, "http.origin-refused")
    assert client.get("/v1/people/me").status_code == 200


def test_w07_a_page_of_ours_changes_things_by_its_origin(place: Place) -> None:
    client = place.signed_in(place.person())
    del client.headers["X-CSRF-Token"]

    assert client.delete("/v1/sessions/current", headers={"Origin": place.served.url}).status_code == 204


def test_w07_a_page_of_another_site_signs_nobody_in(place: Place) -> None:
    email = place.person().email

    answer = place.client().post(
        "/v1/sessions", json={"email": email, "password": PASSWORD}, headers={"Origin": "https://evil.example"}
    )

    assert code_of(answer) == (403, "http.origin-refused")


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_w07_no_other_site_reads_an_answer_or_frames_it(place: Place, origin: str) -> None:
    client = place.with_token(place.person())

    answer = client.get("/v1/people/me", headers={"Origin": origin})
    asked = client.options("/v1/people/me", headers={"Origin": origin, "Access-Control-Request-Method": "GET"})

    assert not [name for one in (answer, asked) for name in one.headers if name.startswith("access-control")]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_w07_the_host_that_a_request_names_is_in_no_answer(place: Place, owned: AccountOverHttp) -> None:
    answer = owned.post("customers", {"party": {"name": "Klant"}}, headers={"Host": "evil.example"})

    assert answer.headers["location"].startswith("/v1/")
    assert "evil.example" not in answer.text + str(answer.headers)


def test_t15_who_acts_is_not_for_a_request_to_say(place: Place, owned: AccountOverHttp) -> None:
    other = Visitor(place.served)
    headers = {"X-User-Id": other.person, "X-Actor": f"person:{other.person}", "X-Role": "owner", "X-Tenant": "x"}

    customer = owned.make("customers", {"party": {"name": "Klant"}})
    owned.ask("PATCH", f"customers/{customer['id']}", {"notes": "x"}, headers=headers)
    refused = owned.post("customers", {"party": {"name": "Klant"}, "actor": other.person, "recorded_at": "2020-01-01"})

    newest = owned.get("timeline", params={"limit": 1}).json()["entries"][0]
    assert other.person not in str(newest)
    assert refused.status_code == 422


# On record, and secret


def test_what_became_of_ones_credentials_is_on_record_for_that_person_alone(place: Place) -> None:
    person = place.person()
    sign_in(place.client("198.51.100.77"), person.email, OTHER)
    client = place.signed_in(person)
    made = client.post("/v1/tokens", json={"name": "nightly", "scopes": ["read"]}).json()
    client.delete(f"/v1/tokens/{made['id']}")

    items = client.get("/v1/people/me/sign-ins").json()["items"]

    assert sorted(one["what"] for one in items) == sorted(
        ["password_changed", "sign_in_failed", "signed_in", "token_made", "token_revoked"]
    )
    assert [one["address"] for one in items if one["what"] == "sign_in_failed"] == ["198.51.100.77"]
    others = place.with_token(place.person(None)).get("/v1/people/me/sign-ins").json()["items"]
    assert [one["what"] for one in others] == ["token_made"]


def test_no_secret_is_in_a_log_or_in_what_is_kept(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    person = place.person()
    client = place.signed_in(person)
    token = client.post("/v1/tokens", json={"name": "nightly", "scopes": ["read"]}).json()["token"]
    code = make_code(place.database, person.id, at=place.clock(), about="test").secret
    sign_in(place.client(), person.email, OTHER)
    place.client().get("/v1/people/me", headers={"Authorization": f"Bearer {token}x"})

    session = client.cookies["counterfoil"]
    with psycopg.connect(place.database.dsn) as connection:
        kept = [
            connection.execute(f"SELECT t::text FROM {table} t".encode()).fetchall()
            for table in ("api_tokens", "sessions", "passwords", "password_codes", "sign_ins", "attempts")
        ]
    logged = [one.getMessage() for one in caplog.records if not one.name.startswith("http")]  # those are the client's
    for secret in (PASSWORD, OTHER, token, code, session, client.headers["X-CSRF-Token"]):
        assert secret not in str(logged)
        assert secret not in str(kept)


PERSONAL = ("api_tokens", "sessions", "passwords", "password_codes", "sign_ins")


@pytest.mark.parametrize("table", PERSONAL)
def test_no_query_of_one_person_reads_what_another_is_let_in_by(place: Place, table: str) -> None:
    person, other = place.person(), place.person()
    place.with_token(person)
    place.signed_in(person)
    make_code(place.database, person.id, at=place.clock(), about="test")

    def seen(whose: Person | None) -> int:
        with place.database.session(APP) as connection, connection.transaction():
            if whose is not None:
                connection.execute(f"SET LOCAL counterfoil.person = '{whose.id}'".encode())
            of_person = f"SELECT * FROM {table} WHERE person_id = '{person.id}'"
            return connection.execute(of_person.encode()).rowcount

    assert seen(person) > 0
    assert (seen(other), seen(None)) == (0, 0)


def test_no_more_hash_at_once_than_memory_is_meant_for() -> None:
    began, ended = threading.Semaphore(0), threading.Event()
    running: list[int] = []

    def hashed() -> int:
        running.append(1)
        at_once = len(running)
        began.release()
        ended.wait(10)
        running.pop()
        return at_once

    async def ask() -> list[int]:
        asked = [asyncio.create_task(hashing(hashed)) for _ in range(AT_ONCE + MOST_WAITING)]
        for _ in range(AT_ONCE):
            assert await asyncio.to_thread(began.acquire, timeout=10)
        with pytest.raises(TooManyTries):
            await hashing(hashed)
        ended.set()
        return await asyncio.gather(*asked)

    assert max(asyncio.run(ask())) == AT_ONCE


def test_tokens_and_passwords_at_the_terminal(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("HOME", str(tmp_path)), ("DATABASE_URL", empty_database), ("AS", "an@example.com")):
        monkeypatch.setenv(f"COUNTERFOIL_{name}", value)
    (tmp_path / "short.txt").write_text("too short\n")
    assert run(["account", "open", "Acme BV"]) == 0
    capsys.readouterr()

    assert run(["token", "create", "--scope", "read", "--account", "acme-bv", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert run(["token", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    refused = [
        run(["token", "create", "--scope", "everything"]),
        run(["password", "set", "--from", f"file:{tmp_path / 'short.txt'}"]),
        run(["password", "set"]),
    ]
    told = capsys.readouterr().err
    assert run(["token", "revoke", made["id"]]) == 0
    assert run(["token", "list"]) == 0

    assert made["token"].startswith("cf_")
    assert (listed[0]["id"], listed[0]["scopes"]) == (made["id"], ["read"])
    assert refused == [1, 1, 1]
    assert "expected at least 15" in told
    assert "You have no API token." in capsys.readouterr().out
