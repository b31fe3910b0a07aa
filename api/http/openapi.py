"""The OpenAPI document: what the routes say of themselves, what ``operations`` says of each, and every problem.

Bodies and answers are described from the structs that they are read into and written from, so the document cannot say
otherwise than the code does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts

from api.http.access import OPEN
from api.http.bodies import required_fields
from api.http.operations import OPERATIONS, File, Items, Operation
from api.http.problems import MEDIA_TYPE, Problem, catalogue
from api.http.schemas import COLLECTIONS, SCHEMAS, bodies, name_of
from api.http.tags import if_match
from domain.codes import COUNTRIES, MINOR_UNITS

_SCHEMA = "#/components/schemas/"
_REF = _SCHEMA + "{name}"
_JSON = "application/json"
_DECIMAL = r"^-?[0-9]{1,15}(\.[0-9]{1,6})?$"
# What the service gives when a body does not: the account's settings, an id, today's date.
_DEFAULTED = {"language", "currency", "unit", "type_code"}
_DEFAULTED_OF_STEPS = {"id", "date"}
# Structs of different rooms with one name.
_NAMES = {
    "domain.people.Named": "PersonNamed",
    "snapshots.restoring.report.Named": "EntityNamed",
    "projections.control_totals.Difference": "TotalsDifference",
    "projections.rebuild.Difference": "RebuildDifference",
    "api.ubl.importing.Entry": "ImportedEntry",
    "projections.timeline.Entry": "TimelineEntry",
}
_PARAMETERS = {
    "account": "The account's id or its slug",
    "entity": "The entity's id",
    "payment": "The payment's id within the document",
    "attachment": "The attachment's id within the document",
    "archive": "The archive's id",
    "upload": "The upload's id, which is the archive's once it came whole",
    "job": "The job's id",
    "state": "A state of jobs",
    "person": "The person's id",
    "session": "The session's id, or `current`",
    "token": "The API token's id",
    "stream": "The stream's number",
    "module": "The module's name",
    "kind": "A kind of entity",
    "key": "The custom field's key",
    "cursor": "Where to go on, as the `Link` header of the page before gave it",
    "limit": "How many at most",
    "as_of": "A position, such as `1200` or `2.1200`, or a time with its zone, as of which to look",
    "number": "The number of the one that is looked for",
    "name": "The file's name",
    "description": "What the file is",
    "unread": "Only what was not read yet",
    "type": "A type of event, such as `invoice.issued`",
    "since": "From this time on, RFC 3339",
    "until": "Before this time, RFC 3339",
    "position": "The event's position",
    "size": "How many events the tree head is of; that of the newest backup unless given",
    "from_size": "How many events the earlier tree head is of",
    "to_size": "How many events the later tree head is of; the last one unless given",
}
_HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "X-Request-Id": ("The request's id: its own where that was plain", {"type": "string"}),
    "ETag": ("What this answer is known by: of an entity, its stream and version, for `If-Match`", {"type": "string"}),
    "Location": ("The address of what was made", {"type": "string", "format": "uri-reference"}),
    "Link": ('The address of the next page, with `rel="next"`; none on the last', {"type": "string"}),
    "Idempotent-Replayed": ("`true` where the request was done before, and this is its answer", {"const": "true"}),
    "Retry-After": ("After how many seconds to try again", {"type": "string", "pattern": "^[0-9]+$"}),
    "Set-Cookie": ("The session, for the browser to keep", {"type": "string"}),
    "WWW-Authenticate": ("How to say who asks", {"type": "string"}),
}
_OPTIONAL_HEADERS = {"Link", "Idempotent-Replayed", "Retry-After"}
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "description": "The entity tag that was seen; what is another by now is left alone (412)",
    "schema": {"type": "string", "pattern": r'^(\*|(W/)?"[!#-~]{0,64}")$', "examples": ["*"]},
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The entity tag of the answer that the caller has: 304, without a body, while it still is so",
    "schema": {"type": "string"},
}
_UNCHANGED = {
    "description": "It is what the caller has",
    "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-Id", "ETag")},
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Known to be the same request for 24 hours: sent again, it does nothing again and is answered alike",
    "schema": {"type": "string", "pattern": "^[!#-~]{1,255}$", "examples": ["8e03978e-40d5-43dd-bc93-6894a57f9324"]},
}
# Which codes can be met where: those of archives only where there are archives.
_GENERAL = frozenset({"http", "domain", "store", "account", "access", "line", "cursor", "moment"})
_ARCHIVAL_TAGS = frozenset({"backups", "archives", "streams", "clones", "imports", "timeline", "jobs"})


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of *app*."""
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    references, components = _components()
    routes = _routes(app)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            line = f"{method.upper()} {path}"
            known = OPERATIONS.get(line)
            if known is not None:
                _complete(operation, line, known, routes[line], references)
    parts = document.setdefault("components", {})
    parts["schemas"] = components
    parts["responses"] = _problem_responses()
    parts["headers"] = {
        name: {"description": said, "schema": schema, "required": name not in _OPTIONAL_HEADERS}
        for name, (said, schema) in _HEADERS.items()
    }
    parts["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "A person's API token, in `Authorization`"},
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": "counterfoil",
            "description": "A session's cookie (`__Host-counterfoil` over TLS); changes need `X-CSRF-Token` too",
        },
    }
    document["security"] = [{"token": []}, {"session": []}]
    for method, path in OPEN:
        document["paths"][path][method.lower()]["security"] = []
    document["tags"] = [{"name": tag} for tag in _tags(document)]
    return document


