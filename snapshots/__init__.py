"""Archives: the snapshots and the timeline of an account in a ZIP file, written, read, inspected, restored.

``container`` is the ZIP, ``manifest`` what an archive says of itself, ``backup`` writes one, ``reading`` reads its
lines and checks them, ``inspection`` reports, ``restore`` builds a fresh stream and ``swap`` makes it live.
"""
