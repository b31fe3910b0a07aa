"""A word that is in one account only, looked for in everything that somebody of another one is answered."""

from __future__ import annotations

import logging
import re
import uuid

import pytest

from tests.end_to_end.test_http_access import ROUTES
from tests.fixtures.http_api import AccountOverHttp, Served, Visitor


def test_t19_a_word_of_one_account_is_in_no_answer_to_another_and_in_no_log(
    served: Served, books: AccountOverHttp, caplog: pytest.LogCaptureFixture
) -> None:
    word = f"canary{uuid.uuid4().hex}"
    theirs = Visitor(served, word).open_account(word)
    ids = {"account": theirs.id, "id": theirs.customer(word), "name": word}
    ids["document"] = theirs.issued().partition("/")[2]
    ids["backup"] = theirs.make("backups")["archive"]
    caplog.set_level(logging.DEBUG)

    answers = []
    for method, path in ROUTES:
        if method != "GET" or path.endswith("/events"):
            continue
        for account in {books.id, theirs.id}:
            for id_ in (ids["id"], ids["document"], ids["backup"], str(uuid.uuid4())):
                address = path.replace("{account}", account)
                address = re.sub(r"\{\w+\}", id_, address)
                answers.append(books.visitor.http.get(address))
    for query in ("q=canary", "name=canary", "number_prefix=2", f"customer={ids['id']}", "sort=-name", "limit=1000"):
        for kind in ("customers", "invoices", "items"):
            answers.append(books.get(f"{kind}?{query}"))

    assert len(answers) > 200
    assert {answer.status_code for answer in answers} & {500, 502} == set()
    told = [answer.url for answer in answers if word in answer.text or word in str(answer.headers)]
    assert told == []
    assert word not in caplog.text
    ours = [path for path in served.settings.home.rglob("*") if path.is_file() and books.id in str(path)]
    assert not any(word.encode() in path.read_bytes() for path in ours)
