"""An element of a UBL file, and the mark of what was read of it: what no reader asked for is what we do not keep."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from decimal import Decimal
from typing import Any, NoReturn

import msgspec
from lxml import etree

from api.ubl.errors import ElementMissing, ElementTwice, UblFault, ValueRefused
from api.ubl.parsing import CAC, CBC, line_of, path_of, short_name, short_tag
from domain.decimals import FRACTION_DIGITS, WHOLE_DIGITS

_NAMESPACES = {"cac": CAC, "cbc": CBC}
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)", re.ASCII)  # XML Schema's decimal
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_SHOWN = 200  # of a value in a report; the file has the rest

Marks = set[tuple[etree._Element, str | None]]


class Unread(msgspec.Struct, frozen=True):
    """A value in the file that is not kept: where it is, and what it is, shortened."""

    path: str
    value: str


class Element:
    """One element. Each reading method marks what it returns; names are ``cbc:ID``, or a path of them.

    A step of a path that is there twice raises ElementTwice, whoever asks.
    """

    def __init__(self, node: etree._Element, file: str, marks: Marks) -> None:
        self._node = node
        self._file = file
        self._marks = marks

    def one(self, path: str) -> Element | None:
        """The element at *path*, None where there is none."""
        node = self._node
        for step in path.split("/"):
            found = node.findall(step, _NAMESPACES)
            if not found:
                return None
            if len(found) > 1:
                raise self._fault(ElementTwice, found[1], f"a second {step}", "one")
            node = found[0]
        return Element(node, self._file, self._marks)

    def the(self, path: str) -> Element:
        """The element at *path*; ElementMissing where there is none."""
        found = self.one(path)
        if found is None:
            raise self._fault(ElementMissing, self._node, f"no {path}", "one")
        return found

    def each(self, step: str) -> list[Element]:
        """The child elements of that name, in order."""
        return [Element(node, self._file, self._marks) for node in self._node.findall(step, _NAMESPACES)]

    def text(self, of: Any = str) -> str:
        """Its own value, without blanks around it, as what the type *of* allows."""
        value = self._own()
        if not value:
            raise self._fault(ElementMissing, self._node, "nothing", "a value")
        return self._checked(value, of)

    def value(self, path: str, of: Any = str) -> str | None:
        """The value at *path*, without blanks around it; None where there is none or it is empty."""
        found = self.one(path)
        return found.text(of) if found is not None and found.has_text else None

    def the_value(self, path: str, of: Any = str) -> str:
        """The value at *path*; ElementMissing where there is none."""
        return self.the(path).text(of)

    def attribute(self, name: str, of: Any = str) -> str | None:
        """The attribute's value; None where there is none or it is empty."""
        self._marks.add((self._node, name))
        value = (self._node.get(name) or "").strip()
        return self._checked(value, of) if value else None

    def the_attribute(self, name: str, of: Any = str) -> str:
        """The attribute's value; ElementMissing where there is none."""
        value = self.attribute(name, of)
        if value is None:
            raise self._fault(ElementMissing, self._node, f"no attribute {name}", "one")
        return value

    def decimal(self, path: str) -> Decimal | None:
        """The number at *path*."""
        found = self.one(path)
        return found.as_decimal() if found is not None and found.has_text else None

    def amount(self, path: str, currency: str) -> Decimal | None:
        """The amount at *path*, which must be in *currency*."""
        found = self.one(path)
        return found.as_amount(currency) if found is not None and found.has_text else None

    def date(self, path: str) -> dt.date | None:
        """The date at *path*."""
        found = self.one(path)
        return found.as_date() if found is not None and found.has_text else None

    def as_date(self) -> dt.date:
        """Its own value as a date of the calendar, without a time zone."""
        text = self.text()
        try:
            day = dt.date.fromisoformat(text) if _DATE.fullmatch(text) else None
        except ValueError:
            day = None
        return day or self.refuse(repr(text[:_SHOWN]), "a date such as 2026-03-31")

    def as_decimal(self) -> Decimal:
        """Its own value as a number: XML Schema's decimal, within the digits that we keep."""
        text = self.text()
        limits = f"a decimal of at most {WHOLE_DIGITS} digits before the point and {FRACTION_DIGITS} after it"
        if not _DECIMAL.fullmatch(text):
            self.refuse(repr(text[:_SHOWN]), limits)
        whole, _, fraction = text.lstrip("+-").partition(".")
        whole = whole.lstrip("0") or "0"
        if len(fraction) > FRACTION_DIGITS:
            fraction = fraction.rstrip("0").ljust(FRACTION_DIGITS, "0")
        if len(whole) > WHOLE_DIGITS or len(fraction) > FRACTION_DIGITS:
            self.refuse(repr(text[:_SHOWN]), limits)
        value = Decimal(f"{whole}.{fraction}" if fraction else whole)
        return -value if text.startswith("-") and value else value

    def as_amount(self, currency: str) -> Decimal:
        """Its own value as an amount, which must be in *currency*."""
        stated = self.the_attribute("currencyID")
        if stated != currency:
            self.refuse(f"an amount in {stated}", f"one in {currency}")
        return self.as_decimal()

    def as_yes_or_no(self) -> bool:
        """Its own value as XML Schema's boolean."""
        text = self.text()
        if text not in ("true", "false", "1", "0"):
            self.refuse(repr(text[:_SHOWN]), "true or false")
        return text in ("true", "1")

    def refuse(self, found: str, expected: str, fault: type[UblFault] = ValueRefused) -> NoReturn:
        """Raise *fault* for this element."""
        raise self._fault(fault, self._node, found, expected)

    def peek(self, path: str) -> str | None:
        """The first value at *path* without marking it, for whoever decides by it what to read."""
        found = self._node.find(path, _NAMESPACES)
        return (found.text or "").strip() or None if found is not None else None

    def peek_attribute(self, name: str) -> str | None:
        """The attribute's value without marking it."""
        return self._node.get(name)

    @property
    def has_text(self) -> bool:
        """Whether it has a value of its own."""
        return bool((self._node.text or "").strip())

    def _own(self) -> str:
        self._marks.add((self._node, None))
        return (self._node.text or "").strip()

    def _checked(self, value: str, of: Any) -> str:
        try:
            checked: str = msgspec.convert(value, of)
        except msgspec.ValidationError as error:
            said = str(error)
            expected = said.removeprefix("Expected ") if said.startswith("Expected ") else "a code of the list"
            raise self._fault(ValueRefused, self._node, repr(value[:_SHOWN]), expected.replace("`", "")) from error
        return checked

    def _fault(self, fault: type[UblFault], node: etree._Element, found: str, expected: str) -> UblFault:
        return fault(self._file, line_of(node), path_of(node), found, expected)


def unread(root: etree._Element, marks: Marks) -> tuple[Unread, ...]:
    """Every value and attribute in the file that is not marked, in its order, instructions to readers among them."""
    aside = [node for node in root.itersiblings(preceding=True) if isinstance(node, etree._ProcessingInstruction)]
    found = [Unread("/processing-instruction()", f"{node.target!s} {node.text or ''}"[:_SHOWN]) for node in aside]
    found += _unread_below(root, f"/{short_name(root)}", marks)
    return tuple(found)


def _unread_below(node: etree._Element, path: str, marks: Marks) -> list[Unread]:
    found = []
    text = (node.text or "").strip()
    if text and (node, None) not in marks:
        found.append(Unread(path, text[:_SHOWN]))
    for name, value in node.attrib.items():
        if (node, name) not in marks and value.strip():
            found.append(Unread(f"{path}/@{short_tag(str(name))}", str(value)[:_SHOWN]))
    children = list(node.iterchildren("*"))
    names = Counter(child.tag for child in children)
    places: Counter[Any] = Counter()
    for child in children:
        places[child.tag] += 1
        place = f"[{places[child.tag]}]" if names[child.tag] > 1 else ""
        found += _unread_below(child, f"{path}/{short_name(child)}{place}", marks)
    return found
