"""What a dataset must offer: its source, a writer of synthetic samples, and a reader of the published files.

A dataset is a folder `pipeline/datasets/<name>/`:

    source.py      `SOURCE`: where the dataset is published, and as which files
    sample.py      a `SampleWriter`, and the dataset's `sample` section of params.yaml
    reader.py      a `TableReader`: the published files as tables

`pipeline.datasets.registry` names the parts of each dataset and imports each of them only on request.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from pipeline.core.config import Config

if TYPE_CHECKING:  # a stage that needs one part imports what that part needs and nothing else
    from pipeline.datasets.annotations import Tables
    from pipeline.download.manifest import Asset

SampleConfigT = TypeVar("SampleConfigT", bound=Config)


@dataclass(frozen=True)
class DatasetSource:
    """Where a dataset is published, and as which files.

    Attributes:
        base_url: the publisher's address; None if the dataset is not published and exists as a synthetic sample only.
        assets: the published files, in the order in which they are downloaded.

    """

    base_url: str | None
    assets: "Sequence[Asset]"


class SampleWriter(ABC, Generic[SampleConfigT]):
    """Writes a small synthetic dataset as the files in which the dataset is published."""

    @property
    @abstractmethod
    def config_class(self) -> type[SampleConfigT]:
        """Class of the dataset's `sample` section in params.yaml."""

    @abstractmethod
    def write(self, folder: Path, config: SampleConfigT) -> None:
        """Write the published files, filled with synthetic images and boxes, into `folder`.

        The same configuration gives the same bytes.
        """


class TableReader(ABC):
    """Reads the published files of a dataset."""

    @abstractmethod
    def read(self, download: Path) -> "Tables":
        """All splits below the folder `download`, train first.

        A reader raises an error only if it cannot build the tables. `pipeline.validation` checks ids, sizes and boxes.

        Raises:
            BoxlineError: if a file is missing or not in the published format. The message names the file, and the line
                and column of a text.

        """
