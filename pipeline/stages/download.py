"""Stage `download`: the published archives of a dataset, from the upstream, a mirror, a folder or the sample."""

import logging
from pathlib import Path

import msgspec

from pipeline.core.config import load_params
from pipeline.core.redaction import redact_url
from pipeline.datasets.dataset_files import dataset_files
from pipeline.download.sync import exclusive_lock, install, sync_files
from pipeline.stages.runner import run_stage

logger = logging.getLogger(__name__)


def download(dataset: str, sample: Path, out: Path, partial: Path, report: Path) -> None:
    """Download the archives of `datasets.<dataset>.source` to `out`, with the layout of the upstream.

    Args:
        dataset: a key of `datasets` in params.yaml.
        sample: the folder to use if the source is `sample`.
        out: the folder to replace when the download is complete.
        partial: the folder for what was received until then; the next run resumes an interrupted download from it.
        report: the JSON file to write: origin, size and checksums of each file.

    """
    config = load_params().dataset(dataset)
    files = dataset_files(dataset, config, sample)
    with exclusive_lock(partial, f"download of {dataset}"):
        downloaded = sync_files(files, partial, out, report)
        if config.is_sample:
            # DVC tracks the sample itself, and its modification times would make the report differ from run to run.
            downloaded = {path: msgspec.structs.replace(file, validator=None) for path, file in downloaded.items()}
        install(downloaded, partial, out, report)
    size_megabytes = sum(file.size_bytes for file in downloaded.values()) / 1e6
    logger.info("downloaded %s from %s: %.1f MB", dataset, redact_url(config.source), size_megabytes)


if __name__ == "__main__":
    run_stage(download)
