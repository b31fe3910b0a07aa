"""Documents of all six kinds: what they hold, what happens to them, and what may.

``fields`` says what a document holds, ``events`` what can happen, ``document`` the state and its fold, ``rules`` which
event may follow which state. The door is ``RULES``, one ``KindRules`` per document kind.
"""

from domain.documents.document import Document, DocumentState
from domain.documents.rules import RULES

__all__ = ["RULES", "Document", "DocumentState"]
