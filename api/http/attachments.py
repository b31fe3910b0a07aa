"""Files attached to documents: the bytes are the body, name and description are in the address."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from api.http import outcomes, reads, replies
from api.http.bodies import check_not_encoded, chunks, media_type, note
from api.http.caller import Inside
from api.http.errors import FileUnknown, MediaTypeRefused
from api.http.outcomes import Result, known_id, run
from api.http.tags import IfMatch, etag
from domain import commands
from domain.application import Outcome
from domain.documents.document import Document
from domain.documents.fields import Attachment
from domain.entity import converted
from domain.kinds import Kind
from domain.work import Work

_document = msgspec.json.Decoder(Document).decode


async def attached_bytes(request: Request) -> bytes:
    """The file's bytes. Raises BodyTooLarge or MediaTypeRefused."""
    check_not_encoded(request)
    if not media_type(request):
        raise MediaTypeRefused("", "the file's media type")
    content = b"".join([chunk async for chunk in chunks(request, commands.MAX_ATTACHMENT_BYTES)])
    note(request, content)
    return content


def add_routes(routes: APIRouter, kind: Kind) -> None:
    """The routes of the attachments of documents of *kind*."""
    of = "/{entity}/attachments"
    binary: dict[str, Any] = {"requestBody": {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}}
    routes.add_api_route(
        of, _attach(kind), methods=["POST"], status_code=201, summary="Attach a file", openapi_extra=binary
    )
    one = of + "/{attachment:path}"
    routes.add_api_route(one, _download(kind), methods=["GET"], summary="Download an attached file")
    routes.add_api_route(one, _detach(kind), methods=["DELETE"], summary="Take a file off a draft")


def _attach(kind: Kind) -> Callable[..., Response]:
    def attach(
        *,
        request: Request,
        asking: Inside,
        entity: str,
        content: Annotated[bytes, Depends(attached_bytes)],
        seen: IfMatch,
        name: Annotated[str, Query()],
        reference: Annotated[str | None, Query(description="its id within the document; made unless given")] = None,
        description: Annotated[str | None, Query()] = None,
    ) -> Response:
        id_ = known_id(kind, entity)
        facts: dict[str, Any] = {
            "name": name,
            "media_type": media_type(request),
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "description": description,
        }

        def command(work: Work) -> Result:
            attachment = converted({"id": reference or str(work.new_id()), **facts}, Attachment)
            commands.attach(work, kind, id_, attachment, content)
            return Result(kind, work.get(kind, id_))

        def attached(outcome: Outcome) -> Response:
            made: Document = outcome.result.state
            location = f"{outcomes.address(asking, kind)}/{id_}/attachments/{quote(made.attachments[-1].id, safe='')}"
            headers = {"Location": location, "ETag": etag(outcome.stream, made.version)}
            return replies.json(made.attachments[-1], status=201, headers=headers)

        return run(asking, kind, id_, seen, command, attached)

    return attach


def _download(kind: Kind) -> Callable[..., Response]:
    def download(asking: Inside, entity: str, attachment: str) -> Response:
        document = _document(reads.snapshot(asking.application, asking.access.account, kind, entity).state)
        found = next((one for one in document.attachments if one.id == attachment), None)
        content = asking.application.attachment(asking.access.account, found.sha256) if found else None
        if found is None or content is None:
            raise FileUnknown("attachment", attachment)
        # Never shown in place: what a stranger attached could be a page with a script in it.
        headers = {"Content-Disposition": as_attachment(found.name)}
        return Response(content, 200, headers, found.media_type)

    return download


def _detach(kind: Kind) -> Callable[..., Response]:
    def detach(asking: Inside, entity: str, attachment: str, seen: IfMatch) -> Response:
        id_ = known_id(kind, entity)

        def command(work: Work) -> Result:
            document: Document = work.get(kind, id_)
            if all(one.id != attachment for one in document.attachments):
                raise FileUnknown("attachment", attachment)
            commands.detach(work, kind, id_, attachment)
            return Result(kind, work.get(kind, id_))

        return run(asking, kind, id_, seen, command, outcomes.changed)

    return detach


def as_attachment(name: str) -> str:
    """The header that has a file saved under *name* and never shown (RFC 6266)."""
    return f"attachment; filename*=UTF-8''{quote(name, safe='')}"
