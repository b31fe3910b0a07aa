"""The installation's public key, for others who are to believe its archives."""

from __future__ import annotations

from fastapi import APIRouter
from msgspec import Struct
from starlette.responses import Response

from api.bootstrap import keys
from api.http import replies
from api.http.caller import Asking
from snapshots.trust.signing import ALGORITHM, public_pem

router = APIRouter(prefix="/key", tags=["keys"])


class PublicKey(Struct, frozen=True):
    """What archives are verified with; *key* is the id that their signatures name, *public_key* is PEM."""

    key: str
    algorithm: str
    public_key: str


@router.get("", summary="The public key that archives are verified with")
def public_key(asking: Asking) -> Response:
    """The key that new archives are signed with; it changes when the operator rotates it."""
    signer = keys(asking.settings).signer()
    return replies.json(PublicKey(signer.key, ALGORITHM, public_pem(signer.public)))
