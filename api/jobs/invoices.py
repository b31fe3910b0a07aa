"""Making the invoices of subscriptions as a job."""

from __future__ import annotations

from api.jobs.context import JobContext, JobKind
from domain.due import DueReport, invoice_due


def _run(context: JobContext) -> DueReport:
    # Begun anew after it was broken off, it goes on where it was left: no period is invoiced twice.
    return invoice_due(context.application, context.account, context.actor, progress=context.progress)


INVOICE_DUE = JobKind(_run)
