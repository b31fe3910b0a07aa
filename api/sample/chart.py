"""The dealer's chart of accounts, numbered by the Belgian minimum plan (MAR/PCMN): parents before children."""

from __future__ import annotations

from typing import Literal, NamedTuple

AccountType = Literal["asset", "liability", "equity", "income", "expense"]


class ChartEntry(NamedTuple):
    """One ledger account; its parent is the longest other number that its own begins with."""

    number: str
    type: AccountType
    name: str


CHART: tuple[ChartEntry, ...] = (
    ChartEntry("10", "equity", "Kapitaal"),
    ChartEntry("100", "equity", "Geplaatst kapitaal"),
    ChartEntry("13", "equity", "Reserves"),
    ChartEntry("130", "equity", "Wettelijke reserve"),
    ChartEntry("14", "equity", "Overgedragen resultaat"),
    ChartEntry("17", "liability", "Schulden op meer dan één jaar"),
    ChartEntry("173", "liability", "Kredietinstellingen"),
    ChartEntry("21", "asset", "Immateriële vaste activa"),
    ChartEntry("23", "asset", "Installaties, machines en uitrusting"),
    ChartEntry("230", "asset", "Werkplaatsuitrusting"),
    ChartEntry("24", "asset", "Meubilair en rollend materieel"),
    ChartEntry("241", "asset", "Rollend materieel"),
    ChartEntry("2410", "asset", "Leasefietsen"),
    ChartEntry("34", "asset", "Handelsgoederen"),
    ChartEntry("340", "asset", "Aanschaffingswaarde"),
    ChartEntry("3400", "asset", "Fietsen"),
    ChartEntry("3401", "asset", "Onderdelen en toebehoren"),
    ChartEntry("40", "asset", "Handelsvorderingen"),
    ChartEntry("400", "asset", "Handelsdebiteuren"),
    ChartEntry("407", "asset", "Dubieuze debiteuren"),
    ChartEntry("41", "asset", "Overige vorderingen"),
    ChartEntry("411", "asset", "Terug te vorderen btw"),
    ChartEntry("44", "liability", "Handelsschulden"),
    ChartEntry("440", "liability", "Leveranciers"),
    ChartEntry("45", "liability", "Schulden met betrekking tot belastingen en bezoldigingen"),
    ChartEntry("451", "liability", "Te betalen btw"),
    ChartEntry("453", "liability", "Ingehouden voorheffingen"),
    ChartEntry("454", "liability", "Rijksdienst voor Sociale Zekerheid"),
    ChartEntry("46", "liability", "Ontvangen vooruitbetalingen"),
    ChartEntry("49", "liability", "Overlopende rekeningen"),
    ChartEntry("493", "liability", "Over te dragen opbrengsten"),
    ChartEntry("55", "asset", "Kredietinstellingen"),
    ChartEntry("550", "asset", "Zichtrekening"),
    ChartEntry("57", "asset", "Kassen"),
    ChartEntry("570", "asset", "Kas winkel"),
    ChartEntry("58", "asset", "Interne overboekingen"),
    ChartEntry("60", "expense", "Handelsgoederen, grond- en hulpstoffen"),
    ChartEntry("604", "expense", "Aankopen van handelsgoederen"),
    ChartEntry("609", "expense", "Voorraadwijzigingen"),
    ChartEntry("61", "expense", "Diensten en diverse goederen"),
    ChartEntry("610", "expense", "Huur"),
    ChartEntry("612", "expense", "Energie en water"),
    ChartEntry("613", "expense", "Erelonen en verzekeringen"),
    ChartEntry("62", "expense", "Bezoldigingen en sociale lasten"),
    ChartEntry("620", "expense", "Bezoldigingen"),
    ChartEntry("63", "expense", "Afschrijvingen"),
    ChartEntry("65", "expense", "Financiële kosten"),
    ChartEntry("70", "income", "Omzet"),
    ChartEntry("700", "income", "Verkopen van handelsgoederen"),
    ChartEntry("7000", "income", "Verkopen van fietsen"),
    ChartEntry("7001", "income", "Verkopen van onderdelen en toebehoren"),
    ChartEntry("7002", "income", "Verkopen van boeken en kaarten"),
    ChartEntry("705", "income", "Diensten"),
    ChartEntry("7050", "income", "Herstellingen en onderhoud"),
    ChartEntry("7051", "income", "Verhuur en leasing"),
    ChartEntry("7052", "income", "Opleidingen"),
    ChartEntry("708", "income", "Toegekende kortingen en ristorno's"),
    ChartEntry("74", "income", "Andere bedrijfsopbrengsten"),
    ChartEntry("75", "income", "Financiële opbrengsten"),
)


def parent_of(number: str) -> str | None:
    """The number of the ledger account above *number* in the chart, or None at the top."""
    return max(
        (other.number for other in CHART if number != other.number and number.startswith(other.number)),
        key=len,
        default=None,
    )
