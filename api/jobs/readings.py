"""Reading again what is kept, as jobs."""

from __future__ import annotations

from api.jobs.context import JobContext, JobKind
from api.kept import Reading, read_again


def _run(context: JobContext) -> Reading:
    # Begun anew after it was broken off, it reads all of it anew; what is damaged goes on record once.
    return read_again(context.installation, context.access, context.actor, progress=context.progress)


READING = JobKind(_run)
"""Reads what is kept for an account again."""
