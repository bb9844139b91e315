"""The files of ../shared/data that were made to be read or to be refused, each by the reader of its layout."""

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from pipeline.datasets.digits import reader as digits_reader
from pipeline.datasets.snacks import reader
from pipeline.datasets.snacks.source import ASSETS, SPLITS
from pipeline.datasets.tables import Tables
from pipeline.errors import BoxlineError
from pipeline.storage.archives import write_archive
from pipeline.storage.transfer import fetch
from tests.checks.scene import validated
from tests.datasets.test_snacks import run_stages

REAL_DATA = Path(__file__).parents[3] / "shared" / "data"

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not REAL_DATA.is_dir(), reason="no files to read: ../shared/data is not there"),
]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fetch(ASSETS[0], str(REAL_DATA / "snacks"), tmp_path_factory.mktemp("packed"))


def with_annotations(packed: Path, name: str, folder: Path) -> Path:
    """The stand-in with the named file in place of its training annotations."""
    with zipfile.ZipFile(packed) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["annotations-train.csv"] = (REAL_DATA / "broken" / "csv" / name).read_bytes()
    write_archive(folder / "snacks.zip", members.items())
    return folder


def test_the_folder_gives_the_counted_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert validated(tables).quarantine.num_rows == 0
    with zipfile.ZipFile(tmp_path / "download" / "snacks.zip") as archive:
        assert archive.namelist() == sorted(archive.namelist())
        assert len(archive.namelist()) == 61 + 25 + 19 + 3


MEMBER = "snacks.zip: member annotations-train.csv"
EXPECTED_HEADER = "expected a header with image_id, x_min, x_max, y_min, y_max, class_name, folder."
TRAIN_FOLDERS = "apple, banana, broccoli, cake, carrot, doughnut, hot dog, orange, pizza, sandwich"


def failure(folder: Path) -> str:
    with pytest.raises(BoxlineError) as raised:
        reader.read(folder)
    return str(raised.value).replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "missing_columns.csv",
            f"{MEMBER}, line 1: missing column y_min, y_max; "
            f"received image_id, x_min, x_max, class_name, folder, {EXPECTED_HEADER}",
        ),
        (
            "non_numeric_coordinate.csv",
            f"{MEMBER}, line 4, column x_min: received 'left', expected a fraction of the image.",
        ),
        (
            "empty_coordinate.csv",
            f"{MEMBER}, line 4, column y_max: received '', expected a fraction of the image.",
        ),
        (
            "nan_coordinate.csv",
            f"{MEMBER}, line 4, column y_max: received 'nan', expected a fraction of the image.",
        ),
        (
            "unknown_image.csv",
            f"{MEMBER}, line 4, column image_id: received 'ffffffffffffffff', "
            "expected an image in train/doughnut of the archive.",
        ),
        (
            "path_traversal_folder.csv",
            f"{MEMBER}, line 4, column folder: received '../../etc', "
            f"expected a folder of images below train ({TRAIN_FOLDERS}).",
        ),
        (
            "short_row.csv",
            f"{MEMBER}, line 4: received 4 fields (d09b93603ee1939c,0.032268,0.303514,0.334477), "
            "expected 7: image_id, x_min, x_max, y_min, y_max, class_name, folder.",
        ),
        (
            "latin1_label.csv",
            rf"{MEMBER}, line 4, column class_name: received the bytes b'cr\xeape', which are not UTF-8. "
            "Save the file as UTF-8.",
        ),
        ("header_only.csv", f"{MEMBER} has a header and no rows, expected at least one box."),
        (
            "empty.csv",
            f"{MEMBER}, line 1: missing column image_id, x_min, x_max, y_min, y_max, class_name, folder; "
            f"received no header, {EXPECTED_HEADER}",
        ),
    ],
)
def test_a_fault_is_told(packed: Path, tmp_path: Path, name: str, expected: str) -> None:
    assert failure(with_annotations(packed, name, tmp_path)) == expected


