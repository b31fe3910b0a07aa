"""An account's settings by themselves, and the number series that follow from them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from fastapi import APIRouter
from starlette.responses import Response

from api.http import replies
from api.http.bodies import Fields
from api.http.caller import Inside
from api.http.schemas import body_of
from domain import control as c
from domain.entity import converted
from domain.kinds import DOCUMENT_KINDS
from domain.work import Work

router = APIRouter(prefix="/accounts/{account}", tags=["settings"])


class NumberSeries(msgspec.Struct):
    """How documents of a kind are numbered: the format, and the number that one issued today gets."""

    kind: str
    format: str
    next: str


@router.get("/settings", summary="Show the settings")
def show_settings(asking: Inside) -> Response:
    """The account's settings."""
    return replies.json(asking.access.control.settings)


@router.patch("/settings", summary="Change settings", openapi_extra=body_of(c.SettingsChanged))
def change_settings(asking: Inside, fields: Fields) -> Response:
    """Set the settings that are given; null takes an optional one away."""
    wanted = converted(fields, c.SettingsChanged)
    answer: Callable[[c.Control], Response] = lambda control: replies.json(control.settings)  # noqa: E731
    if not fields:
        return answer(asking.access.control)
    return asking.administrate("changing the account", wanted, answer=answer)


@router.get("/number-series", summary="How documents are numbered, and which number is next")
def number_series(asking: Inside) -> Response:
    """The series of each kind of document. Their formats are in the settings."""

    def command(work: Work) -> list[NumberSeries]:
        return [
            NumberSeries(kind.value, work.control.number_format(kind), work.next_number(kind, work.today))
            for kind in DOCUMENT_KINDS
        ]

    return replies.json({"items": asking.application.run(asking.access.account, asking.actor, command)})
