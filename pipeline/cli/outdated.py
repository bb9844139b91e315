"""boxline outdated: datasets whose source has changed since they were downloaded."""

import argparse
import sys
from pathlib import Path

from pipeline.core.config import Params, load_params
from pipeline.datasets import registry
from pipeline.download.sync import changed_since

HELP = "name datasets whose source has changed since their download"
DESCRIPTION = (
    "Ask the sources of datasets for size and version of each file, without a transfer, and print the datasets whose "
    "download is older, one per line. DVC cannot know: `dvc repro --force download@DATASET` fetches them anew."
)

REPORTS = Path("reports")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words that `outdated` takes."""
    parser.add_argument("datasets", metavar="DATASET", nargs="*", help="keys of datasets in params.yaml (default: all)")


def outdated(datasets: list[str]) -> int:
    """Print the datasets that are outdated; return the exit code."""
    loaded = load_params()
    for name in datasets or list(loaded.datasets):
        if _is_outdated(loaded, name):
            sys.stdout.write(f"{name}\n")
    return 0


def _is_outdated(loaded: Params, name: str) -> bool:
    chosen = loaded.dataset(name)
    if chosen.source == "sample":  # DVC watches over what is drawn
        return False
    source = registry.source(chosen.module)
    root = source.UPSTREAM if chosen.source == "upstream" else chosen.source
    if root is None:
        return False
    return changed_since(REPORTS / name / "download.json", source.ASSETS, root)
