"""Reads any dataset of params.yaml: a published one with its own reader, others with the reader of their format."""

from pathlib import Path

from pipeline.archives.file_tree import FileTree
from pipeline.core.config import DatasetConfig, parse_config
from pipeline.core.errors import BoxlineError
from pipeline.datasets.formats.interfaces import Reading
from pipeline.datasets.formats.registry import get_format
from pipeline.datasets.registry import get_dataset


def read_dataset(name: str, config: DatasetConfig, root: Path) -> Reading:
    """Read the files of a dataset, as they are assigned to splits by the files.

    Args:
        name: key of the dataset in params.yaml.
        config: its section.
        root: the download folder; for a dataset with a format also the folder or archive of the user.

    Raises:
        BoxlineError: if files are missing or nothing in them can be read.

    """
    where = f"params.yaml: datasets.{name}"
    if config.module is not None:
        return Reading(get_dataset(config.module, f"{where}.module").table_reader().read(root))
    assert config.format is not None  # DatasetConfig has one of the two
    reader = get_format(config.format, f"{where}.format")
    options = parse_config(config.options, reader.options_class, f"datasets.{name}.options")
    try:
        return reader.read(FileTree(root), options, config.classes)
    except BoxlineError as error:
        raise BoxlineError(f"{where}: {root} cannot be read as {config.format}: {error}") from None
