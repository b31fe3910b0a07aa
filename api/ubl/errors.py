"""What can be wrong with a UBL file. Each leaf says in which file, at which line and element, and what would be right.

::

    UblError
    ├── UblFault                something in the file, at a line and an element
    │   ├── TooLarge            more of something than any invoice holds
    │   ├── NotUtf8             another encoding than UTF-8
    │   ├── DoctypeFound        a document type declaration: the door to entities and files
    │   ├── NotWellFormed       not XML
    │   ├── NotAnInvoice        XML, but neither an Invoice nor a CreditNote of UBL 2
    │   ├── ForeignElement      an element of another vocabulary
    │   ├── ValueSplit          a comment, CDATA or instruction inside a value
    │   ├── ContentMisplaced    text among elements, or an element inside a value
    │   ├── ElementTwice        a second one of what there is one of
    │   ├── ElementMissing      what an invoice cannot do without
    │   ├── ValueRefused        a value that its element cannot have
    │   └── TotalDiffers        an amount that the file's own figures do not come to
    └── ImportRefused           the file is sound, but this account does not take it
        ├── CompanyUnknown      the account's company has no details to compare the supplier with
        ├── SupplierIsAnother   the supplier is not the account's company
        └── NumberThere         the account has a document of that kind and number already
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from domain.errors import CounterfoilError


class UblError(CounterfoilError):
    """A UBL file cannot be imported."""

    code: ClassVar[str] = "ubl.refused"


@dataclass(eq=False)
class UblFault(UblError):
    """Something in the file is wrong: at *line* of *file*, in the element at *path*."""

    code: ClassVar[str] = "ubl.fault"
    file: str
    line: int
    path: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.file} line {self.line:,}, {self.path}: found {self.found}; expected {self.expected}"


class TooLarge(UblFault):
    """There is more of something than any invoice holds."""

    code: ClassVar[str] = "ubl.too-large"


class NotUtf8(UblFault):
    """The file is in, or says that it is in, another encoding than UTF-8."""

    code: ClassVar[str] = "ubl.not-utf8"


class DoctypeFound(UblFault):
    """The file has a document type declaration, which UBL never needs and attacks do."""

    code: ClassVar[str] = "ubl.doctype"


class NotWellFormed(UblFault):
    """The file is not XML."""

    code: ClassVar[str] = "ubl.not-well-formed"


class NotAnInvoice(UblFault):
    """The file is XML, but neither an Invoice nor a CreditNote of UBL 2."""

    code: ClassVar[str] = "ubl.not-an-invoice"


class ForeignElement(UblFault):
    """An element is of another vocabulary than UBL's, whatever its name looks like."""

    code: ClassVar[str] = "ubl.foreign-element"


class ValueSplit(UblFault):
    """A comment, CDATA section or processing instruction is inside a value: readers would disagree on what it says."""

    code: ClassVar[str] = "ubl.value-split"


class ContentMisplaced(UblFault):
    """Text stands among elements, or an element inside a value."""

    code: ClassVar[str] = "ubl.content-misplaced"


class ElementTwice(UblFault):
    """There is a second one of what there can be one of: readers would disagree on which counts."""

    code: ClassVar[str] = "ubl.element-twice"


class ElementMissing(UblFault):
    """What an invoice cannot do without is not there."""

    code: ClassVar[str] = "ubl.element-missing"


class ValueRefused(UblFault):
    """A value is not one that its element can have."""

    code: ClassVar[str] = "ubl.value-refused"


class TotalDiffers(UblFault):
    """An amount is not what the file's own figures come to."""

    code: ClassVar[str] = "ubl.total-differs"

    def __str__(self) -> str:
        return f"{self.file} line {self.line:,}, {self.path}: stated {self.found}; the figures come to {self.expected}"


class ImportRefused(UblError):
    """The file is sound, but this account does not take it."""

    code: ClassVar[str] = "ubl.import-refused"


@dataclass(eq=False)
class CompanyUnknown(ImportRefused):
    """The account's company has no details to compare the supplier with."""

    code: ClassVar[str] = "ubl.company-unknown"
    file: str
    supplier: str
    hint = "give the account its company's name and VAT identifier, or say that any supplier will do (--any-supplier)"

    def __str__(self) -> str:
        return f"{self.file}: the supplier is {self.supplier}; the account does not say which company it is"


@dataclass(eq=False)
class SupplierIsAnother(ImportRefused):
    """The supplier is not the account's company."""

    code: ClassVar[str] = "ubl.supplier-is-another"
    file: str
    found: str
    expected: str
    hint = "to import it all the same, with its own seller on it, say that any supplier will do (--any-supplier)"

    def __str__(self) -> str:
        return f"{self.file}: found the supplier {self.found}; expected the account's company, {self.expected}"


@dataclass(eq=False)
class NumberThere(ImportRefused):
    """The account has a document of that kind and number already."""

    code: ClassVar[str] = "ubl.number-there"
    file: str
    kind: str
    number: str

    def __str__(self) -> str:
        return (
            f"{self.file}: {self.kind} {self.number!r} is there already; "
            f"expected a number that no {self.kind} of the account has"
        )
