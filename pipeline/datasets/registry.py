"""The parts of a dataset by the name of its module, imported only when a stage asks for them.

pipeline/datasets/<module>/ holds
source.py   UPSTREAM, the publisher's address or None where nobody publishes it, and ASSETS, the files below it;
sample.py   Sample, its section of params.yaml, and write_sample, which draws a small stand-in in the same format;
reader.py   read, which turns the files into Tables.
"""

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from pipeline.core.config import Config
from pipeline.core.errors import BoxlineError

if TYPE_CHECKING:  # the parts import what they need; a stage that asks for one part depends on no other
    from pipeline.datasets.annotations import Tables
    from pipeline.download.manifest import Asset


class Source(Protocol):
    """source.py"""

    UPSTREAM: str | None
    ASSETS: "list[Asset]"


class SampleWriter(Protocol):
    """sample.py"""

    SampleConfig: type[Config]

    def write_sample(self, folder: Path, sample: Config) -> None:
        """Fill `folder` as a download from the upstream would. The same section gives the same bytes."""


class Reader(Protocol):
    """reader.py"""

    def read(self, download: Path) -> "Tables":
        """All splits. Raises BoxlineError naming file, line and column where the files are not as published."""


def source(module: str) -> Source:
    """The dataset's source.py."""
    return cast(Source, _import(module, "source"))


def sample(module: str) -> SampleWriter:
    """The dataset's sample.py."""
    return cast(SampleWriter, _import(module, "sample"))


def reader(module: str) -> Reader:
    """The dataset's reader.py."""
    return cast(Reader, _import(module, "reader"))


def _import(module: str, part: str) -> Any:
    spec = importlib.util.find_spec(f"pipeline.datasets.{module}")
    if spec is None or spec.submodule_search_locations is None:
        raise BoxlineError(f"params.yaml: there is no dataset module {module!r} in pipeline/datasets.")
    return importlib.import_module(f"pipeline.datasets.{module}.{part}")
