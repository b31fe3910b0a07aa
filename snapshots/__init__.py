"""Archives of an account, and what is done with its streams: written, read, restored, cloned, undone, proven.

Imports go one way here too, from below: ``format`` says what an archive is, ``container`` is its ZIP, ``trust`` who
vouches for it, ``reading`` reads and checks it, ``fresh`` builds a stream beside the live one and swaps it in,
``backup`` writes an archive, ``restoring`` brings one in; ``cloning``, ``generations`` and ``proving`` stand on those.
"""
