"""Every dataset has all parts, and each part is imported only on request."""

import subprocess
import sys

import pytest

from pipeline.core.config import load_params
from pipeline.core.errors import BoxlineError
from pipeline.datasets.interfaces import DatasetSource, SampleWriter, TableReader
from pipeline.datasets.registry import DATASETS, get_dataset
from tests.support.tiny_project import PROJECT


@pytest.mark.parametrize("name", DATASETS)
def test_dataset_has_all_parts(name: str) -> None:
    dataset = get_dataset(name)
    assert isinstance(dataset.source(), DatasetSource)
    assert isinstance(dataset.sample_writer(), SampleWriter)
    assert isinstance(dataset.table_reader(), TableReader)


def test_registry_lists_every_folder_of_a_dataset() -> None:
    folders = {path.parent.name for path in (PROJECT / "pipeline" / "datasets").glob("*/source.py")}
    assert set(DATASETS) == folders
    assert {dataset.module for dataset in load_params(PROJECT / "params.yaml").datasets.values()} == folders


@pytest.mark.parametrize(
    ("part", "modules"),
    [("source", {"source"}), ("sample_writer", {"sample", "source"}), ("table_reader", {"reader", "source"})],
)
@pytest.mark.parametrize("name", DATASETS)
def test_part_imports_no_other_part_and_no_other_dataset(name: str, part: str, modules: set[str]) -> None:
    """dvc.yaml lists these modules as dependencies of the stages, so that an edit of one part reruns its stage only."""
    code = (
        "import sys; from pipeline.datasets.registry import get_dataset; "
        f"get_dataset({name!r}).{part}(); print(*sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True, capture_output=True, text=True)
    parts = {
        f"pipeline.datasets.{dataset}.{module}" for dataset in DATASETS for module in ("source", "sample", "reader")
    }
    assert parts & set(result.stdout.split()) == {f"pipeline.datasets.{name}.{module}" for module in modules}


def test_unknown_dataset_is_named_with_the_known_ones() -> None:
    with pytest.raises(BoxlineError) as raised:
        get_dataset("cocoa", "params.yaml: datasets.sweets.module")
    assert str(raised.value) == (
        "params.yaml: datasets.sweets.module: received 'cocoa', expected one of coco, digits, rectangles, snacks."
    )


def test_incomplete_parts_cannot_be_created() -> None:
    with pytest.raises(TypeError, match="abstract"):
        type("Writer", (SampleWriter,), {"write": lambda *_: None})()
    with pytest.raises(TypeError, match="abstract"):
        type("Reader", (TableReader,), {})()
