"""Where archives are kept: a folder, or storage that speaks S3. What is put on a shelf is there whole, or not at all.

A shelf knows nothing of archives: it keeps bytes under names, takes and gives them in a stream, and says what it has.
Doors: `Shelf` with `FolderShelf` and `S3Shelf`, `Place` for one name on one, `private_copy` to work from.
"""

from snapshots.shelves.copies import private_copy
from snapshots.shelves.folder import FolderShelf
from snapshots.shelves.s3 import S3Location, S3Shelf
from snapshots.shelves.shelf import Item, Place, Shelf, Sink, Stored

__all__ = ["FolderShelf", "Item", "Place", "S3Location", "S3Shelf", "Shelf", "Sink", "Stored", "private_copy"]
