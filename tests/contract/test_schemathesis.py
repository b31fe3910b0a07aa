"""The service does as its OpenAPI document says, whatever is sent: schemathesis with all its checks, as an owner.

What is sent follows from the seed. More, for longer: ``make contract EXAMPLES=… SEED=…``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from api.http import guessing
from api.http.operations import OPERATIONS
from api.http.schemas import COLLECTIONS
from domain.kinds import Kind
from tests.fixtures.http_api import AccountOverHttp, Served, Visitor

EXAMPLES = os.environ.get("CONTRACT_EXAMPLES", "1")
SEED = os.environ.get("CONTRACT_SEED", "20261124")
# Coverage alone is tens of thousands of requests: every value at a bound, for every field.
PHASES = "examples,fuzzing,stateful" if EXAMPLES == "1" else "examples,coverage,fuzzing,stateful"
ROOT = Path(__file__).parents[2]
# What a schema cannot say is refused with 422: that a customer is there, an IBAN's check digits, a total. And a list
# takes no cursor but one that it gave out (400).
ACCEPTED = ["2xx", "304", "403", "404", "409", "410", "412", "416", "422"]
ACCEPTED_OF_LISTS = [*ACCEPTED, "400"]
# What ends tokens and sessions is done as somebody else, who may lack them from then on.
ENDING = ["change_password", "revoke_token", "end_session", "sign_in"]


def furnished(books: AccountOverHttp) -> dict[str, str]:
    """The id of an entity of each collection of the account."""
    found = {}
    customer = books.customer()
    for kind in Kind:
        made = dict(OPERATIONS[f"POST /v1/accounts/{{account}}/{COLLECTIONS[kind]}"].example or {})
        if "customer" in made:
            made["customer"] = customer
        found[COLLECTIONS[kind]] = str(books.make(COLLECTIONS[kind], made)["id"])
    return found


def toml(value: Any, name: str = "") -> str:
    """*value* as TOML: tables of tables, of which the innermost are written in line."""
    if not isinstance(value, dict):
        return f"{name} = {msgspec.json.encode(value).decode()}\n"
    lines = "".join(
        toml(one, msgspec.json.encode(key).decode()) for key, one in value.items() if not isinstance(one, dict)
    )
    tables = "".join(toml(one, f"{name}.{key}" if name else key) for key, one in value.items() if isinstance(one, dict))
    return (f"[{name}]\n" if name and lines else "") + lines + tables


def settings(books: AccountOverHttp, spare: AccountOverHttp, other: Visitor) -> str:
    """What schemathesis is told of this server: the account that it works on, and an entity of each kind there."""
    parts = [toml({"parameters": {"path.account": books.id}, "checks": accepting(ACCEPTED)})]
    for collection, entity in furnished(books).items():
        parts += operations({"include-path-regex": f"/{collection}/[{{]entity[}}]"}, {"path.entity": entity})
    parts += operations({"include-operation-id": "close_account"}, {"path.account": spare.id})
    for id_ in ENDING:
        said = {"headers": {"Authorization": f"Bearer {other.token}"}, "checks": accepting([*ACCEPTED, "401"])}
        parts.append("[[operations]]\n" + toml({"include-operation-id": id_}) + toml(said, "operations"))
    lists = {"include-method": "GET", "include-path-regex": "[^}]$"}
    parts.append("[[operations]]\n" + toml(lists) + toml({"checks": accepting(ACCEPTED_OF_LISTS)}, "operations"))
    return "".join(parts)


def accepting(statuses: list[str]) -> dict[str, Any]:
    return {"positive_data_acceptance": {"expected-statuses": statuses}}


def operations(which: dict[str, str], parameters: dict[str, str]) -> list[str]:
    return ["[[operations]]\n", toml(which), toml({"parameters": parameters}, "operations")]


@pytest.mark.slow
def test_w14_the_service_does_as_its_description_says(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guessing, "MOST_WRONG", 1_000_000)  # it shows a wrong token to every operation
    visitor = Visitor(served)
    config = tmp_path / "schemathesis.toml"
    config.write_text(settings(visitor.open_account(), visitor.open_account(), Visitor(served)), "utf-8")
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        f"--config-file={config}",
        "run",
        f"{served.url}/openapi.json",
        f"--header=Authorization: Bearer {visitor.token}",
        "--checks=all",
        f"--phases={PHASES}",
        f"--max-examples={EXAMPLES}",
        f"--seed={SEED}",
        "--workers=2",
        "--continue-on-failure",
        "--no-color",
        "--warnings=off",
        "--output-sanitize=false",
    ]

    env = os.environ | {"SCHEMATHESIS_HOOKS": "tests.contract.hooks", "PYTHONPATH": str(ROOT)}
    with (tmp_path / "said.txt").open("w") as said:
        done = subprocess.run(command, cwd=tmp_path, stdout=said, stderr=subprocess.STDOUT, check=False, env=env)

    print(f"schemathesis --seed={SEED} --max-examples={EXAMPLES}", (tmp_path / "said.txt").read_text("utf-8"), sep="\n")
    assert done.returncode == 0
