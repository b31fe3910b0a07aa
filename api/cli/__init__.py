"""The command line: one module per verb that a user knows; ``main`` is the door.

Results go to standard output, progress and errors to standard error. Exit status: 0 done, 1 refused or found faulty,
2 wrong usage. Modules import what they need when they run, so that ``--help`` answers at once.
"""

from api.cli.program import main

__all__ = ["main"]
