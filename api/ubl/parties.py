"""Parties of a UBL file: seller, buyer, payee, tax representative, and the addresses of all."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from api.ubl.element import Element
from api.ubl.errors import ElementTwice
from domain.codes import Country
from domain.parties import Address, Contact, Identifier, Name, Party, Reference, Text

_Scheme = Annotated[str, Meta(max_length=20)]
_PostCode = Annotated[str, Meta(max_length=40)]
_LegalForm = Annotated[str, Meta(max_length=1000)]
_SEPA = "SEPA"  # the scheme that says a party's identifier is the creditor's (BT-90)
_VAT = "VAT"
_OTHER_TAX = "TAX"  # what EN 16931 calls any tax scheme but VAT


def read_party(party: Element) -> Party:
    """The party: its name is the registered one (BT-27, BT-44), else the one it trades under (BT-59, BT-62)."""
    legal = party.one("cac:PartyLegalEntity")
    trading_name = party.value("cac:PartyName/cbc:Name", Name)
    registered = legal.value("cbc:RegistrationName", Name) if legal else None
    if registered is None and trading_name is None:
        party.the("cac:PartyLegalEntity").the("cbc:RegistrationName")
    vat_identifier, tax_registration = _tax_numbers(party)
    address = party.one("cac:PostalAddress")
    return Party(
        name=registered or trading_name or "",
        trading_name=trading_name if registered else None,
        identifiers=tuple(
            identifier
            for one in party.each("cac:PartyIdentification")
            if not _is_creditor(one) and (identifier := read_identifier(one, "cbc:ID"))
        ),
        legal_registration=read_identifier(legal, "cbc:CompanyID") if legal else None,
        vat_identifier=vat_identifier,
        tax_registration=tax_registration,
        legal_form=legal.value("cbc:CompanyLegalForm", _LegalForm) if legal else None,
        electronic_address=read_identifier(party, "cbc:EndpointID"),
        address=read_address(address) if address else None,
        contact=_contact(party),
    )


def read_creditor_identifier(*parties: Element | None) -> str | None:
    """The bank's identifier of who is paid (BT-90): the first of the *parties* that has one says it."""
    for party in parties:
        for one in party.each("cac:PartyIdentification") if party else []:
            if _is_creditor(one):
                one.the("cbc:ID").attribute("schemeID")
                return one.the_value("cbc:ID", Reference)
    return None


def read_identifier(parent: Element, path: str) -> Identifier | None:
    """The identifier at *path* with its scheme."""
    found = parent.one(path)
    if found is None or not found.has_text:
        return None
    return Identifier(scheme=found.attribute("schemeID", _Scheme), value=found.text(Reference))


def read_address(address: Element) -> Address:
    """A postal address (BG-5, BG-8, BG-12, BG-15): its country is all that must be there."""
    paths = ("cbc:StreetName", "cbc:AdditionalStreetName", "cac:AddressLine/cbc:Line")
    return Address(
        lines=tuple(line for path in paths if (line := address.value(path, Text))),
        city=address.value("cbc:CityName", Text),
        post_code=address.value("cbc:PostalZone", _PostCode),
        subdivision=address.value("cbc:CountrySubentity", Text),
        country=address.the_value("cac:Country/cbc:IdentificationCode", Country),
    )


def _is_creditor(identification: Element) -> bool:
    identifier = identification.one("cbc:ID")
    return identifier is not None and identifier.peek_attribute("schemeID") == _SEPA


def _contact(party: Element) -> Contact | None:
    contact = party.one("cac:Contact")
    if contact is None:
        return None
    name, phone = contact.value("cbc:Name", Text), contact.value("cbc:Telephone", Text)
    email = contact.value("cbc:ElectronicMail", Text)
    return Contact(name=name, phone=phone, email=email) if name or phone or email else None


def _tax_numbers(party: Element) -> tuple[str | None, str | None]:
    """The VAT identifier (BT-31, BT-48, BT-63) and the seller's other tax registration (BT-32)."""
    numbers: dict[bool, str] = {}
    for scheme in party.each("cac:PartyTaxScheme"):
        name = scheme.peek("cac:TaxScheme/cbc:ID")
        if name is None:
            scheme.the_value("cac:TaxScheme/cbc:ID")
        if name in (_VAT, _OTHER_TAX):
            scheme.the_value("cac:TaxScheme/cbc:ID")
        number = scheme.value("cbc:CompanyID", Reference)
        if number is None:
            continue
        is_vat = name == _VAT
        if is_vat in numbers:
            scheme.refuse(f"a second number under {name}: {number!r}", "one VAT identifier and one other", ElementTwice)
        numbers[is_vat] = number
    return numbers.get(True), numbers.get(False)
