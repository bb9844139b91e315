"""boxline verify: whether the remote has everything that dvc.lock names."""

import argparse
import sys

from pipeline.remote.audit import RemoteAudit, RemoteStore, open_store

HELP = "ask the remote for everything that dvc.lock names"
DESCRIPTION = (
    "Ask the remote itself for every file and folder that dvc.lock names, with the files of folders: `dvc push` "
    "reports success also where the cache has lost something. Compared are sizes; bytes are read where a folder's do "
    "not add up. Exit code 1 says that something is missing or damaged."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words that `verify` and `repair` take."""
    parser.add_argument("--remote", metavar="NAME", help="one of `dvc remote list` (default: the default remote)")


def verify(remote: str | None) -> int:
    """Print what is missing and a summary; return the exit code."""
    with open_store(remote) as store:
        audit = store.audit()
        for missing in audit.missing:
            sys.stdout.write(f"{missing.expected}: {missing.reason}\n")
        sys.stdout.write(summary(store, audit) + "\n")
    return 1 if audit.missing else 0


def summary(store: RemoteStore, audit: RemoteAudit) -> str:
    """One line: how many objects there are, how large, where, and what can be done about those that are not."""
    number = len(audit.objects)
    if audit.missing:
        return (
            f"{len(audit.missing)} of {number} objects of dvc.lock are missing or damaged in the {store}. "
            "`boxline repair` mends what it can."
        )
    return f"All {number} objects of dvc.lock are in the {store}: {audit.stored_bytes / 1e6:,.1f} MB."
