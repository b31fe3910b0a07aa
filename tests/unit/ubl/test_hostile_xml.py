"""XML that was made to do harm is refused, for a reason that says where; nothing but its own bytes is read."""

from __future__ import annotations

import base64
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.ubl import read_ubl
from api.ubl.errors import (
    ContentMisplaced,
    DoctypeFound,
    ElementTwice,
    ForeignElement,
    NotAnInvoice,
    NotUtf8,
    NotWellFormed,
    TooLarge,
    TotalDiffers,
    UblError,
    ValueRefused,
    ValueSplit,
)
from tests.ubl_documents import SELLER, Sale, attachment, credit_note, element, invoice, party

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'


def with_doctype(inside: str, value: str = "") -> bytes:
    """An invoice under a document type, which names *value* as its buyer's reference."""
    data = invoice(prolog=f"{DECLARATION}<!DOCTYPE Invoice [{inside}]>", after_currency="<cbc:BuyerReference/>")
    return data.replace(b"<cbc:BuyerReference/>", f"<cbc:BuyerReference>{value}</cbc:BuyerReference>".encode())


@contextmanager
def listening() -> Iterator[tuple[int, list[object]]]:
    """A port on loopback, and the connections that came to it."""
    came: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]

        def accept() -> None:
            while True:
                try:
                    connection, address = server.accept()
                except OSError:
                    return
                connection.close()
                came.append(address)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield port, came
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def billion_laughs() -> str:
    levels = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    return '<!ENTITY l0 "ha">' + levels


@pytest.mark.parametrize(
    ("inside", "value"),
    [
        pytest.param(billion_laughs(), "&l9;", id="X01 billion laughs"),
        pytest.param(f'<!ENTITY long "{"a" * 50_000}">', "&long;" * 1000, id="X02 quadratic blow-up"),
        pytest.param('<!ENTITY one "harmless">', "none used", id="an entity that nobody uses"),
        pytest.param("", "nothing inside", id="an empty document type"),
    ],
)
def test_x01_x02_entities_are_refused_on_sight_of_a_document_type(inside: str, value: str) -> None:
    with pytest.raises(DoctypeFound, match="no document type declaration"):
        read_ubl(with_doctype(inside, value), name="x.xml")