def _routes(app: FastAPI) -> dict[str, RouteContext]:
    """The routes that are described, by method and path."""
    found = [one for one in iter_route_contexts(app.routes) if isinstance(one.original_route, APIRoute)]
    return {f"{method} {one.path_format}": one for one in found for method in one.methods or ()}


def _tags(document: dict[str, Any]) -> list[str]:
    operations = [operation for found in document["paths"].values() for operation in found.values()]
    return list(dict.fromkeys(tag for operation in operations for tag in operation["tags"]))


def _complete(
    operation: dict[str, Any], line: str, known: Operation, route: RouteContext, references: dict[str, Any]
) -> None:
    """Say of an operation what its code does not."""
    method, path = line.split(" ")
    calls = set(_calls(route.dependant))
    operation["operationId"] = known.id
    if known.description is not None:
        operation["description"] = known.description
    for parameter in operation.get("parameters", ()):
        parameter.setdefault("description", _PARAMETERS.get(parameter["name"], ""))
    if if_match in calls:
        operation.setdefault("parameters", []).append(_IF_MATCH)
    if method == "GET":
        operation.setdefault("parameters", []).append(_IF_NONE_MATCH)
    takes_key = method in {"POST", "PATCH"} or (method == "DELETE" and path.endswith("/{entity}"))
    takes_key = takes_key and (method, path) not in OPEN  # keys are a person's, and nobody is known yet
    if takes_key:
        operation.setdefault("parameters", []).append(_KEY)
    _describe_body(operation, known, references, is_optional=required_fields not in calls)
    success = str(route.status_code or 200)
    said = operation["responses"][success]["description"]
    answer = _answer(said, known, int(success), references, takes_key=takes_key, is_read=method == "GET")
    if success == "201" and path.count("/") == 4 and path.rpartition("/")[2] in COLLECTIONS.values():
        answer["links"] = _links(path)
    rehearsed = {**answer, "headers": {name: one for name, one in answer["headers"].items() if name != "Location"}}
    told = {status: one for status, one in operation["responses"].items() if status[0] in "23" and status != success}
    operation["responses"] = {success: answer, **{str(status): rehearsed for status in known.also}, **told}
    if method == "GET":
        operation["responses"].setdefault("304", _UNCHANGED)
    is_archival = bool(_ARCHIVAL_TAGS & set(operation["tags"]))
    for status in sorted(_refusals(method, path, operation, sees_versions=if_match in calls, is_archival=is_archival)):
        name = f"Problem{status}{'OfArchives' if is_archival else ''}"
        operation["responses"][str(status)] = {"$ref": f"#/components/responses/{name}"}


def _calls(dependant: Dependant) -> Iterator[Any]:
    """Whatever a route depends on."""
    for one in dependant.dependencies:
        yield one.call
        yield from _calls(one)


