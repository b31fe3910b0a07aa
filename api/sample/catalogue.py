"""What the dealer sells: some sixty items, each with its unit (UN/ECE Rec 20), price, cost, VAT rate and account."""

from __future__ import annotations

from typing import NamedTuple


class Article(NamedTuple):
    """An item of the catalogue; prices are without VAT."""

    number: str
    name: str
    unit: str
    price: str
    cost: str | None
    rate: str
    account: str


def _bike(number: str, name: str, price: str, cost: str) -> Article:
    return Article(number, name, "C62", price, cost, "21", "7000")


def _part(number: str, name: str, price: str, cost: str) -> Article:
    return Article(number, name, "C62", price, cost, "21", "7001")


def _book(number: str, name: str, price: str, cost: str) -> Article:
    return Article(number, name, "C62", price, cost, "6", "7002")


ARTICLES: tuple[Article, ...] = (
    _bike("F-100", "Stadsfiets Dijle, 7 versnellingen", "578.51", "371.00"),
    _bike("F-101", "Stadsfiets Dijle, lage instap", "619.83", "394.00"),
    _bike("F-110", "Toerfiets Demer, riemaandrijving", "1239.67", "815.00"),
    _bike("F-120", "Elektrische stadsfiets Nete", "2189.26", "1490.00"),
    _bike("F-121", "Elektrische stadsfiets Nete, grote batterij", "2602.48", "1740.00"),
    _bike("F-130", "Bakfiets Rupel, twee wielen", "3966.12", "2710.00"),
    _bike("F-131", "Bakfiets Rupel, drie wielen", "3718.18", "2560.00"),
    _bike("F-132", "Elektrische bakfiets Rupel", "5206.61", "3690.00"),
    _bike("F-140", "Plooifiets Zenne", "908.26", "598.00"),
    _bike("F-150", "Speed pedelec Schelde", "4710.74", "3320.00"),
    _bike("F-160", "Kinderfiets Vliet 20 duim", "247.93", "148.00"),
    _bike("F-161", "Kinderfiets Vliet 24 duim", "280.99", "171.00"),
    _bike("F-170", "Gravelfiets Kempen", "1735.54", "1160.00"),
    _bike("F-180", "Tandem Leie", "2438.02", "1705.00"),
    _bike("F-900", "Tweedehandsfiets, nagezien", "206.61", "80.00"),
    _part("O-200", "Buitenband 28 duim, lekbestendig", "28.93", "15.20"),
    _part("O-201", "Binnenband 28 duim", "5.79", "2.10"),
    _part("O-202", "Buitenband 20 duim, bakfiets", "33.06", "18.40"),
    _part("O-210", "Ketting 8 versnellingen", "18.18", "8.90"),
    _part("O-211", "Riem met tandwielen", "123.97", "74.00"),
    _part("O-220", "Remblokken, paar", "8.22", "3.05"),
    _part("O-221", "Hydraulische schijfrem", "74.38", "42.00"),
    _part("O-230", "Batterij 500 Wh", "495.87", "331.00"),
    _part("O-231", "Lader voor batterij", "131.40", "81.00"),
    _part("O-240", "Koplamp op dynamo", "41.32", "22.50"),
    _part("O-241", "Achterlicht met remlicht", "24.79", "12.80"),
    _part("O-250", "Zadel, gel", "37.19", "19.90"),
    _part("O-260", "Trapper, paar", "20.66", "9.40"),
    _part("O-270", "Spaakwiel achter", "61.98", "36.00"),
    _part("T-300", "Kettingslot 110 cm", "57.02", "31.00"),
    _part("T-301", "Beugelslot", "49.59", "26.50"),
    _part("T-310", "Helm, volwassenen", "53.72", "29.00"),
    _part("T-311", "Helm, kinderen", "36.36", "18.70"),
    _part("T-320", "Fietstas, 20 liter", "61.98", "34.00"),
    _part("T-321", "Mand, riet", "33.06", "16.20"),
    _part("T-330", "Kinderzitje achteraan", "99.17", "61.00"),
    _part("T-331", "Regenhoes voor bakfiets", "111.57", "68.00"),
    _part("T-340", "Fietspomp met meter", "28.10", "14.40"),
    _part("T-341", "Reparatieset", "7.44", "2.90"),
    _part("T-350", "Fluohesje", "8.26", "2.80"),
    _part("T-351", "Regenpak", "65.29", "37.00"),
    Article("T-360", "Kettingolie, per liter", "LTR", "16.53", "7.20", "21", "7001"),
    Article("T-361", "Remkabel, per meter", "MTR", "1.24", "0.35", "21", "7001"),
    _book("B-400", "Knooppuntenkaart provincie Antwerpen", "9.39", "5.60"),
    _book("B-401", "Knooppuntenkaart Vlaams-Brabant", "9.39", "5.60"),
    _book("B-402", "Fietsgids Ardennen", "23.54", "14.10"),
    _book("B-403", "Handboek: je fiets zelf herstellen", "18.82", "11.00"),
    Article("D-500", "Werkuur hersteller", "HUR", "48.00", None, "21", "7050"),
    Article("D-501", "Groot onderhoud", "C62", "95.04", None, "21", "7050"),
    Article("D-502", "Klein onderhoud", "C62", "49.59", None, "21", "7050"),
    Article("D-503", "Ophalen en terugbrengen", "C62", "24.79", None, "21", "7050"),
    Article("D-504", "Montage aan huis", "HUR", "55.00", None, "21", "7050"),
    Article("D-510", "Keuring bedrijfsfiets", "C62", "35.50", None, "21", "7050"),
    Article("V-600", "Leasing stadsfiets, per maand", "MON", "54.50", None, "21", "7051"),
    Article("V-601", "Leasing elektrische fiets, per maand", "MON", "98.75", None, "21", "7051"),
    Article("V-602", "Leasing bakfiets, per maand", "MON", "141.20", None, "21", "7051"),
    Article("V-603", "Onderhoudscontract, per fiets en maand", "MON", "11.25", None, "21", "7051"),
    Article("V-610", "Verhuur stadsfiets, per dag", "DAY", "12.40", None, "21", "7051"),
    Article("V-611", "Verhuur bakfiets, per dag", "DAY", "33.06", None, "21", "7051"),
    Article("L-700", "Opleiding veilig fietsen, halve dag", "C62", "285.00", None, "21", "7052"),
    Article("L-701", "Werkplaats: band plakken", "C62", "22.50", None, "21", "7052"),
)
PLAIN = tuple(article for article in ARTICLES if article.number[0] not in "VL")
"""What a customer buys now and then."""
SERVICES = tuple(article for article in ARTICLES if article.number[0] == "D")
CONTRACTS = tuple(article for article in ARTICLES if article.unit == "MON")
