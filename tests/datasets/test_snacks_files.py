"""The real snacks of ../shared/data."""

import zipfile
from pathlib import Path

import pytest

from pipeline.archives.zip_archive import write_archive
from pipeline.datasets.annotations import Tables
from pipeline.datasets.snacks.reader import SnacksReader
from pipeline.datasets.snacks.source import SOURCE, SPLITS
from pipeline.download.transfer import download_file
from tests.datasets.test_snacks import run_stages

REAL_DATA = Path(__file__).parents[3] / "shared" / "data"

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not REAL_DATA.is_dir(), reason="no files to read: ../shared/data is not there"),
]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return download_file(SOURCE.assets[0], str(REAL_DATA / "snacks"), tmp_path_factory.mktemp("packed"))


def with_annotations(packed: Path, name: str, folder: Path) -> Path:
    """The archive with the named file as its training annotations."""
    with zipfile.ZipFile(packed) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["annotations-train.csv"] = (REAL_DATA / "broken" / "csv" / name).read_bytes()
    write_archive(folder / "snacks.zip", members.items())
    return folder


def test_real_folder_gives_the_counted_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run_stages(tmp_path, REAL_DATA / "snacks", monkeypatch)
    tables = Tables.read(folder)
    counts = {split: tables.split(split) for split in SPLITS}
    assert {split: (len(t.images), len(t.boxes)) for split, t in counts.items()} == {
        "train": (61, 157),
        "val": (25, 80),
        "test": (19, 37),
    }
    assert tables.categories["name"].to_pylist() == [
        "apple",
        "banana",
        "broccoli",
        "cake",
        "carrot",
        "doughnut",
        "hot dog",
        "orange",
        "pizza",
        "sandwich",
    ]
    with zipfile.ZipFile(tmp_path / "data" / "snacks" / "download" / "snacks.zip") as archive:
        assert archive.namelist() == sorted(archive.namelist())
        assert len(archive.namelist()) == 61 + 25 + 19 + 3


@pytest.mark.parametrize("name", ["valid.csv", "utf8_bom.csv"])
def test_valid_file_is_read(packed: Path, tmp_path: Path, name: str) -> None:
    tables = SnacksReader().read(with_annotations(packed, name, tmp_path))
    train = tables.split("train")
    assert (len(train.images), len(train.boxes), len(tables.boxes)) == (61, 8, 125)
    # The second row has x 0.582791 to 1 and y 0.14822 to 0.506859.
    box = train.boxes.to_pylist()[1]
    image = train.images.to_pylist()[box["image_id"] - 1]
    width, height = image["width"], image["height"]
    assert image["file_name"] == "broccoli/680f9af5aae6ba50.jpg"
    assert width != height
    assert [box[name] for name in ("x", "y", "width", "height")] == pytest.approx(
        [0.582791 * width, 0.14822 * height, 0.417209 * width, 0.358639 * height]
    )
