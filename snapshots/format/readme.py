"""README.txt of an archive: for the person who opens the ZIP."""

from __future__ import annotations

from datetime import datetime

_TEXT = """\
This is a backup of the invoicing account "{name}", taken on {at} (UTC) by Counterfoil.
{shows}
What is in it
-------------
manifest.json            what this archive is: account, date, counts, control totals, and the SHA-256 of every file
customers.jsonl          one customer a line, as it was at that moment; likewise:
items.jsonl, layouts.jsonl, ledger-accounts.jsonl, subscriptions.jsonl
documents/               invoices, credit notes, quotes, receipts, purchase orders, delivery notes; one a line
timeline.jsonl           everything that happened, one event a line, oldest first: who, when, what
attachments/             the files attached to documents, named by their SHA-256
schemas/                 JSON Schema of each kind of line

How to read it
--------------
Every .jsonl file is text in UTF-8 with one JSON object a line. Amounts are decimal numbers in quotation marks, dates
are year-month-day, times are in UTC. A table for a spreadsheet is made, for example, with the tool jq:

    jq -r '[.number, .issue_date, .totals.with_vat] | @csv' documents/invoices.jsonl

How to check it
---------------
    sha256sum timeline.jsonl

must print the sha256 that manifest.json gives for timeline.jsonl; and so for every file.
To restore it:

    counterfoil restore this-file.zip --into ACCOUNT --dry-run

No password, token or key is in this file. It holds personal data and the books of a company: keep it accordingly.
"""


def readme(name: str, at: datetime, as_of: str | None = None) -> bytes:
    """The text for an archive of the account *name*, taken *at*; it shows the account *as_of* a past moment."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in name)
    shows = f"It shows the account as of {as_of}.\n" if as_of else ""
    return _TEXT.format(name=shown, at=at.strftime("%Y-%m-%d %H:%M"), shows=shows).encode()