@pytest.mark.parametrize("scheme", ["file", "http", "ftp", "UNC"])
@pytest.mark.parametrize("kind", ["X03 external entity", "X04 parameter entity", "X05 external document type"])
def test_x03_x04_x05_nothing_outside_the_file_is_read(kind: str, scheme: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary.txt"
    canary.write_text("canary")
    with listening() as (port, came):
        address = {
            "file": canary.as_uri(),
            "http": f"http://127.0.0.1:{port}/x",
            "ftp": f"ftp://127.0.0.1:{port}/x",
            "UNC": rf"\\127.0.0.1@{port}\x",
        }[scheme]
        data = {
            "X03 external entity": with_doctype(f'<!ENTITY e SYSTEM "{address}">', "&e;"),
            "X04 parameter entity": with_doctype(f'<!ENTITY % e SYSTEM "{address}"> %e;'),
            "X05 external document type": invoice(prolog=f'{DECLARATION}<!DOCTYPE Invoice SYSTEM "{address}">'),
        }[kind]

        with pytest.raises(DoctypeFound) as refused:
            read_ubl(data, name="x.xml")

    assert came == []
    assert "canary" not in str(refused.value).replace("canary.txt", "")


def test_x06_xinclude_is_not_followed_but_refused(tmp_path: Path) -> None:
    canary = tmp_path / "canary.txt"
    canary.write_text("canary")
    include = f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="{canary.as_uri()}" parse="text"/>'

    with pytest.raises(ForeignElement, match="XInclude"):
        read_ubl(invoice(before_parties=include), name="x.xml")


def test_x06_a_stylesheet_and_a_schema_location_are_listed_and_never_followed() -> None:
    with listening() as (port, came):
        address = f"http://127.0.0.1:{port}/x"
        data = invoice(prolog=f'{DECLARATION}<?xml-stylesheet href="{address}.xsl"?>').replace(
            b" xmlns:cac",
            b' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="urn:x '
            + address.encode()
            + b'.xsd" xmlns:cac',
            1,
        )

        document = read_ubl(data, name="x.xml")

    assert came == []
    assert [(one.path, one.value) for one in document.unread] == [
        ("/processing-instruction()", f'xml-stylesheet href="{address}.xsl"'),
        ("/Invoice/@xsi:schemaLocation", f"urn:x {address}.xsd"),
    ]


@pytest.mark.parametrize("depth", [65, 257, 100_000])
@pytest.mark.parametrize("tag", ["cac:Party", "ext:UBLExtensions"])
def test_x07_elements_in_elements_without_end_are_refused(depth: int, tag: str) -> None:
    nested = f"<{tag}>" * depth + f"</{tag}>" * depth
    data = invoice(before_currency=nested).replace(
        b" xmlns:cac",
        b' xmlns:ext="urn:oasis:names:specification:ubl:schema:xsd:CommonExtensionComponents-2" xmlns:cac',
        1,
    )

    with pytest.raises((TooLarge, NotWellFormed)):
        read_ubl(data, name="x.xml")


def test_x07_too_many_attributes_are_refused() -> None:
    attributes = " ".join(f'a{n}="1"' for n in range(200_000))

    with pytest.raises((TooLarge, NotWellFormed)):
        read_ubl(invoice(before_currency=f"<cbc:UBLVersionID {attributes}>2.1</cbc:UBLVersionID>"), name="x.xml")


def test_x07_a_text_of_eleven_megabytes_is_refused() -> None:
    with pytest.raises((TooLarge, NotWellFormed)):
        read_ubl(invoice(before_currency=element("Note", "a" * 11_000_000)), name="x.xml")


def test_x07_a_file_of_more_bytes_than_any_invoice_is_refused_unparsed() -> None:
    with pytest.raises(TooLarge, match="at most 33,554,432"):
        read_ubl(b" " * (32 << 20) + invoice(), name="x.xml")


@pytest.mark.parametrize(
    "encode",
    [
        pytest.param(lambda text: text.replace("UTF-8", "UTF-7").encode("utf-7"), id="UTF-7, as it says"),
        pytest.param(lambda text: text.replace("UTF-8", "UTF-7").encode(), id="UTF-8 that says UTF-7"),
        pytest.param(lambda text: text.encode("utf-16"), id="UTF-16 that says UTF-8"),
        pytest.param(lambda text: text.replace("UTF-8", "UTF-16").encode("utf-16"), id="UTF-16, as it says"),
        pytest.param(lambda text: text.encode("utf-16-le"), id="UTF-16 without a mark"),
        pytest.param(lambda text: text.encode("utf-32"), id="UTF-32"),
        pytest.param(lambda text: text.replace("UTF-8", "cp037").encode("cp037"), id="EBCDIC"),
        pytest.param(lambda text: text.replace("UTF-8", "ISO-8859-1").encode("latin-1"), id="Latin-1, as it says"),
        pytest.param(lambda text: text.encode("latin-1"), id="Latin-1 that says UTF-8"),
        pytest.param(lambda text: text.replace("UTF-8", "UTF-8 x").encode(), id="an encoding of no name"),
    ],
)
def test_x08_only_utf_8_is_read(encode: Callable[[str], bytes]) -> None:
    with pytest.raises((NotUtf8, NotWellFormed)) as refused:
        read_ubl(encode(invoice(buyer=party("Café")).decode()), name="x.xml")

    assert isinstance(refused.value, NotUtf8)


def test_x08_utf_8_may_begin_with_its_mark_and_need_not_say_so() -> None:
    assert read_ubl(b"\xef\xbb\xbf" + invoice(), name="x.xml").number == "2026-00001"
    assert read_ubl(invoice(prolog=""), name="x.xml").number == "2026-00001"


@pytest.mark.parametrize("split", ["<!-- -->", "<?x y?>", "<![CDATA[0]]>", "<![CDATA[]]>"])
def test_x09_a_value_with_something_inside_it_is_refused(split: str) -> None:
    data = invoice(sales=[Sale(price="100.00")]).replace(b">100.00</cbc:PriceA", f">10{split}0.00</cbc:PriceA".encode())

    with pytest.raises(ValueSplit):
        read_ubl(data, name="x.xml")


def test_x09_a_comment_between_elements_says_nothing() -> None:
    assert read_ubl(invoice(before_parties="<!-- <cbc:ID>other</cbc:ID> -->"), name="x.xml").unread == ()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"<cbc:ID>2026-00001</cbc:ID>", b'<x:ID xmlns:x="urn:x">2026-00001</x:ID>'),
        (b"<cbc:ID>2026-00001</cbc:ID>", b"<ID>2026-00001</ID>"),
        (b"<cbc:ID>2026-00001</cbc:ID>", b'<ID xmlns="">2026-00001</ID>'),
        (b"xsd:CommonBasicComponents-2", b"xsd:CommonBasicComponents-3"),
        (b"<cac:LegalMonetaryTotal>", b'<cac:LegalMonetaryTotal xmlns:cbc="urn:x">'),
    ],
)
def test_x10_names_of_another_vocabulary_are_refused(before: bytes, after: bytes) -> None:
    data = invoice()
    assert before in data

    with pytest.raises(ForeignElement):
        read_ubl(data.replace(before, after, 1), name="x.xml")


