"""download: a dataset's published archives, as they are, from the upstream, a mirror, a folder or a drawn sample."""

import logging
from dataclasses import replace
from pathlib import Path

from pipeline import params
from pipeline.command import run_stage
from pipeline.datasets import registry
from pipeline.errors import BoxlineError
from pipeline.storage.files import whole_folder
from pipeline.storage.transfer import fetch

logger = logging.getLogger(__name__)


def download(dataset: str, sample: Path, out: Path) -> None:
    """Fill `out` with the archives of `datasets.<dataset>.source`, laid out like the upstream.

    `sample` is the folder that stands for the source `sample`.
    """
    chosen = params.load().dataset(dataset)
    source = registry.source(chosen.module)
    root = {"upstream": source.UPSTREAM, "sample": str(sample)}.get(chosen.source, chosen.source)
    if root is None:
        raise BoxlineError(
            f"params.yaml: datasets.{dataset}.source: received 'upstream', but {dataset} is only drawn and published "
            "nowhere; expected sample, or a folder or an http(s) address that holds such files."
        )
    with whole_folder(out) as folder:
        for asset in source.ASSETS:
            # A mirror may hold a part or another version: only the publisher's own files have the digests.
            known = asset if chosen.source == "upstream" else replace(asset, size_bytes=None, digest=None)
            fetch(known, root, folder)
    size_megabytes = sum(path.stat().st_size for path in out.rglob("*")) / 1e6
    logger.info("downloaded %s from %s: %.1f MB", dataset, chosen.source, size_megabytes)


if __name__ == "__main__":
    run_stage(download, "dataset", ["sample", "out"])
