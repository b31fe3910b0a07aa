"""Where events are recorded: PostgreSQL, through psycopg 3.

The only place in the domain that knows of a database. ``database`` opens connections under the right role,
``migrations/`` are the tables, ``streams`` reads and appends for commands, ``recorder`` and ``mapper`` speak the
interfaces of the ``eventsourcing`` library.
"""

from domain.store.database import Database

__all__ = ["Database"]
