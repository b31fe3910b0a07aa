"""Long work in the background: a job is asked for with ``enqueue`` and done by a worker, in this process or another.

A job is a row of its account, which says what was asked, how far it has come and what came of it, beside a row in the
queue (procrastinate), which says that it is to be done. What a job of each kind does is in ``api.jobs.kinds``; whoever
wants to add one writes its function and lists it there.
"""

from api.jobs.asking import Queued, enqueue

__all__ = ["Queued", "enqueue"]
