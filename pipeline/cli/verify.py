"""boxline verify: whether the remote has everything in dvc.lock."""

import sys

from pipeline.remote.audit import RemoteAudit, RemoteStore, open_store


def verify(*, remote: str | None = None) -> int:
    """Check that the remote has every object in dvc.lock, the files of folders included.

    `dvc push` reports success even if the cache has lost an object. Sizes are compared; contents are read only if the
    sizes of a folder do not add up. The exit code is 1 if an object is missing or corrupt.

    Args:
        remote: one of `dvc remote list`; the default remote if omitted.

    """
    with open_store(remote) as store:
        audit = store.audit()
        for missing in audit.missing:
            sys.stdout.write(f"{missing.expected}: {missing.reason}\n")
        sys.stdout.write(_summary(store, audit) + "\n")
    return 1 if audit.missing else 0


def _summary(store: RemoteStore, audit: RemoteAudit) -> str:
    number = len(audit.objects)
    if audit.missing:
        return (
            f"{len(audit.missing)} of {number} objects of dvc.lock are missing or corrupt in the {store}. "
            "`boxline repair` restores what it can."
        )
    return f"All {number} objects of dvc.lock are in the {store}: {audit.stored_bytes / 1e6:,.1f} MB."