@pytest.mark.parametrize("name", ["valid.csv", "utf8_bom.csv"])
def test_a_valid_file_is_read(packed: Path, tmp_path: Path, name: str) -> None:
    tables = reader.read(with_annotations(packed, name, tmp_path))
    train = tables.split("train")
    assert (len(train.images), len(train.boxes), len(tables.boxes)) == (61, 8, 125)
    # The second row says x 0.582791 to 1 and y 0.14822 to 0.506859.
    box = train.boxes.to_pylist()[1]
    image = train.images.to_pylist()[box["image_id"] - 1]
    width, height = image["width"], image["height"]
    assert image["file_name"] == "broccoli/680f9af5aae6ba50.jpg"
    assert width != height
    assert [box[name] for name in ("x", "y", "width", "height")] == pytest.approx(
        [0.582791 * width, 0.14822 * height, 0.417209 * width, 0.358639 * height]
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("x_min_greater_than_x_max.csv", "box_size_not_positive"),
        ("coordinate_above_one.csv", "box_outside_image"),
    ],
)
def test_a_box_that_cannot_be_goes_to_quarantine(packed: Path, tmp_path: Path, name: str, reason: str) -> None:
    tables = reader.read(with_annotations(packed, name, tmp_path))
    validation = validated(tables, allowed=0.001)
    [refused] = validation.quarantine.to_pylist()
    assert (refused["table"], refused["row_number"], refused["row_id"], refused["reason"]) == ("boxes", 3, 3, reason)
    [failure] = validation.failures()
    assert failure.startswith(
        f"1 of 230 rows (0.435 %) are in quarantine, allowed are 0.1 % ({reason} 1; first: boxes row 3, box 3 of "
    )


def write_digits(folder: Path, name: str) -> Path:
    buffer = io.BytesIO()
    Image.new("L", (100, 100)).save(buffer, "PNG")
    images = [(f"MNIST_Converted_Training/converted_training{i}.png", buffer.getvalue()) for i in range(1, 7)]
    write_archive(folder / "MNIST" / "MNIST_Converted_Training.zip", images)
    write_archive(folder / "MNIST" / "MNIST_Converted_Testing.zip", [])
    (folder / "MNIST" / "training_data.csv").write_bytes((REAL_DATA / "broken" / "csv" / name).read_bytes())
    (folder / "MNIST" / "test_data.csv").write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "mnist_missing_field.csv",
            "line 3: received 5 fields (converted_training3.png,5,0.49,0.56,0.77), "
            "expected 6: file name, label, xmin, ymin, xmax, ymax.",
        ),
        ("mnist_non_numeric.csv", "line 3, column xmin: received 'abc', expected a fraction of the image."),
        ("mnist_bad_label.csv", "line 3, column label: received 'seven', expected a digit from 0 to 9."),
    ],
)
def test_a_fault_in_the_layout_of_the_digits_is_told(tmp_path: Path, name: str, expected: str) -> None:
    with pytest.raises(BoxlineError) as raised:
        digits_reader.read(write_digits(tmp_path, name))
    assert str(raised.value) == f"{tmp_path}/MNIST/training_data.csv, {expected}"


def test_digits_valid_and_swapped(tmp_path: Path) -> None:
    tables = digits_reader.read(write_digits(tmp_path, "mnist_valid.csv"))
    assert tables.boxes["category_id"].to_pylist() == [5, 9, 6, 1, 1, 10]
    assert validated(tables).quarantine.num_rows == 0
    tables = digits_reader.read(write_digits(tmp_path, "mnist_xmin_greater_than_xmax.csv"))
    [refused] = validated(tables).quarantine.to_pylist()
    assert (refused["row_id"], refused["reason"]) == (3, "box_size_not_positive")


def test_no_file_was_forgotten() -> None:
    tested = Path(__file__).read_text()
    names = [path.name for path in (REAL_DATA / "broken" / "csv").iterdir()]
    assert [name for name in names if f'"{name}"' not in tested] == []
