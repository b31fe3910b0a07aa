"""The dealer's customers, made up: people and firms in Belgium's three languages, and some abroad.

VAT and bank numbers have right checksums, as the commands demand, and belong to nobody that we know of.
"""

from __future__ import annotations

import re
import unicodedata
from random import Random
from typing import Any, NamedTuple

from stdnum import luhn
from stdnum.be import vat as belgian_vat
from stdnum.iso7064 import mod_11_10
from stdnum.lu import tva as luxembourg_vat

_LETTERS_AS_NUMBERS = {letter: str(number) for number, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 10)}


class Region(NamedTuple):
    """Where customers of one language live and what they are called."""

    country: str
    language: str
    weight: int
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    streets: tuple[str, ...]
    cities: tuple[tuple[str, str], ...]
    trades: tuple[str, ...]
    legal_forms: tuple[str, ...]


REGIONS: tuple[Region, ...] = (
    Region(
        "BE",
        "nl",
        62,
        (
            "An",
            "Bram",
            "Els",
            "Femke",
            "Geert",
            "Hilde",
            "Ines",
            "Joris",
            "Karel",
            "Lotte",
            "Maarten",
            "Nele",
            "Pieter",
            "Ruth",
            "Saar",
            "Tom",
            "Veerle",
            "Wout",
        ),
        (
            "Aerts",
            "Bogaert",
            "Claes",
            "De Backer",
            "De Smet",
            "Goossens",
            "Hermans",
            "Jacobs",
            "Lemmens",
            "Maes",
            "Mertens",
            "Peeters",
            "Segers",
            "Van Damme",
            "Van den Broeck",
            "Verhaegen",
            "Wouters",
        ),
        ("Dorpsstraat", "Kerkplein", "Molenweg", "Stationsstraat", "Lindelaan", "Vaartkaai", "Hoogstraat", "Brugweg"),
        (
            ("2800", "Mechelen"),
            ("3000", "Leuven"),
            ("2500", "Lier"),
            ("2000", "Antwerpen"),
            ("9000", "Gent"),
            ("1840", "Londerzeel"),
            ("2850", "Boom"),
            ("3140", "Keerbergen"),
        ),
        ("Bakkerij", "Drukkerij", "Architecten", "Tuinen", "Bouwwerken", "Apotheek", "Koeriers", "Boekhandel"),
        ("BV", "NV", "CommV", "VZW"),
    ),
    Region(
        "BE",
        "fr",
        20,
        ("Aline", "Benoît", "Céline", "Didier", "Élodie", "Fabien", "Hélène", "Julien", "Laure", "Mathieu", "Noémie"),
        ("Bertrand", "Charlier", "Delvaux", "Dubois", "Fontaine", "Gillet", "Lambert", "Lejeune", "Renard", "Simon"),
        ("Rue de la Gare", "Avenue des Tilleuls", "Place du Marché", "Rue du Moulin", "Chaussée de Namur"),
        (("1000", "Bruxelles"), ("4000", "Liège"), ("5000", "Namur"), ("1300", "Wavre"), ("7000", "Mons")),
        ("Boulangerie", "Imprimerie", "Menuiserie", "Pharmacie", "Transports", "Librairie", "Jardins"),
        ("SRL", "SA", "SComm", "ASBL"),
    ),
    Region(
        "BE",
        "de",
        6,
        ("Anja", "Bernd", "Dieter", "Elke", "Heike", "Jürgen", "Karin", "Uwe"),
        ("Becker", "Heinen", "Königs", "Lenz", "Müller", "Schröder", "Thelen"),
        ("Bahnhofstraße", "Kirchweg", "Klosterstraße", "Hauptstraße"),
        (("4700", "Eupen"), ("4780", "Sankt Vith"), ("4760", "Büllingen")),
        ("Bäckerei", "Schreinerei", "Buchhandlung", "Gärtnerei"),
        ("GmbH", "AG", "VoG"),
    ),
    Region(
        "NL",
        "nl",
        5,
        ("Anouk", "Daan", "Femke", "Jeroen", "Sanne", "Thijs"),
        ("Bakker", "de Vries", "Jansen", "van Dijk", "Visser", "Smit"),
        ("Stationsweg", "Molenstraat", "Havenkade"),
        (("4811 AA", "Breda"), ("5611 AZ", "Eindhoven"), ("4381 AB", "Vlissingen")),
        ("Fietsverhuur", "Koeriersdienst", "Camping"),
        ("B.V.", "V.O.F."),
    ),
    Region(
        "FR",
        "fr",
        3,
        ("Antoine", "Camille", "Manon", "Olivier"),
        ("Lefèvre", "Moreau", "Petit", "Roussel"),
        ("Rue Nationale", "Boulevard Voltaire"),
        (("59000", "Lille"), ("08000", "Charleville-Mézières")),
        ("Cycles", "Hôtel", "Messageries"),
        ("SARL", "SAS"),
    ),
    Region(
        "DE",
        "de",
        2,
        ("Katrin", "Lars", "Sabine"),
        ("Hoffmann", "Richter", "Vogel"),
        ("Jülicher Straße", "Domgasse"),
        (("52062", "Aachen"), ("50667", "Köln")),
        ("Radhaus", "Kurierdienst"),
        ("GmbH", "OHG"),
    ),
    Region(
        "LU",
        "fr",
        1,
        ("Claude", "Josée"),
        ("Schmit", "Weber"),
        ("Rue de Trèves",),
        (("1273", "Luxembourg"),),
        ("Location de vélos",),
        ("S.à r.l.",),
    ),
    Region(
        "GB",
        "en",
        1,
        ("Alice", "George"),
        ("Ashworth", "Pemberton"),
        ("Mill Lane",),
        (("CT1 2AB", "Canterbury"),),
        ("Cycle Hire",),
        ("Ltd",),
    ),
)


