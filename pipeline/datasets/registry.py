"""The datasets by the name of their module in params.yaml. Each part of a dataset is imported only on request.

A part's code is a dependency of its own stage alone: an edit of a sample does not repeat a download.
"""

from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.core.config import DatasetConfig
from pipeline.core.errors import BoxlineError, join_items
from pipeline.datasets.interfaces import DatasetSource, SampleWriter, TableReader
from pipeline.download.manifest import Asset


class Dataset(ABC):
    """The parts of one dataset."""

    @abstractmethod
    def source(self) -> DatasetSource:
        """Where the dataset is published: source.py."""

    @abstractmethod
    def sample_writer(self) -> SampleWriter[Any]:
        """The writer of synthetic samples: sample.py."""

    @abstractmethod
    def table_reader(self) -> TableReader:
        """The reader of the published files: reader.py."""


class _Coco(Dataset):
    def source(self) -> DatasetSource:
        from pipeline.datasets.coco.source import SOURCE

        return SOURCE

    def sample_writer(self) -> SampleWriter[Any]:
        from pipeline.datasets.coco.sample import CocoSampleWriter

        return CocoSampleWriter()

    def table_reader(self) -> TableReader:
        from pipeline.datasets.coco.reader import CocoReader

        return CocoReader()


class _Digits(Dataset):
    def source(self) -> DatasetSource:
        from pipeline.datasets.digits.source import SOURCE

        return SOURCE

    def sample_writer(self) -> SampleWriter[Any]:
        from pipeline.datasets.digits.sample import DigitsSampleWriter

        return DigitsSampleWriter()

    def table_reader(self) -> TableReader:
        from pipeline.datasets.digits.reader import DigitsReader

        return DigitsReader()


class _Rectangles(Dataset):
    def source(self) -> DatasetSource:
        from pipeline.datasets.rectangles.source import SOURCE

        return SOURCE

    def sample_writer(self) -> SampleWriter[Any]:
        from pipeline.datasets.rectangles.sample import RectanglesSampleWriter

        return RectanglesSampleWriter()

    def table_reader(self) -> TableReader:
        from pipeline.datasets.rectangles.reader import RectanglesReader

        return RectanglesReader()


class _Snacks(Dataset):
    def source(self) -> DatasetSource:
        from pipeline.datasets.snacks.source import SOURCE

        return SOURCE

    def sample_writer(self) -> SampleWriter[Any]:
        from pipeline.datasets.snacks.sample import SnacksSampleWriter

        return SnacksSampleWriter()

    def table_reader(self) -> TableReader:
        from pipeline.datasets.snacks.reader import SnacksReader

        return SnacksReader()


DATASETS: dict[str, Dataset] = {
    "coco": _Coco(),
    "digits": _Digits(),
    "rectangles": _Rectangles(),
    "snacks": _Snacks(),
}


def get_dataset(module: str, where: str = "params.yaml: datasets.<name>.module") -> Dataset:
    """The dataset of that module.

    Args:
        module: a key of DATASETS.
        where: the place that names the module, for the error message.

    Raises:
        BoxlineError: if there is no such dataset; the message lists the known ones.

    """
    if module not in DATASETS:
        raise BoxlineError(f"{where}: received {module!r}, expected one of {join_items(sorted(DATASETS))}.")
    return DATASETS[module]


def dataset_assets(name: str, config: DatasetConfig, sample: Path | None) -> tuple[str, list[Asset]]:
    """The address of the files of a dataset, and the files.

    Args:
        name: key of the dataset in params.yaml.
        config: its section.
        sample: the folder that holds its sample; None if its source is another one.

    Raises:
        BoxlineError: if the dataset has no such source.

    """
    if config.module is None:
        from pipeline.download.sources.listing import list_assets

        return config.source, list_assets(config.source)
    source = get_dataset(config.module, f"params.yaml: datasets.{name}.module").source()
    base_url = {"upstream": source.base_url, "sample": str(sample)}.get(config.source, config.source)
    if base_url is None:
        raise BoxlineError(
            f"params.yaml: datasets.{name}.source: received 'upstream', but {name} is synthetic and has no "
            "publisher; expected sample, or a folder or an http(s) or s3 address with such files."
        )
    # A mirror may hold a subset or another version: only the publisher's own files have the published checksums.
    is_upstream = config.source == "upstream"
    return base_url, [
        asset if is_upstream else replace(asset, size_bytes=None, checksum=None) for asset in source.assets
    ]
