"""Import of UBL documents, sent as the files of a form."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import msgspec
from fastapi import APIRouter, Depends, Query
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from api.http import replies
from api.http.bodies import check_not_encoded, chunks, media_type, note
from api.http.caller import Inside
from api.http.errors import BodyRefused, MediaTypeRefused
from api.http.observing import READING_WITHIN_S
from api.ubl import ImportReport, import_documents
from api.ubl.errors import UblError

router = APIRouter(prefix="/accounts/{account}/imports", tags=["imports"])
LIMIT_BYTES = 64 * 1024 * 1024  # all files of one request together: they are held in memory
MOST_FILES = 1_000
_FORM = "multipart/form-data"
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            _FORM: {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}
                    },
                }
            }
        },
    }
}


@dataclass(eq=False)
class NothingImported(UblError):
    """No file could be imported; nothing changed."""

    code: ClassVar[str] = "ubl.nothing-imported"
    report: ImportReport

    def __str__(self) -> str:
        return "; ".join(f"{one.file}: {one.refused.reason}" for one in self.report.refused[:10] if one.refused)


async def sent_files(request: Request) -> list[tuple[str, bytes]]:
    """The files of the form, by name. Raises BodyTooLarge, MediaTypeRefused, BodyRefused."""
    check_not_encoded(request)
    if media_type(request) != _FORM:
        raise MediaTypeRefused(media_type(request), _FORM)
    content = chunks(request, LIMIT_BYTES)

    async def counted() -> Message:
        chunk = await anext(content, b"")
        return {"type": "http.request", "body": chunk, "more_body": bool(chunk)}

    limited = Request(request.scope, counted)
    async with limited.form(max_files=MOST_FILES, max_fields=0) as form:
        files = [
            (one.filename or "file", await one.read()) for one in form.getlist("files") if isinstance(one, UploadFile)
        ]
        request.state.deadline.extend(READING_WITHIN_S)  # they are judged and recorded one after another
        if not files or len(files) != len(form.multi_items()):
            raise BodyRefused("files", "none, or other parts beside them", "at least one file named files")
    # A form that is sent again has another boundary; the files are what was asked.
    note(request, msgspec.json.encode([(name, hashlib.sha256(file).hexdigest()) for name, file in files]))
    return files


@router.post("/ubl", summary="Import invoices and credit notes in UBL 2.1", openapi_extra=_BODY)
def import_ubl(
    *,
    asking: Inside,
    files: Annotated[list[tuple[str, bytes]], Depends(sent_files)],
    any_supplier: Annotated[bool, Query(description="take files whose supplier is not this account's company")] = False,
) -> Response:
    """Import each file wholly or not at all. What became of each; a problem with the same report when none could be."""
    report = import_documents(asking.application, asking.access.account, asking.actor, files, any_supplier=any_supplier)
    if not report.imported:
        raise NothingImported(report)
    answer = replies.json(report)
    # Each file was imported by itself. Whoever sends them again finds their numbers taken, and so this answer.
    with asking.application.database.transaction(asking.access.account) as connection:
        asking.keep(connection, answer)
    return answer
