"""The container of an archive: an ordinary ZIP, written forward in one pass, and read more strictly than ZIP asks.

Its doors are `ContainerWriter` and `open_container` with its `Limits`. It knows nothing of what is in the entries; its
faults are the ContainerFaults of `snapshots.format.errors`. In the order of reading: `end_record` finds the directory,
`directory` lists the entries, `layout` proves that they tile the file, `reader` unpacks them.
"""

from snapshots.container.format import Limits
from snapshots.container.reader import Container, open_container
from snapshots.container.writer import ContainerWriter, EntrySink, WrittenEntry

__all__ = ["Container", "ContainerWriter", "EntrySink", "Limits", "WrittenEntry", "open_container"]
