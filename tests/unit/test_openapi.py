"""The OpenAPI document is whole: every operation is named, described, answered and refused in it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from api.http.catalogue import page
from api.http.operations import OPERATIONS
from tests.contract.promised import PROMISED, broken, summary
from tests.end_to_end.test_http_access import described

DOCUMENT = described()
LINES = {
    f"{method.upper()} {path}": operation
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}
NEEDED = (
    'add it to OPERATIONS in api/http/operations.py: "{line}": Operation("verb_noun", what a success holds, '
    "example of the body); the parameters' descriptions are in api/http/openapi.py, the body's struct in body_of(…)"
)


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in part:
        found: Any = DOCUMENT
        for step in part["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        part = found
    return part


def test_the_document_is_an_openapi_document() -> None:
    assert not list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors())


@pytest.mark.parametrize("line", LINES)
def test_an_operation_is_told_whole(line: str) -> None:
    operation = LINES[line]
    content = operation.get("requestBody", {}).get("content", {})
    lacking = [
        what
        for what, is_there in {
            "a line in OPERATIONS": line in OPERATIONS,
            "a summary": operation.get("summary"),
            "a description": operation.get("description"),
            "a tag": operation.get("tags"),
            "a success with a schema, or 204": any(
                status == "204" or resolved(answer).get("content")
                for status, answer in operation["responses"].items()
                if status.startswith("2")
            ),
            "its refusals": {"400", "401", "500", "503"} <= set(operation["responses"]),
            "descriptions of its parameters": all(one.get("description") for one in operation.get("parameters", ())),
            "a schema of its body": all("x-struct" not in one["schema"] for one in content.values()),
            "an example of its body": all(
                "example" in one for type_, one in content.items() if type_ == "application/json"
            ),
        }.items()
        if not is_there
    ]

    assert not lacking, f"{line} lacks {', '.join(lacking)}: " + NEEDED.format(line=line)


def test_no_operation_is_told_of_that_there_is_not() -> None:
    assert set(OPERATIONS) - set(LINES) == set()


def test_ids_are_one_of_a_kind_and_readable() -> None:
    ids = [operation["operationId"] for operation in LINES.values()]

    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", one) for one in ids)


def test_schemas_have_names_of_their_own() -> None:
    dotted = [name for name in DOCUMENT["components"]["schemas"] if not re.fullmatch("[A-Z][A-Za-z0-9]*", name)]

    assert not dotted, "two structs have one name: say others in _NAMES of api/http/openapi.py"


def test_every_reference_leads_somewhere() -> None:
    for pointer in set(re.findall(r"'\$ref': '([^']+)'", str(DOCUMENT))):
        assert resolved({"$ref": pointer})


def test_every_schema_is_used() -> None:
    text = str(DOCUMENT)

    unused = [name for name in DOCUMENT["components"]["schemas"] if f"'#/components/schemas/{name}'" not in text]

    assert not unused


def test_the_page_of_problems_is_that_of_the_errors_there_are() -> None:
    written = (Path(__file__).parents[2] / "docs" / "reference" / "problems.md").read_text("utf-8")

    assert written == page(), "write it anew: python -m api.http.catalogue > docs/reference/problems.md"


def test_what_v1_promised_it_keeps() -> None:
    promised = json.loads(PROMISED.read_text("utf-8"))

    assert not broken(promised, summary(DOCUMENT)), "within /v1 only things are added: tests/contract/promised.py"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda now: now["operations"].pop("GET /v1/key"), "GET /v1/key is gone"),
        (lambda now: now["operations"]["GET /v1/key"].update(id="x"), "GET /v1/key is called x, was read_public_key"),
        (lambda now: now["schemas"]["Customer"]["fields"].remove("notes"), "Customer lost notes"),
        (lambda now: now["schemas"]["CustomerFields"]["required"].append("notes"), "CustomerFields requires notes"),
        (
            lambda now: now["operations"]["GET /v1/accounts"]["parameters"].update({"query q": True}),
            "GET /v1/accounts requires query q",
        ),
    ],
)
def test_what_would_break_a_client_is_seen(change: Callable[[dict[str, Any]], None], said: str) -> None:
    now = summary(DOCUMENT)
    before = json.loads(json.dumps(now))

    change(now)

    assert broken(before, now) == [said]
