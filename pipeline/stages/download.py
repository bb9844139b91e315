"""download: a dataset's published archives, as they are, from the upstream, a mirror, a folder or a drawn sample."""

import logging
from dataclasses import replace
from pathlib import Path

import msgspec

from pipeline.core.config import load_params
from pipeline.core.errors import BoxlineError
from pipeline.core.exit_codes import run_stage
from pipeline.core.redaction import redact_url
from pipeline.datasets import registry
from pipeline.download.sync import exclusive_lock, install, sync_files

logger = logging.getLogger(__name__)


def download(dataset: str, sample: Path, out: Path, state: Path, report: Path) -> None:
    """Make `out` the archives of `datasets.<dataset>.source`, laid out like the upstream, and `report` what they are.

    `sample` is the folder that stands for the source `sample`. `state` keeps what has come of a download that did not
    end well: the next run goes on there, and `out` stays as it was until then.
    """
    chosen = load_params().dataset(dataset)
    source = registry.source(chosen.module)
    root = {"upstream": source.UPSTREAM, "sample": str(sample)}.get(chosen.source, chosen.source)
    if root is None:
        raise BoxlineError(
            f"params.yaml: datasets.{dataset}.source: received 'upstream', but {dataset} is only drawn and published "
            "nowhere; expected sample, or a folder or an http(s) or s3 address that holds such files."
        )
    # A mirror may hold a part or another version: only the publisher's own files have the digests.
    is_upstream = chosen.source == "upstream"
    assets = [asset if is_upstream else replace(asset, size_bytes=None, digest=None) for asset in source.ASSETS]
    with exclusive_lock(state, f"download of {dataset}"):
        received = sync_files(assets, root, state, out, report)
        if chosen.source == "sample":  # DVC watches over it, and its times differ from run to run
            received = {path: msgspec.structs.replace(file, validator=None) for path, file in received.items()}
        install(received, state, out, report)
    size_megabytes = sum(file.size_bytes for file in received.values()) / 1e6
    logger.info("downloaded %s from %s: %.1f MB", dataset, redact_url(chosen.source), size_megabytes)


if __name__ == "__main__":
    run_stage(download, "dataset", ["sample", "out", "state", "report"])
