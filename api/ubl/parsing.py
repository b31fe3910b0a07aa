"""XML from strangers, parsed so that nothing but its bytes is read and two readers cannot disagree on what it says.

No document type, hence no entities; no network; UTF-8 only; bounded size, depth and attributes; UBL's own vocabulary
only, but for extensions; no comment, CDATA section or instruction inside a value.
"""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from typing import NoReturn

from lxml import etree

from api.ubl.errors import (
    ContentMisplaced,
    DoctypeFound,
    ForeignElement,
    NotAnInvoice,
    NotUtf8,
    NotWellFormed,
    TooLarge,
    UblFault,
    ValueSplit,
)
from domain.kinds import Kind

CAC = "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"
CBC = "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2"
EXT = "urn:oasis:names:specification:ubl:schema:xsd:CommonExtensionComponents-2"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
PREFIXES = {CAC: "cac", CBC: "cbc", EXT: "ext", XSI: "xsi"}
_KINDS = {Kind.INVOICE: "Invoice", Kind.CREDIT_NOTE: "CreditNote"}
ROOTS = {f"{{urn:oasis:names:specification:ubl:schema:xsd:{name}-2}}{name}": kind for kind, name in _KINDS.items()}

SIZE_LIMIT_BYTES = 32 << 20  # libxml2 itself refuses a text of more than 10 MB, an attachment of some 7 MB
DEPTH_LIMIT = 64  # an invoice is about 10 deep
ATTRIBUTES_LIMIT = 32  # UBL's richest type has 9
ELEMENTS_LIMIT = 300_000  # some 6,000 lines: more would not fit a line of the timeline
_PIECE_BYTES = 1 << 20

_DECLARATION = re.compile(rb"""<\?xml[^>]*?encoding\s*=\s*["']([^"']*)["']""")


def parse(data: bytes, *, name: str) -> etree._Element:
    """The root of the Invoice or CreditNote in *data*; *name* is what errors call the file. Raises a UblFault."""
    _check_bytes(data, name)
    # A parser of its own for every file: lxml's are not to be shared between threads.
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        no_network=True,
        huge_tree=False,
        recover=False,
        remove_comments=False,
        remove_pis=False,
    )
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise NotWellFormed(name, error.lineno or 1, "/", str(error.msg), "well-formed XML") from error
    _check_tree(root, name)
    return root


def line_of(node: etree._Element) -> int:
    """The line of the file that *node* begins on."""
    line: int | None = getattr(node, "sourceline", None)
    return line or 1


def kind_of(root: etree._Element) -> Kind:
    """Whether it is an invoice or a credit note, by the name of its root."""
    return ROOTS[str(root.tag)]


def path_of(node: etree._Element) -> str:
    """Where *node* is, as ``/Invoice/cac:InvoiceLine[2]/cbc:ID``; counted only among several of one name."""
    steps = []
    step: etree._Element | None = node
    while step is not None:
        steps.append(short_name(step) + _place(step))
        step = step.getparent()
    return "/" + "/".join(reversed(steps))


def short_name(node: etree._Element) -> str:
    """The element's name under the prefix that UBL's documentation gives its namespace."""
    if isinstance(node, etree._Comment):
        return "comment()"
    return "processing-instruction()" if isinstance(node, etree._ProcessingInstruction) else short_tag(str(node.tag))


def short_tag(tag: str) -> str:
    """``{namespace}Name`` as ``prefix:Name``; a name of the root's namespace or of an unknown one stands alone."""
    namespace, _, local = tag.rpartition("}")
    prefix = PREFIXES.get(namespace[1:])
    return f"{prefix}:{local}" if prefix else local


def _place(node: etree._Element) -> str:
    parent = node.getparent()
    if parent is None or isinstance(node, etree._Comment | etree._ProcessingInstruction):
        return ""
    alike = parent.findall(str(node.tag))
    return f"[{alike.index(node) + 1}]" if len(alike) > 1 else ""


