"""What /v1 has promised: ``python -m tests.contract.promised`` keeps, at a release, what it promises by then.

Within /v1 only things are added. A client written for what is kept here must go on working: no operation, parameter,
field or success goes, and nothing that may be left out becomes required.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROMISED = Path(__file__).with_name("v1.json")


def summary(document: dict[str, Any]) -> dict[str, Any]:
    """Of an OpenAPI document, what a client relies on."""
    operations = {
        f"{method.upper()} {path}": {
            "id": operation["operationId"],
            "parameters": {f"{one['in']} {one['name']}": one.get("required", False) for one in _parameters(operation)},
            "body": sorted(operation.get("requestBody", {}).get("content", {})),
            "is_body_required": operation.get("requestBody", {}).get("required", False),
            "successes": sorted(status for status in operation["responses"] if status[0] == "2"),
        }
        for path, found in document["paths"].items()
        for method, operation in found.items()
    }
    schemas = {
        name: {"fields": sorted(schema.get("properties", ())), "required": sorted(schema.get("required", ()))}
        for name, schema in document["components"]["schemas"].items()
    }
    given = {
        name for operation in _operations(document) for name in _schemas_of(operation.get("requestBody"), document)
    }
    return {"operations": operations, "schemas": schemas, "given": sorted(given)}


def broken(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What of *before* a client can no longer rely on."""
    found = []
    for line, was in before["operations"].items():
        is_now = now["operations"].get(line)
        if is_now is None:
            found.append(f"{line} is gone")
            continue
        found += [f"{line} lost {one}" for one in was["parameters"] if one not in is_now["parameters"]]
        found += [f"{line} lost {one}" for one in was["successes"] if one not in is_now["successes"]]
        found += [f"{line} takes no {one}" for one in was["body"] if one not in is_now["body"]]
        wanted = [one for one, required in is_now["parameters"].items() if required]
        found += [f"{line} requires {one}" for one in wanted if not was["parameters"].get(one)]
        if is_now["is_body_required"] and not was["is_body_required"]:
            found.append(f"{line} requires a body")
        if was["id"] != is_now["id"]:
            found.append(f"{line} is called {is_now['id']}, was {was['id']}")
    for name, was in before["schemas"].items():
        is_now = now["schemas"].get(name, {"fields": [], "required": []})
        found += [f"{name} lost {one}" for one in was["fields"] if one not in is_now["fields"]]
        if name in before["given"]:
            found += [f"{name} requires {one}" for one in is_now["required"] if one not in was["required"]]
    return found


def _operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for found in document["paths"].values() for operation in found.values()]


def _parameters(operation: dict[str, Any]) -> list[dict[str, Any]]:
    return list(operation.get("parameters", ()))


def _schemas_of(part: Any, document: dict[str, Any]) -> Iterator[str]:
    """The schemas that a part of the document leads to."""
    seen: set[str] = set()
    waiting = [part]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            name = str(one.get("$ref", "")).rpartition("/")[2]
            if name and name not in seen:
                seen.add(name)
                waiting.append(document["components"]["schemas"][name])
            waiting += one.values()
    yield from seen


if __name__ == "__main__":
    from tests.end_to_end.test_http_access import described

    PROMISED.write_text(json.dumps(summary(described()), indent=1, sort_keys=True) + "\n", "utf-8")
