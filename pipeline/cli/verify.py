"""boxline verify: whether the remote has everything that dvc.lock names."""

import argparse
import sys

from pipeline.remote.audit import RemoteAudit, Store, open_store

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
        survey = store.survey()
        for fault in survey.faults:
            sys.stdout.write(f"{fault.wanted.shown()}: {fault.reason}\n")
        sys.stdout.write(summary(store, survey) + "\n")
    return 1 if survey.faults else 0


def summary(store: Store, survey: RemoteAudit) -> str:
    """One line: how many objects there are, how large, where, and what can be done about those that are not."""
    number = len(survey.objects)
    if survey.faults:
        return (
            f"{len(survey.faults)} of {number} objects of dvc.lock are missing or damaged in the {store.shown()}. "
            "`boxline repair` mends what it can."
        )
    return f"All {number} objects of dvc.lock are in the {store.shown()}: {survey.stored_bytes / 1e6:,.1f} MB."