def test_x10_another_prefix_for_ubls_own_vocabulary_is_read_alike() -> None:
    data = invoice().replace(b"cbc:", b"cac2:").replace(b"xmlns:cbc", b"xmlns:cac2")

    assert read_ubl(data, name="x.xml") == read_ubl(invoice(), name="x.xml")


@pytest.mark.parametrize(
    "root",
    [
        b"<Invoice/>",
        b'<Invoice xmlns="urn:oasis:names:specification:ubl:schema:xsd:CreditNote-2"/>',
        b'<Order xmlns="urn:oasis:names:specification:ubl:schema:xsd:Order-2"/>',
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    ],
)
def test_x10_another_document_is_refused_by_name(root: bytes) -> None:
    with pytest.raises(NotAnInvoice, match="CreditNote-2"):
        read_ubl(root, name="x.xml")


@pytest.mark.parametrize(
    "tag",
    [
        "cbc:ID",
        "cbc:IssueDate",
        "cbc:DocumentCurrencyCode",
        "cac:AccountingSupplierParty",
        "cac:LegalMonetaryTotal",
        "cac:TaxTotal",
    ],
)
def test_x10_a_second_one_of_what_there_is_one_of_is_refused(tag: str) -> None:
    data = invoice().decode()
    start = data.index(f"<{tag}")
    end = data.index(f"</{tag}>", start) + len(f"</{tag}>")

    with pytest.raises(ElementTwice):
        read_ubl((data[:end] + data[start:end] + data[end:]).encode(), name="x.xml")


@pytest.mark.parametrize("tag", ["PayableAmount", "TaxInclusiveAmount", "LineExtensionAmount", "PriceAmount"])
def test_x10_a_second_amount_is_refused_even_when_it_is_equal(tag: str) -> None:
    data = invoice().decode()
    start = data.index(f"<cbc:{tag}")
    end = data.index(f"</cbc:{tag}>", start) + len(f"</cbc:{tag}>")

    with pytest.raises(ElementTwice):
        read_ubl((data[:end] + data[start:end] + data[end:]).encode(), name="x.xml")


def test_x10_an_amount_is_computed_and_never_believed() -> None:
    with pytest.raises(TotalDiffers):
        read_ubl(invoice(sales=[Sale(price="100.00", amount="1.00")]), name="x.xml")


@pytest.mark.parametrize(
    "inside", ["<cac:Party>text</cac:Party>", "<cbc:Note><cbc:ID>1</cbc:ID></cbc:Note>", "text between"]
)
def test_text_and_elements_stand_where_they_belong(inside: str) -> None:
    with pytest.raises(ContentMisplaced):
        read_ubl(invoice(before_parties=inside), name="x.xml")


def test_x11_a_bomb_in_an_attachment_stays_packed() -> None:
    bomb = zlib.compress(bytes(5_000_000))
    document = read_ubl(invoice(before_parties=attachment("A1", bomb)), name="x.xml")

    assert document.attachments[0].data == bomb


def test_x11_an_attachment_beyond_the_limit_is_refused() -> None:
    with pytest.raises((TooLarge, NotWellFormed)):
        read_ubl(invoice(before_parties=attachment("A1", bytes(9_000_000))), name="x.xml")


