"""Reads any dataset of params.yaml: a published one with its own reader, others with the reader of their format."""

from pathlib import Path

from pipeline.archives.file_tree import FileTree
from pipeline.core.config import DatasetConfig, parse_config
from pipeline.core.errors import BoxlineError
from pipeline.datasets.annotations import Reading
from pipeline.datasets.formats.registry import get_format
from pipeline.datasets.registry import get_dataset


def read_dataset(name: str, config: DatasetConfig, download: Path) -> Reading:
    """Read the downloaded files of a dataset, in the splits that the files state.

    Args:
        name: key of the dataset in params.yaml.
        config: its section.
        download: the folder of its archives.

    Raises:
        BoxlineError: if files are missing or nothing in them can be read.

    """
    if config.module is None:
        return read_files(name, config, FileTree(download))
    reader = get_dataset(config.module, f"params.yaml: datasets.{name}.module").table_reader()
    return Reading(reader.read(download))


def read_files(name: str, config: DatasetConfig, tree: FileTree) -> Reading:
    """Read files in the format of the section, in the splits that the files state.

    Args:
        name: key of the dataset in params.yaml.
        config: its section, which has a format.
        tree: the files.

    Raises:
        BoxlineError: if nothing in them can be read.

    """
    assert config.format is not None
    reader = get_format(config.format, f"params.yaml: datasets.{name}.format")
    options = parse_config(config.options, reader.options_class, f"datasets.{name}.options")
    try:
        return reader.read(tree, options, config.classes)
    except BoxlineError as error:
        raise BoxlineError(f"datasets.{name}: the files cannot be read as {config.format}: {error}") from None