def _describe_body(
    operation: dict[str, Any], known: Operation, references: dict[str, Any], *, is_optional: bool
) -> None:
    content = operation.get("requestBody", {}).get("content", {}).get(_JSON)
    if content is None:
        return
    name = content["schema"].get("x-struct")
    if name:
        content["schema"] = references[f"given {name}"]
    if known.example is not None:
        content["example"] = known.example
    operation["requestBody"]["required"] = not is_optional


def _answer(
    description: str, known: Operation, status: int, references: dict[str, Any], *, takes_key: bool, is_read: bool
) -> dict[str, Any]:
    headers = ["X-Request-Id", *known.headers]
    has_tag = known.answer in _STATES or (is_read and known.answer is not None and not isinstance(known.answer, File))
    headers += ["ETag"] if has_tag and "ETag" not in headers else []
    headers += ["Location"] if status == 201 else []
    headers += ["Link"] if isinstance(known.answer, Items) and known.answer.is_page else []
    headers += ["Idempotent-Replayed"] if takes_key else []
    said: dict[str, Any] = {
        "description": description,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
    }
    if isinstance(known.answer, File):
        said["content"] = {type_: {"schema": {}} for type_ in known.answer.media_types}
    elif known.answer is not None:
        said["content"] = {_JSON: {"schema": _schema_of(known.answer, references)}}
    return said


