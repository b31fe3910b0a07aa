"""What an account is and what may happen to it.

Rules live here: kinds, events, folds, decisions, the verifiable log. They know nothing of PostgreSQL, HTTP or files;
only ``domain.store`` does, where events are recorded. Doors: ``domain.kinds`` (what there is), ``domain.events``
(lines and their codec) and ``domain.application`` (running commands).
"""
