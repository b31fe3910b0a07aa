"""Measurements against peers: pg_dump, pg_restore and the stock ``eventsourcing`` library, on one embedded server.

``python -m bench`` runs all, ``python -m bench commands replay`` some; each file here measures one thing and says what
the peer does. ``data`` makes the account that they are run on.
"""