def _schema_of(answer: Any, references: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(answer, Items):
        found: dict[str, Any] = references[f"answered {name_of(answer)}"]
        return found
    properties = {"items": {"type": "array", "items": references[f"answered {name_of(answer.of)}"]}}
    if answer.is_page:
        properties = {"stream": {"type": "integer", "description": "The stream that the page is of"}, **properties}
    return {"type": "object", "required": list(properties), "properties": properties}


def _links(path: str) -> dict[str, Any]:
    """What can be done with what a POST to a collection made."""
    kind = next(kind for kind, collection in COLLECTIONS.items() if path.endswith(f"/{collection}"))
    parameters = {"account": "$request.path.account", "entity": "$response.body#/id"}
    ids = [OPERATIONS[f"{method} {path}/{{entity}}"].id for method in ("GET", "PATCH")]
    return {id_: {"operationId": id_, "parameters": parameters, "description": f"The {kind.value}"} for id_ in ids}


def _refusals(method: str, path: str, operation: dict[str, Any], *, sees_versions: bool, is_archival: bool) -> set[int]:
    """The statuses with which an operation can be refused."""
    found = {400, 401, 403, 429, 500, 503}
    is_write = method != "GET"
    if "{" in path:
        found |= {404}
    if "{account}" in path:
        found |= {410, 422} | ({409} if is_write else set())
    if is_write:
        found |= {409, 410, 422}
    if "requestBody" in operation or is_write:
        found |= {408, 413, 415}
    if sees_versions:
        found |= {412}
    if is_archival:
        found |= {409, 412, 507} if is_write else {409}
    return found


def _problem_responses() -> dict[str, Any]:
    """For each status, and for archives, the problem and the codes that it can have."""
    found = {}
    for suffix in ("", "OfArchives"):
        by_status: dict[int, list[Any]] = {}
        for one in catalogue():
            if suffix or one.code.partition(".")[0] in _GENERAL:
                by_status.setdefault(one.status, []).append(one)
        for status, ones in by_status.items():
            headers = ["X-Request-Id"]
            headers += ["WWW-Authenticate"] if status == 401 else []
            headers += ["Retry-After"] if status in {429, 503} else []
            example = {
                "type": ones[0].type,
                "title": ones[0].title,
                "status": status,
                "detail": ones[0].title,
                "instance": "urn:counterfoil:request:b9956d4684e10560b9ff5e7caf5a15f0",
                "code": ones[0].code,
                "request_id": "b9956d4684e10560b9ff5e7caf5a15f0",
            }
            codes = ", ".join(f"`{one.code}`" for one in ones)
            found[f"Problem{status}{suffix}"] = {
                "description": f"Refused, with one of these codes: {codes}",
                "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
                "content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}, "example": example}},
            }
    return found


_STATES = frozenset(schemas.state for schemas in SCHEMAS.values())


@cache
def _components() -> tuple[dict[str, Any], dict[str, Any]]:
    """References to the schemas of all bodies (``given NAME``) and answers (``answered NAME``), and the schemas."""
    given = _described(bodies())
    answers = {Problem: None, **dict.fromkeys(_answers())}
    answered = _described({name_of(one): one for one in answers})
    for schemas in SCHEMAS.values():
        _relax(given.component(name_of(schemas.creation)), _DEFAULTED)
    for name in given.references:
        if ".documents.events." in name:
            _relax(given.component(name), _DEFAULTED_OF_STEPS)
    taken_as = {"anyOf": [{"type": "string", "pattern": _DECIMAL}, {"type": "number"}]}
    given.replace({"type": "string", "format": "decimal"}, taken_as)
    answered.replace({"type": "string", "format": "decimal"}, {"type": "string", "pattern": _DECIMAL})
    for name, values in (("Currency", sorted(MINOR_UNITS)), ("Country", list(COUNTRIES))):
        for part in (given, answered):
            part.replace({"enum": sorted(values)}, {"$ref": _REF.format(name=name)})
            part.components[name] = {"title": name, "type": "string", "enum": sorted(values)}
    given.rename({name: f"{name}Given" for name in _differing(given.components, answered.components)})
    references = {f"given {name}": ref for name, ref in given.references.items()}
    references |= {f"answered {name}": ref for name, ref in answered.references.items()}
    return references, {**given.components, **answered.components}


class _Part:
    """Schemas under one set of names."""

    def __init__(self, references: dict[str, Any], components: dict[str, Any]) -> None:
        self.references = references
        self.components = components

    def component(self, name: str) -> dict[str, Any]:
        """The schema that a struct is described by."""
        found: dict[str, Any] = self.components[self.references[name]["$ref"].removeprefix(_SCHEMA)]
        return found

    def replace(self, schema: dict[str, Any], by: dict[str, Any]) -> None:
        """Wherever *schema* is, with or without more that is said beside it, say *by*."""
        self.components = {name: _replaced(one, schema, by) for name, one in self.components.items()}

    def rename(self, names: dict[str, str]) -> None:
        """Let components be called otherwise."""
        text = json.dumps([self.references, self.components])
        for name, other in names.items():
            text = text.replace(f'"{_REF.format(name=name)}"', f'"{_REF.format(name=other)}"')
        self.references, components = json.loads(text)
        self.components = {names.get(name, name): one for name, one in components.items()}


def _described(structs: dict[str, Any]) -> _Part:
    found, components = msgspec.json.schema_components(list(structs.values()), ref_template=_REF)
    part = _Part(dict(zip(structs, found, strict=True)), dict(components))
    names = {}
    for kind, schemas in SCHEMAS.items():
        title = "".join(word.capitalize() for word in kind.value.split("_"))
        title = "Document" if kind.is_document else title
        for struct, name in ((schemas.creation, f"{title}Fields"), (schemas.change, f"{title}Change")):
            if name_of(struct) in part.references:
                names[part.references[name_of(struct)]["$ref"].removeprefix(_SCHEMA)] = name
    part.rename({**_NAMES, **names})
    return part


def _replaced(within: Any, schema: dict[str, Any], by: dict[str, Any]) -> Any:
    if isinstance(within, list):
        return [_replaced(one, schema, by) for one in within]
    if not isinstance(within, dict):
        return within
    if all(within.get(name) == value for name, value in schema.items()):
        return {**by, **{name: value for name, value in within.items() if name not in schema}}
    return {name: _replaced(one, schema, by) for name, one in within.items()}


def _relax(component: dict[str, Any], names: set[str]) -> None:
    component["required"] = [name for name in component.get("required", ()) if name not in names]


def _differing(given: dict[str, Any], answered: dict[str, Any]) -> set[str]:
    """Names of schemas that are one thing in bodies and another in answers, by themselves or by what they refer to."""
    found = {name for name in given.keys() & answered.keys() if given[name] != answered[name]}
    while True:
        more = {
            name
            for name in given.keys() & answered.keys() - found
            if any(f'"{_REF.format(name=other)}"' in json.dumps(given[name]) for other in found)
        }
        if not more:
            return found
        found |= more


def _answers() -> Iterator[Any]:
    for operation in OPERATIONS.values():
        answer = operation.answer
        if answer is not None and not isinstance(answer, File):
            yield answer.of if isinstance(answer, Items) else answer