def belgian_number(first_seven: int) -> str:
    """A Belgian enterprise number, ten digits, from its middle seven."""
    digits = f"0{first_seven:07}"
    return f"{digits}{97 - int(digits) % 97:02}"


def belgian_iban(first_ten: int) -> str:
    """A Belgian IBAN from the first ten digits of the account number, national and international checks right."""
    digits = f"{first_ten:010}"
    return iban("BE", f"{digits}{int(digits) % 97 or 97:02}")


def iban(country: str, account: str) -> str:
    """An IBAN with its check digits (ISO 13616)."""
    spelled = "".join(_LETTERS_AS_NUMBERS.get(character, character) for character in f"{account}{country}00")
    return f"{country}{98 - int(spelled) % 97:02}{account}"


def vat_number(country: str, ordinal: int) -> str | None:
    """A VAT number of *country* with a right checksum, or None where none is made here."""
    match country:
        case "BE":
            number = belgian_number(9_900_000 + ordinal * 7)
            assert belgian_vat.is_valid(number), number
            return f"BE{number}"
        case "DE":
            digits = f"{99_000_000 + ordinal}"
            return f"DE{digits}{mod_11_10.calc_check_digit(digits)}"
        case "FR":
            siren = f"{99_000_000 + ordinal}"
            siren += luhn.calc_check_digit(siren)
            return f"FR{(12 + 3 * (int(siren) % 97)) % 97:02}{siren}"
        case "LU":
            digits = f"{990_000 + ordinal}"
            return f"LU{digits}{luxembourg_vat.calc_check_digits(digits)}"
        case "NL":
            return _dutch_number(ordinal)
    return None


def _dutch_number(ordinal: int) -> str:
    stem = f"{99_000_000 + ordinal * 11}"
    check = sum(int(digit) * weight for digit, weight in zip(stem, range(9, 1, -1), strict=True)) % 11
    return f"NL{stem}{check}B01" if check < 10 else _dutch_number(ordinal + 1)


def made_up_customer(random: Random, ordinal: int, *, company: bool | None = None) -> dict[str, Any]:
    """The fields of the *ordinal*-th customer; a firm more often than not, unless *company* says."""
    region = random.choices(REGIONS, [region.weight for region in REGIONS])[0]
    if company is None:
        company = random.random() < 0.58
    first, last = random.choice(region.first_names), random.choice(region.last_names)
    post_code, city = random.choice(region.cities)
    name = (
        f"{random.choice(region.trades)} {last} {random.choice(region.legal_forms)}" if company else f"{first} {last}"
    )
    mailbox = _mailbox(f"{first}.{last}")
    party: dict[str, Any] = {
        "name": name,
        "address": {
            "lines": [f"{random.choice(region.streets)} {random.randint(1, 180)}"],
            "city": city,
            "post_code": post_code,
            "country": region.country,
        },
        "contact": {"name": f"{first} {last}", "email": f"{mailbox}{ordinal}@mail.example"},
    }
    fields: dict[str, Any] = {
        "number": f"K{ordinal:04}",
        "party": party,
        "language": region.language,
        "payment_terms": {"days": 30 if company else 14},
        "custom_fields": {"channel": random.choice(("winkel", "webshop", "beurs", "mond-tot-mond"))},
    }
    if company:
        _add_company_facts(random, ordinal, region.country, fields)
    if region.country == "BE" and random.random() < 0.4:
        fields["bank_accounts"] = [{"iban": belgian_iban(random.randrange(9_790_000_000, 9_799_999_999))}]
    return fields


def _add_company_facts(random: Random, ordinal: int, country: str, fields: dict[str, Any]) -> None:
    party = fields["party"]
    number = vat_number(country, ordinal)
    if number is not None:
        party["vat_identifier"] = number
    if country == "BE" and number is not None:
        party["legal_registration"] = {"scheme": "0208", "value": number[2:]}
        if random.random() < 0.7:
            fields["route"] = {"scheme": "0208", "value": number[2:]}
    if random.random() < 0.25:
        fields["payment_terms"] = {"days": 30, "end_of_month": True}
    if random.random() < 0.15:
        fields["price_list_discount"] = random.choice(("2.5", "5", "7.5"))
    if random.random() < 0.3:
        fields["custom_fields"]["fleet"] = str(random.randint(2, 60))


def _mailbox(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9.]+", "", plain)
