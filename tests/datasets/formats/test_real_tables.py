"""The published datasets of ../shared/data/real in YOLO, CSV and TFRecord: counts that were taken file by file."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.archives.file_tree import FileTree
from pipeline.datasets.annotations import Reading
from pipeline.datasets.formats.registry import get_format
from tests.support.dataset_folders import passed_over

REAL_DATA = Path(__file__).parents[4] / "shared" / "data" / "real"

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not REAL_DATA.is_dir(), reason="no files to read: ../shared/data/real is not there"),
]

DICE = ["one", "two", "three", "four", "five", "six"]
BOARDS = ["Arduino_Nano", "ESP8266", "Heltec_ESP32_Lora", "Raspberry_Pi_3"]


def read(folder: str, format_name: str) -> Reading:
    reader = get_format(format_name)
    return reader.read(FileTree(REAL_DATA / folder), reader.options_class())


def counts(reading: Reading) -> dict[str, tuple[int, int]]:
    """Images and boxes per split."""
    tables = reading.tables
    splits = tables.images["split"].unique().to_pylist()
    return {split: (len(tables.split(split).images), len(tables.split(split).boxes)) for split in splits}


@pytest.mark.parametrize(
    ("folder", "format_name", "expected", "classes"),
    [
        (
            "aquarium",
            "yolo",
            {"val": (127, 909), "test": (63, 584)},
            ["fish", "jellyfish", "penguin", "puffin", "shark", "starfish", "stingray"],
        ),
        ("blood_csv", "csv", {"": (100, 2339)}, ["rbc", "wbc"]),
        ("dice", "csv", {"train": (200, 1487), "test": (50, 308)}, sorted(DICE)),
        ("dice", "tfrecord", {"train": (200, 1487), "test": (50, 308)}, DICE),
        # Of the pictures before they were made square: heights differ from those of the other files by up to 29 pixels.
        ("dice", "yolo", {"train": (200, 1487), "test": (50, 308)}, ["1", "2", "3", "4", "5", "6"]),
        ("microcontroller", "csv", {"train": (142, 170), "test": (7, 7)}, BOARDS),
    ],
)
def test_published_folder_gives_the_counted_rows(
    folder: str, format_name: str, expected: dict[str, tuple[int, int]], classes: list[str]
) -> None:
    reading = read(folder, format_name)
    assert counts(reading) == expected
    assert reading.tables.categories["name"].to_pylist() == classes
    assert reading.refused.num_rows == 0
    assert reading.image_locations.num_rows == reading.tables.images.num_rows
    assert reading.box_locations.num_rows == reading.tables.boxes.num_rows


def test_known_defects_of_the_aquarium_are_kept_for_validation() -> None:
    tables = read("aquarium", "yolo").tables
    zero_area = tables.boxes.filter(np.equal(tables.boxes["area"].to_numpy(), 0))
    assert zero_area["split"].to_pylist() == ["test", "test"]
    assert passed_over(read("aquarium", "yolo"))["splits without a folder or list"] == (1, "'train: ../train/images'")


def dice_boxes(format_name: str) -> list[tuple[str, list[float]]]:
    """The name of its image and the sides of each box, image by image."""
    tables = read("dice", format_name).tables
    names = dict(zip(*(tables.images[name].to_pylist() for name in ("image_id", "file_name")), strict=True))
    boxes = [
        (Path(names[box["image_id"]]).name, [box["x"], box["y"], box["width"], box["height"]])
        for box in tables.boxes.to_pylist()
    ]
    return sorted(boxes, key=lambda box: box[0])


def test_record_files_and_csv_files_of_the_dice_agree_box_by_box() -> None:
    """The corners in TFRecord files have single precision."""
    records, rows = dice_boxes("tfrecord"), dice_boxes("csv")
    assert [name for name, _ in records] == [name for name, _ in rows]
    np.testing.assert_allclose([sides for _, sides in records], [sides for _, sides in rows], rtol=0, atol=1e-4)


@pytest.mark.parametrize("folder", ["aquarium", "bccd", "blood_csv", "dice", "microcontroller", "rbc_coco"])
def test_published_folders_are_detected_as_what_they_are(folder: str) -> None:
    tree = FileTree(REAL_DATA / folder)
    found = {name for name in ("yolo", "csv", "tfrecord") if get_format(name).detect(tree) is not None}
    expected = {
        "aquarium": {"yolo"},
        "blood_csv": {"csv"},
        "dice": {"csv", "tfrecord"},
        "microcontroller": {"csv"},
    }
    assert found == expected.get(folder, set())
