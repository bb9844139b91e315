"""Stage `sample`: a small synthetic dataset in the published format, if the dataset's source is `sample`."""

import logging
from pathlib import Path

from pipeline.core.atomic_files import atomic_directory
from pipeline.core.config import load_params, parse_config
from pipeline.datasets.registry import get_dataset
from pipeline.stages.runner import run_stage

MODULE_FILE = "module.txt"

logger = logging.getLogger(__name__)


def sample(dataset: str, out: Path) -> None:
    """Write the sample of the dataset, or the name of its module if `source` names another source.

    It is a stage of its own, so that an edit of a sample does not repeat the download of a published archive. The
    download depends on its folder, and must run again for another module. The folder of a dataset with a format is
    empty: whatever the format is, all files of the source are downloaded.

    Args:
        dataset: a key of `datasets` in params.yaml.
        out: the folder to replace.

    """
    config = load_params().dataset(dataset)
    with atomic_directory(out) as folder:
        if config.module is not None and config.is_sample:
            writer = get_dataset(config.module, f"params.yaml: datasets.{dataset}.module").sample_writer()
            sample_config = parse_config(config.sample, writer.config_class, f"datasets.{dataset}.sample")
            writer.write(folder, sample_config)
            logger.info("wrote a sample of %s", dataset)
        elif config.module is not None:
            (folder / MODULE_FILE).write_text(f"{config.module}\n", encoding="utf-8")


if __name__ == "__main__":
    run_stage(sample)
