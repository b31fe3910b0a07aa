"""The kinds of jobs there are, by name."""

from __future__ import annotations

from functools import cache

from api.jobs.context import JobKind


@cache
def kinds() -> dict[str, JobKind]:
    """Every kind of job by its name. Their modules are read here, when the first job is to be done."""
    from api.jobs import backups, invoices, readings, rehearsals, restores, upkeep

    return {
        "backup": backups.BACKUP,
        "rehearsal": rehearsals.REHEARSAL,
        "backup-verification": readings.READING,
        "restore": restores.RESTORE,
        "preflight": restores.RESTORE,
        "clone": restores.CLONE,
        "activation": restores.ACTIVATION,
        "purge": upkeep.PURGE,
        "verification": upkeep.VERIFICATION,
        "rebuild-check": upkeep.REBUILD_CHECK,
        "invoice-due": invoices.INVOICE_DUE,
    }
