"""boxline outdated: datasets whose source has changed since they were downloaded."""

import sys
from pathlib import Path

from pipeline.core.config import Params, load_params
from pipeline.datasets.dataset_files import dataset_files
from pipeline.download.sync import changed_since

REPORTS = Path("reports")


def outdated(datasets: list[str] | None = None, /) -> int:
    """Print the datasets whose source has changed since their download, one per line.

    Sources report size and version of each file; no file is transferred. DVC does not detect such changes:
    `dvc repro --force download@DATASET` downloads the dataset again.

    Args:
        datasets: keys of datasets in params.yaml; all if omitted.

    """
    params = load_params()
    for name in datasets or list(params.datasets):
        if _is_outdated(params, name):
            sys.stdout.write(f"{name}\n")
    return 0


def _is_outdated(params: Params, name: str) -> bool:
    dataset = params.dataset(name)
    if dataset.is_sample:  # an output of the stage `sample`, whose changes DVC detects
        return False
    return changed_since(REPORTS / name / "download.json", dataset_files(name, dataset, sample=None))
