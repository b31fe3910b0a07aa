"""Wrong tokens: an address that shows many is not answered for a while, cheaply, without asking the database."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from domain.attempts import TooManyTries, network
from domain.credentials import digest

MOST_WRONG = 30  # in a window, of one address; a program with an old token shows it again and again
WINDOW_S = 60
_KEPT = 10_000


class WrongTokens:
    """How many wrong tokens each address showed of late. For one event loop: not safe to share between threads.

    An address that showed too many may go on with tokens that were right before, so that whoever shares it, or stands
    behind one proxy with a guesser, is not locked out. Tokens cannot be guessed: this bounds what trying costs.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._right: OrderedDict[bytes, None] = OrderedDict()

    def check(self, address: str, token: str) -> None:
        """That *token* may be looked up. Raises TooManyTries."""
        until, count = self._wrong.get(network(address), (0.0, 0))
        left = until - self._clock()
        if count >= MOST_WRONG and left > 0 and digest(token) not in self._right:
            raise TooManyTries(math.ceil(left))

    def count(self, address: str) -> None:
        """*address* showed a wrong token."""
        now, key = self._clock(), network(address)
        until, count = self._wrong.pop(key, (0.0, 0))
        self._wrong[key] = (until, count + 1) if until > now else (now + WINDOW_S, 1)
        if len(self._wrong) > _KEPT:
            self._wrong.popitem(last=False)

    def keep_right(self, token: str) -> None:
        """*token* was right just now."""
        key = digest(token)
        self._right[key] = None
        self._right.move_to_end(key)
        if len(self._right) > _KEPT:
            self._right.popitem(last=False)
