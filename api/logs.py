"""What the service says while it runs: one event a line, as JSON for machines or as text for a terminal.

What is said is said through ``logging``, by us and by the libraries alike; here it gets what it is about (the request,
the account, the job) and is written. No value can begin a line of its own or steer a terminal, and tokens and passwords
are masked wherever an error quotes them.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO

from structlog.processors import TimeStamper, format_exc_info
from structlog.stdlib import ProcessorFormatter, add_log_level, add_logger_name
from structlog.typing import EventDict, Processor, WrappedLogger

# Libraries that tell of their everyday work at "info", some of it with what they work on.
_QUIET = ("procrastinate", "psycopg", "psycopg.pool", "uvicorn", "uvicorn.error", "asyncio")
_FIRST = ("at", "level", "event", "request", "account", "job")
_SECRETS = (
    (re.compile(r"\bcf_[A-Za-z0-9_-]{8,}"), "cf_****"),  # our tokens
    (re.compile(r"(?i)\b(bearer|basic) +[A-Za-z0-9._~+/=-]{8,}"), r"\1 ****"),
    (re.compile(r"(://[^\s:/@]*:)[^\s/@]+@"), r"\1****@"),  # of an address
    (
        re.compile(r"(?i)\b(\w*(?:password|passphrase|secret)\w*)(\s*[=:]\s*)('[^']*'|\"[^\"]*\"|[^\s,;)]+)"),
        r"\1\2****",
    ),
)
_about: ContextVar[dict[str, Any] | None] = ContextVar("about", default=None)


@contextmanager
def at_work_on(**facts: Any) -> Iterator[dict[str, Any]]:
    """All that is said within the ``with``, in threads that work for it too, has these facts; gives them to add to."""
    outer = _about.get()
    known = {**outer, **facts} if outer else facts
    token = _about.set(known)
    try:
        yield known
    finally:
        _about.reset(token)


def about(**facts: Any) -> None:
    """From here on, what is said within the ``with`` around us has these facts too. Does nothing outside of one."""
    known = _about.get()
    if known is not None:
        known.update(facts)


def masked(text: str) -> str:
    """*text* without the tokens and passwords in it."""
    for secret, instead in _SECRETS:
        text = secret.sub(instead, text)
    return text


@contextmanager
def logging_to(stream: TextIO, *, level: str, as_json: bool) -> Iterator[None]:
    """Whatever is said in this process goes to *stream*, from *level* on, until the end of the ``with``."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(as_json=as_json))
    root = logging.getLogger()
    before = (root.level, [logging.getLogger(name).level for name in _QUIET])
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before[0])
        for name, was in zip(_QUIET, before[1], strict=True):
            logging.getLogger(name).setLevel(was)


def wants_json(log_format: str, stream: TextIO = sys.stderr) -> bool:
    """Whether lines are JSON: by the setting, which leaves it to where they go when it is ``auto``."""
    return log_format == "json" or (log_format == "auto" and not stream.isatty())


def formatter(*, as_json: bool) -> logging.Formatter:
    """What makes a line of a log record."""
    last: Processor = _as_json if as_json else _as_text
    first: list[Processor] = [add_log_level, add_logger_name, _add_facts, TimeStamper(fmt="iso", utc=True, key="at")]
    return ProcessorFormatter(
        foreign_pre_chain=[*first, format_exc_info, _mask],
        processors=[ProcessorFormatter.remove_processors_meta, last],
    )


def _add_facts(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """What the line is about: the work that is going on, and what the one who says it adds as ``facts``."""
    event.update(_about.get() or {})
    event.update(getattr(event["_record"], "facts", {}))
    return event


def _mask(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["event"] = masked(str(event["event"]))
    if "exception" in event:
        event["exception"] = masked(event["exception"])
    return event


def _as_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """A line in ASCII: all else, control characters of either set and line separators included, is escaped."""
    ordered = {name: event.pop(name) for name in _FIRST if name in event}
    return json.dumps({**ordered, **event}, default=str, separators=(",", ":"))


def _as_text(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """A line with its facts quoted as Python does, and a trace below it, whose lines are set in."""
    at, level, said = event.pop("at"), event.pop("level"), event.pop("event")
    trace = event.pop("exception", "")
    facts = " ".join(f"{name}={_plain(value)}" for name, value in event.items())
    lines = [f"{at} {level:<8} {_escaped(said)}  {facts}".rstrip()]
    lines += [f"    | {_escaped(line)}" for line in trace.splitlines()]
    return "\n".join(lines)


def _plain(value: Any) -> str:
    text = str(value)
    return text if text.isascii() and text.isprintable() and " " not in text and text else ascii(text)


def _escaped(text: str) -> str:
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