@pytest.mark.parametrize("media_type", ["text/html", "image/svg+xml", "application/x-msdownload", "pdf", "a/b\r\nX: y"])
def test_x11_an_attachment_of_a_type_that_no_invoice_has_is_refused(media_type: str) -> None:
    with pytest.raises(ValueRefused):
        read_ubl(invoice(before_parties=attachment("A1", b"x", media_type=media_type)), name="x.xml")


@pytest.mark.parametrize(
    ("stated", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\system32\\plan.pdf", "plan.pdf"),
        ("/tmp/plan.pdf", "plan.pdf"),
        ("plan\u202efdp.exe", "planfdp.exe"),
    ],
)
def test_x11_of_a_path_only_the_name_is_kept_and_the_rest_listed(stated: str, kept: str) -> None:
    document = read_ubl(invoice(before_parties=attachment("A1", b"x", name=stated)), name="x.xml")

    assert document.attachments[0].name == kept
    assert [one.value for one in document.unread] == [stated]


@pytest.mark.parametrize("name", ["", "..", ".", "a/", "\\", "x" * 256])
def test_x11_a_file_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueRefused, match="file name"):
        read_ubl(invoice(before_parties=attachment("A1", b"x", name=name)), name="x.xml")


@pytest.mark.parametrize("text", ["not base64!", "QUJ", "QUJD=QUJD", "data:text/html,x"])
def test_x11_an_attachment_that_is_not_base64_is_refused(text: str) -> None:
    good = base64.b64encode(b"ABC").decode().encode()

    with pytest.raises(ValueRefused, match="base64"):
        read_ubl(invoice(before_parties=attachment("A1", b"ABC")).replace(good, text.encode()), name="x.xml")


def test_x11_two_files_under_one_reference_are_refused() -> None:
    with pytest.raises(ElementTwice):
        read_ubl(invoice(before_parties=attachment("A1", b"1") + attachment("A1", b"2")), name="x.xml")


@pytest.mark.parametrize(
    "name", ["R&D <Zürich>", "a]]>b", "Smile 😀 नमस्ते", "\"quoted\" 'both'", "</cbc:Name>", "&amp;"]
)
def test_x12_any_text_that_xml_can_carry_is_read_back_equal(name: str) -> None:
    assert read_ubl(invoice(sales=[Sale(name=name)]), name="x.xml").lines[0].name == name


@pytest.mark.parametrize(
    "data", [b"", b" ", b"<", b"<Invoice", b"%PDF-1.7", b"{}", b"\xff\xfe", b"\0" * 10, b"PK\x03\x04"]
)
def test_what_is_no_xml_is_refused_as_such(data: bytes) -> None:
    with pytest.raises((NotWellFormed, NotUtf8)) as refused:
        read_ubl(data, name="x.xml")

    assert str(refused.value).startswith("x.xml line 1")


def test_every_cut_of_a_file_is_refused_and_nothing_else_happens() -> None:
    data = credit_note(seller=SELLER)

    for end in range(0, len(data) - 1, 7):
        with pytest.raises(UblError):
            read_ubl(data[:end], name="x.xml")


def test_every_byte_taken_out_is_read_or_refused_and_nothing_else_happens() -> None:
    data = invoice()
    refusals = []

    for at in range(0, len(data), 3):
        try:
            read_ubl(data[:at] + data[at + 1 :], name="x.xml")
        except UblError as refused:
            refusals.append(str(refused))

    assert len(refusals) > 100
    assert all(refusal.startswith("x.xml line ") for refusal in refusals)


@pytest.mark.parametrize("elements", [300_000, 400_000])
def test_x07_more_elements_than_any_invoice_has_are_refused_unparsed(elements: int) -> None:
    with pytest.raises(TooLarge, match="300,000 elements"):
        read_ubl(invoice(before_currency="<cbc:Note>a</cbc:Note>" * elements), name="x.xml")


@pytest.mark.parametrize("at", [0, 1, 2, 3, 1_000])
def test_x08_a_character_cut_anywhere_is_found_where_it_is(at: int) -> None:
    data = b"<a>" + b"a" * ((1 << 20) - 6 + at) + "😀".encode()[:3] + b"</a>"

    with pytest.raises(NotUtf8, match=f"0xf0 at {(1 << 20) - 3 + at:,}"):
        read_ubl(data, name="x.xml")
