"""What can be read of an account: state derived from its events, kept in the same transaction as the events.

``listing`` is what there is of each kind, ``timeline`` who did what, ``notices`` what a person was told; ``rebuild``
derives everything anew from the events alone and compares, ``control_totals`` adds up what a bookkeeper would print.
Knows the domain and its store; writes nothing but repairs, and that a notice was read.
"""
