"""Where the files of a dataset are: those that its publisher offers, or all of a source of own data."""

from dataclasses import replace
from pathlib import Path

from pipeline.core.config import DatasetConfig
from pipeline.core.errors import BoxlineError
from pipeline.datasets.registry import get_dataset
from pipeline.download.manifest import Asset
from pipeline.download.retry import DEFAULT_RETRY
from pipeline.download.sources.base import Source
from pipeline.download.sources.listing import list_source
from pipeline.download.sources.resolve import resolve_sources

DATA = Path("data")
STAGES_OF_DATASET = ("sample", "download", "partial", "tables", "inspect", "validate")


def dataset_files(name: str, config: DatasetConfig, sample: Path | None) -> list[tuple[Asset, Source]]:
    """The files of a dataset, and where they are.

    Args:
        name: key of the dataset in params.yaml.
        config: its section.
        sample: the folder that holds its sample; None if its source is another one.

    Raises:
        BoxlineError: if the dataset has no such source.

    """
    if config.module is None:
        return own_files(name, config.source)
    source = get_dataset(config.module, f"params.yaml: datasets.{name}.module").source()
    base_url = {"upstream": source.base_url, "sample": str(sample)}.get(config.source, config.source)
    if base_url is None:
        raise BoxlineError(
            f"params.yaml: datasets.{name}.source: received 'upstream', but {name} is synthetic and has no "
            "publisher; expected sample, or a folder or an http(s) or s3 address with such files."
        )
    # A mirror may hold a subset or another version: only the publisher's own files have the published checksums.
    is_upstream = config.source == "upstream"
    assets = [asset if is_upstream else replace(asset, size_bytes=None, checksum=None) for asset in source.assets]
    return list(zip(assets, resolve_sources(base_url, assets, DEFAULT_RETRY), strict=True))


def own_files(name: str, source: str) -> list[tuple[Asset, Source]]:
    """All files of a source of own data, and where they are.

    Args:
        name: key of the dataset in params.yaml.
        source: a folder, an archive, or an http(s) or s3 address.

    Raises:
        BoxlineError: if there is no such source, or it has no files.

    """
    return list_source(source, DEFAULT_RETRY, excluded=_own_outputs(name))


def _own_outputs(name: str) -> list[Path]:
    """The folders of the project that are no part of a source: all of `data/` if the source holds the whole project.

    A user's files may be in data/<name> too, beside what the stages write there.
    """
    return [DATA, *(DATA / name / stage for stage in STAGES_OF_DATASET)]
