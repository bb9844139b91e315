"""The datasets by the name of their module in params.yaml. Each part of a dataset is imported only on request.

A part's code is a dependency of its own stage alone: an edit of a sample does not repeat a download.
"""

from abc import ABC, abstractmethod
from typing import Any

from pipeline.core.errors import BoxlineError, join_items
from pipeline.datasets.interfaces import DatasetSource, SampleWriter, TableReader


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