def _check_bytes(data: bytes, name: str) -> None:
    if len(data) > SIZE_LIMIT_BYTES:
        raise TooLarge(name, 1, "/", f"{len(data):,} bytes", f"at most {SIZE_LIMIT_BYTES:,}")
    declared = _DECLARATION.match(data.removeprefix(b"\xef\xbb\xbf"))
    if declared and declared.group(1).lower() != b"utf-8":
        raise NotUtf8(name, 1, "/", f"encoding {declared.group(1).decode('ascii', 'replace')!r}", "UTF-8")
    _check_utf8(data, name)
    if (at := data.find(b"\0")) >= 0:
        raise NotUtf8(name, data.count(b"\n", 0, at) + 1, "/", f"a NUL byte at {at:,}", "UTF-8")
    # On sight, even inside a comment: no invoice has these words by chance.
    if (at := data.find(b"<!DOCTYPE")) >= 0:
        raise DoctypeFound(name, data.count(b"\n", 0, at) + 1, "/", "<!DOCTYPE", "no document type declaration")
    if (at := data.find(b"<![CDATA[")) >= 0:
        raise ValueSplit(name, data.count(b"\n", 0, at) + 1, "/", "a CDATA section", "plain text with &amp; and &lt;")
    # Before it is parsed: in the parser's memory an element is fifty times as long as it is written.
    if (tags := data.count(b"<")) > 2 * ELEMENTS_LIMIT + 2:
        raise TooLarge(name, 1, "/", f"{tags:,} tags", f"at most {ELEMENTS_LIMIT:,} elements")


def _check_utf8(data: bytes, name: str) -> None:
    """That *data* is UTF-8; by pieces, as one character of four bytes makes a text of four bytes for each."""
    decoder = getincrementaldecoder("utf-8")()
    for start in range(0, len(data), _PIECE_BYTES):
        before = start - len(decoder.getstate()[0])
        end = start + _PIECE_BYTES
        try:
            decoder.decode(data[start:end], final=end >= len(data))
        except UnicodeDecodeError as error:
            at = before + error.start
            line = data.count(b"\n", 0, at) + 1
            raise NotUtf8(name, line, "/", f"byte {data[at]:#04x} at {at:,}", "UTF-8") from error


def _check_tree(root: etree._Element, name: str) -> None:
    if root.tag not in ROOTS:
        _fail(NotAnInvoice, name, root, f"<{root.tag}>", " or ".join(f"<{tag}>" for tag in ROOTS))
    depth = elements = 0
    inside_extension: etree._Element | None = None
    for event, node in etree.iterwalk(root, events=("start", "end", "comment", "pi")):
        if event == "start":
            depth += 1
            elements += 1
            _check_sizes(node, name, depth=depth, elements=elements)
            if inside_extension is None:
                _check_element(node, root, name)
                if str(node.tag).startswith(f"{{{EXT}}}"):
                    inside_extension = node
        elif event == "end":
            depth -= 1
            if node is inside_extension:
                inside_extension = None
        elif inside_extension is None:
            _check_aside(node, name)


def _check_sizes(node: etree._Element, name: str, *, depth: int, elements: int) -> None:
    if depth > DEPTH_LIMIT:
        _fail(TooLarge, name, node, f"elements {depth} deep", f"at most {DEPTH_LIMIT}")
    if elements > ELEMENTS_LIMIT:
        _fail(TooLarge, name, node, f"{elements:,} elements", f"at most {ELEMENTS_LIMIT:,}")
    if len(node.attrib) > ATTRIBUTES_LIMIT:
        _fail(TooLarge, name, node, f"{len(node.attrib):,} attributes", f"at most {ATTRIBUTES_LIMIT}")


def _check_element(node: etree._Element, root: etree._Element, name: str) -> None:
    """Values hold text, everything else holds elements, and all of them are UBL's."""
    tag = str(node.tag)
    if node is not root and not tag.startswith((f"{{{CAC}}}", f"{{{CBC}}}", f"{{{EXT}}}")):
        _fail(ForeignElement, name, node, f"<{tag}>", "an element of UBL's cac or cbc namespace")
    parent = node.getparent()
    if parent is not None and str(parent.tag).startswith(f"{{{CBC}}}"):
        _fail(ContentMisplaced, name, parent, f"<{short_name(node)}> inside a value", "text only")
    if not tag.startswith((f"{{{CBC}}}", f"{{{EXT}}}")):
        texts = [node.text, *(child.tail for child in node)]
        stray = next((text.strip() for text in texts if text and text.strip()), None)
        if stray:
            _fail(ContentMisplaced, name, node, f"the text {stray[:40]!r} among elements", "elements only")


def _check_aside(node: etree._Element, name: str) -> None:
    parent = node.getparent()
    if isinstance(node, etree._Entity):
        _fail(DoctypeFound, name, node, "an entity reference", "no entities")
    if parent is not None and str(parent.tag).startswith(f"{{{CBC}}}"):
        what = "a comment" if isinstance(node, etree._Comment) else "a processing instruction"
        _fail(ValueSplit, name, parent, f"{what} inside the value", "the value alone")


def _fail(fault: type[UblFault], name: str, node: etree._Element, found: str, expected: str) -> NoReturn:
    raise fault(name, line_of(node), path_of(node), found, expected)
