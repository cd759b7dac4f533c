"""Which failures of a training another try may not meet: of stores, disks and processes, not of samples or settings."""

import errno

from inspection.errors import ServiceError, StorageAwayError


def may_pass(error: Exception) -> bool:
    """A store that is away, a disk that is full, a process of a team that was killed. `cras_core` names what it cannot
    read or write by errors of its own, raised from the system's; those of a damaged picture have no number."""
    cause = error.__cause__
    refused = isinstance(cause, OSError) and cause.errno not in (None, errno.ENOENT)
    return refused or isinstance(error, (StorageAwayError, ServiceError))
