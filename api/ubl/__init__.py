"""Invoices and credit notes in UBL 2.1, the XML of Peppol and EN 16931: read from strangers, imported into an account.

It knows the domain and the application, and no command line or HTTP. Doors: ``read_ubl`` for what a file says, and
``import_documents`` for what an account makes of it.
"""

from api.ubl.importing import FileReport, ImportReport, import_documents
from api.ubl.reading import UblDocument, read_ubl

__all__ = ["FileReport", "ImportReport", "UblDocument", "import_documents", "read_ubl"]
