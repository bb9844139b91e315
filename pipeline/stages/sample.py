"""sample: a small drawn stand-in in the upstream's own format, where a dataset's source asks for one."""

import logging
from pathlib import Path

from pipeline.core.atomic_files import atomic_directory
from pipeline.core.config import load_params, parse_config
from pipeline.datasets import registry
from pipeline.stages.runner import run_stage

logger = logging.getLogger(__name__)


def sample(dataset: str, out: Path) -> None:
    """Draw the sample of that dataset into `out`, or leave `out` empty where `source` names another one.

    A stage of its own, so that an edit of a drawing never fetches a published archive again.
    """
    chosen = load_params().dataset(dataset)
    writer = registry.sample(chosen.module)
    with atomic_directory(out) as folder:
        if chosen.source == "sample":
            writer.write_sample(folder, parse_config(chosen.sample, writer.SampleConfig, f"datasets.{dataset}.sample"))
            logger.info("drew a sample of %s", dataset)


if __name__ == "__main__":
    run_stage(sample)
