import io
import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.archives.zip_archive import write_archive
from pipeline.core.config import load_params
from pipeline.core.errors import BoxlineError
from pipeline.datasets.annotations import Reading
from pipeline.datasets.snacks.reader import SnacksReader
from pipeline.datasets.snacks.sample import SampleConfig, SnacksSampleWriter, draw_scene
from pipeline.datasets.snacks.source import CLASSES, SPLITS
from pipeline.validation.config import parse_checks
from pipeline.validation.run_checks import run_checks
from tests.support.scenes import NO_ARCHIVES, files_of
from tests.support.stages import run_stage
from tests.support.tiny_project import PROJECT

SAMPLE = SampleConfig(seed=11, train_images=60, val_images=25, test_images=3)


@pytest.fixture(scope="module")
def sample_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("snacks")
    SnacksSampleWriter().write(folder, SAMPLE)
    return folder


def jpeg(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "JPEG")
    return buffer.getvalue()


HEADER = "image_id,x_min,x_max,y_min,y_max,class_name,folder\n"
ROW = "b2,0.25,0.5,0.1,0.6,banana,apple\n"
IMAGES = {
    "val/apple/c3.jpg": jpeg(40, 80),
    "train/banana/a1.jpg": jpeg(30, 20),
    "train/apple/b2.jpg": jpeg(200, 50),
    "train/apple/a9.jpg": jpeg(100, 60),
    "test/apple/c3.jpg": jpeg(10, 20),
}
ANNOTATIONS = {
    "annotations-train.csv": (HEADER + ROW + "a1,0,1,0,1,banana,banana\nb2,0.5,1,0,0.2,apple,apple\n").encode(),
    "annotations-val.csv": (HEADER + "c3,0.5,1,0.25,0.75,apple,apple\n").encode(),
    "annotations-test.csv": (HEADER + "c3,0,0.1,0,0.5,apple,apple\n").encode(),
}


def write_snacks(folder: Path, prefix: str = "", **changes: bytes | None) -> None:
    """Write the archive. `changes` replaces the annotations of splits; None omits them."""
    annotations: dict[str, bytes | None] = dict(ANNOTATIONS)
    annotations |= {f"annotations-{split}.csv": content for split, content in changes.items()}
    members = {**IMAGES, **annotations, "__MACOSX/train/apple/x.jpg": b"", "train/apple/._b2.jpg": b"", "README": b""}
    write_archive(
        folder / "snacks.zip", [(prefix + name, content) for name, content in members.items() if content is not None]
    )


@pytest.mark.parametrize("prefix", ["", "snacks/"])
def test_tables_agree_with_hand_computed_rows(tmp_path: Path, prefix: str) -> None:
    write_snacks(tmp_path, prefix)
    tables = SnacksReader().read(tmp_path)
    assert [list(image.values()) for image in tables.images.to_pylist()] == [
        # a9 has no rows, but is an image
        [1, "train", "apple/a9.jpg", 100, 60, "snacks.zip", f"{prefix}train/apple/a9.jpg"],
        [2, "train", "apple/b2.jpg", 200, 50, "snacks.zip", f"{prefix}train/apple/b2.jpg"],
        [3, "train", "banana/a1.jpg", 30, 20, "snacks.zip", f"{prefix}train/banana/a1.jpg"],
        [4, "val", "apple/c3.jpg", 40, 80, "snacks.zip", f"{prefix}val/apple/c3.jpg"],
        [5, "test", "apple/c3.jpg", 10, 20, "snacks.zip", f"{prefix}test/apple/c3.jpg"],
    ]
    # box, image, category, then x, y, width, height, area in pixels; in the file, both x of a row come before both y
    assert [list(box.values()) for box in tables.boxes.to_pylist()] == [
        [1, "train", 2, 2, 50, pytest.approx(5), 50, 25, 1250, False],
        [2, "train", 3, 2, 0, 0, 30, 20, 600, False],
        [3, "train", 2, 1, 100, 0, 100, 10, 1000, False],
        [4, "val", 4, 1, 20, 20, 20, 40, 800, False],
        [5, "test", 5, 1, 0, 0, 1, 10, 10, False],
    ]


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    write_snacks(tmp_path)
    expected = SnacksReader().read(tmp_path)
    header = b"\xef\xbb\xbffolder,y_min,note,y_max,x_max,x_min,class_name,image_id\r\n"
    write_snacks(tmp_path, val=header + b"apple,0.25,?,0.75,1,0.5,apple,c3\r\n")
    assert SnacksReader().read(tmp_path) == expected


def test_subset_of_published_classes_keeps_their_ids(tmp_path: Path) -> None:
    write_snacks(tmp_path)
    categories = SnacksReader().read(tmp_path).categories.to_pylist()
    assert [category["category_id"] for category in categories] == list(range(1, 21))
    assert [category["name"] for category in categories] == CLASSES
    assert sorted(CLASSES) == CLASSES
    assert categories[8] == {"category_id": 9, "class_index": 8, "name": "hot dog", "supercategory": "snack"}


def test_unpublished_folders_become_classes(tmp_path: Path) -> None:
    write_archive(
        tmp_path / "snacks.zip",
        [
            *((name.replace("banana", "crêpe"), content) for name, content in IMAGES.items()),
            *((name, content.replace(b"banana", "crêpe".encode())) for name, content in ANNOTATIONS.items()),
        ],
    )
    tables = SnacksReader().read(tmp_path)
    names = [(category["category_id"], category["name"]) for category in tables.categories.to_pylist()]
    assert names == [(1, "apple"), (2, "crêpe")]
    assert tables.boxes["category_id"].to_pylist() == [2, 2, 1, 1, 1]


def failure(folder: Path) -> str:
    with pytest.raises(BoxlineError) as raised:
        SnacksReader().read(folder)
    return str(raised.value).replace(f"{folder}/", "")


VAL = "snacks.zip: member annotations-val.csv"
KNOWN = ", ".join(CLASSES)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param(
            "c3,0.5,1,0.25,0.75,waffles,apple",
            f"{VAL}, line 2, column class_name: received 'waffles', expected one of the classes {KNOWN}.",
            id="unknown class",
        ),
        pytest.param(
            "c3,0.5,1,0.25,0.75,apple,banana",
            f"{VAL}, line 2, column folder: received 'banana', expected a folder of images below val (apple).",
            id="folder of another split",
        ),
        pytest.param(
            "c3,0.5,1,0.25,0.75,apple,../../etc",
            f"{VAL}, line 2, column folder: received '../../etc', expected a folder of images below val (apple).",
            id="path traversal in the folder",
        ),
        pytest.param(
            "c3,0.5,1,0.25,,apple,apple",
            f"{VAL}, line 2, column y_max: received '', expected a fraction of the image.",
            id="no number",
        ),
        pytest.param(
            "c3,0.5,1,0.25",
            f"{VAL}, line 2: received 4 fields (c3,0.5,1,0.25), "
            "expected 7: image_id, x_min, x_max, y_min, y_max, class_name, folder.",
            id="short row",
        ),
    ],
)
def test_invalid_row_is_reported_with_member_line_and_column(tmp_path: Path, row: str, expected: str) -> None:
    write_snacks(tmp_path, val=f"{HEADER}{row}\n".encode())
    assert failure(tmp_path) == expected


def test_class_without_training_folder_is_an_error(tmp_path: Path) -> None:
    members = {**IMAGES, **ANNOTATIONS, "val/pizza/d4.jpg": jpeg(9, 9), "train/crêpe/e5.jpg": jpeg(9, 9)}
    members["annotations-val.csv"] += b"d4,0,1,0,1,pizza,pizza\n"
    write_archive(tmp_path / "snacks.zip", members.items())
    assert failure(tmp_path) == (
        f"{VAL}, line 3, column class_name: received 'pizza', expected one of the classes apple, banana, crêpe."
    )


def test_missing_annotations_are_an_error(tmp_path: Path) -> None:
    write_snacks(tmp_path, train=None)
    assert failure(tmp_path) == (
        "snacks.zip: annotations-train.csv not found; the nearest name is 'annotations-val.csv'. "
        "Expected the snacks' archive; see pipeline/datasets/snacks/source.py for its layout."
    )
    write_snacks(tmp_path, "snacks/", test=None)
    assert failure(tmp_path) == (
        "snacks.zip: member snacks/annotations-test.csv not found; the nearest name is 'snacks/annotations-train.csv'."
    )


def test_split_without_images_is_an_error(tmp_path: Path) -> None:
    members = {name: content for name, content in {**IMAGES, **ANNOTATIONS}.items() if not name.startswith("val/")}
    write_archive(tmp_path / "snacks.zip", members.items())
    assert failure(tmp_path) == (
        f"{VAL}, line 2, column folder: received 'apple', expected a folder of images below val (there is none)."
    )


def test_unreadable_image_has_size_zero(tmp_path: Path) -> None:
    """`inspect` finds the reason, and `validate` quarantines the image."""
    write_archive(tmp_path / "snacks.zip", {**IMAGES, **ANNOTATIONS, "val/apple/c3.jpg": b"<html>"}.items())
    sizes = {
        (row["file_name"], row["width"], row["height"]) for row in SnacksReader().read(tmp_path).images.to_pylist()
    }
    assert ("apple/c3.jpg", 0, 0) in sizes
    assert ("apple/a9.jpg", 100, 60) in sizes


@pytest.mark.parametrize(
    ("coordinates", "reason"),
    [("1,0.5,0.25,0.75", "box_size_not_positive"), ("0.5,1.37,0.25,0.75", "box_outside_image")],
    ids=["swapped", "above one"],
)
def test_swapped_and_outside_corners_are_quarantined(tmp_path: Path, coordinates: str, reason: str) -> None:
    """The reader accepts such boxes, because the checks handle them for every dataset."""
    write_snacks(tmp_path, val=f"{HEADER}c3,{coordinates},apple,apple\n".encode())
    tables = SnacksReader().read(tmp_path)
    rejected = run_checks(
        Reading(tables),
        files_of(tables.images),
        NO_ARCHIVES,
        *parse_checks(load_params(PROJECT / "params.yaml"), "snacks"),
    ).quarantine
    assert [(row["table"], row["row_id"], row["image_id"], row["reason"]) for row in rejected.to_pylist()] == [
        ("boxes", 4, 4, reason)
    ]


def test_sample_is_reproducible(sample_folder: Path, tmp_path: Path) -> None:
    SnacksSampleWriter().write(tmp_path, SAMPLE)
    assert [path.name for path in tmp_path.iterdir()] == ["snacks.zip"]
    assert (tmp_path / "snacks.zip").read_bytes() == (sample_folder / "snacks.zip").read_bytes()


def test_more_training_images_change_no_other_image(sample_folder: Path, tmp_path: Path) -> None:
    SnacksSampleWriter().write(tmp_path, SampleConfig(seed=11, train_images=61, val_images=25, test_images=3))
    with zipfile.ZipFile(tmp_path / "snacks.zip") as more, zipfile.ZipFile(sample_folder / "snacks.zip") as fewer:
        for name in fewer.namelist():
            assert more.read(name).startswith(fewer.read(name))
        assert len(more.namelist()) == len(fewer.namelist()) + 1 == 60 + 25 + 3 + 3 + 1


def test_boxes_are_bounding_boxes_of_painted_pixels() -> None:
    alike = []
    for class_index in range(60):
        pixels, objects = draw_scene(np.random.default_rng([5, class_index]), class_index % 20)
        assert objects[0].class_index == class_index % 20
        assert sorted(pixels.shape)[:2] == [3, 256]
        assert max(pixels.shape) < 385
        boxes_xyxy = np.array([drawn.box_xyxy for drawn in objects])
        assert np.prod(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], axis=1).argmax() == 0
        seen_xyxy = colored_parts(pixels)
        assert (seen_xyxy.min(axis=0)[:2] == boxes_xyxy.min(axis=0)[:2]).all()
        assert (seen_xyxy.max(axis=0)[2:] == boxes_xyxy.max(axis=0)[2:]).all()
        alike.append(sorted(seen_xyxy.tolist()) == sorted(boxes_xyxy.tolist()))
    # Objects do not overlap, but some touch and form one connected component.
    assert np.mean(alike) > 0.9


def colored_parts(pixels: np.ndarray) -> np.ndarray:
    """Left, top, right and bottom [N, 4] of each saturated region; the background has none."""
    colored = np.ptp(pixels.astype(int), axis=2) > 70
    count, _, extents, _ = cv2.connectedComponentsWithStats(colored.astype(np.uint8), connectivity=8)
    return np.array([[x, y, x + width, y + height] for x, y, width, height, _ in extents[1:count]])


def test_every_split_has_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.datasets.snacks.sample.UNANNOTATED_PROBABILITY", 1)
    SnacksSampleWriter().write(tmp_path, SampleConfig(seed=11, train_images=3, val_images=2, test_images=1))
    tables = SnacksReader().read(tmp_path)
    assert [len(set(tables.split(split).boxes["image_id"].to_pylist())) for split in SPLITS] == [1, 1, 1]


def test_sample_has_the_properties_of_the_published_dataset(sample_folder: Path) -> None:
    tables = SnacksReader().read(sample_folder)
    assert [len(tables.split(split).images) for split in SPLITS] == [60, 25, 3]
    folders = [name.partition("/")[0] for name in tables.split("train").images["file_name"].to_pylist()]
    assert {folder: folders.count(folder) for folder in folders} == dict.fromkeys(CLASSES, 3)
    rows_per_image = np.bincount(tables.boxes["image_id"].to_numpy(), minlength=89)[1:]
    assert set(rows_per_image.tolist()) == {0, 1, 2, 3}
    assert 1 <= np.count_nonzero(rows_per_image == 0) <= 8
    folder_of = {row["image_id"]: row["file_name"].partition("/")[0] for row in tables.images.to_pylist()}
    own = [CLASSES[box["category_id"] - 1] == folder_of[box["image_id"]] for box in tables.boxes.to_pylist()]
    assert 0.6 < np.mean(own) < 0.9
    sizes = {(row["width"], row["height"]) for row in tables.images.to_pylist()}
    assert {min(size) for size in sizes} == {256}
    assert {width > height for width, height in sizes} == {True, False}
    limits, checks = parse_checks(load_params(PROJECT / "params.yaml"), "snacks")
    checked = run_checks(Reading(tables), files_of(tables.images), NO_ARCHIVES, limits, checks)
    assert checked.quarantine.num_rows == 0


PARAMS = """
seed: 1
checks: {{}}
datasets:
  snacks:
    module: snacks
    source: {source}
    sample: {{seed: 11, train_images: 60, val_images: 25, test_images: 3}}
    validate: {{max_quarantined_fraction: 0.001}}
systems: {{}}
"""


def run_stages(folder: Path, source: object, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "params.yaml").write_text(PARAMS.format(source=json.dumps(str(source))))
    monkeypatch.chdir(folder)
    for stage in ("sample", "download", "tables"):
        run_stage(stage, "snacks")
    return folder / "data" / "snacks" / "tables"


def test_sample_archive_and_folder_give_the_same_tables(
    sample_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(sample_folder / "snacks.zip") as archive:
        archive.extractall(tmp_path)
    expected = pq.read_table(run_stages(tmp_path / "drawn", "sample", monkeypatch) / "images.parquet")
    folder = run_stages(tmp_path / "copied", sample_folder, monkeypatch)
    assert pq.read_table(folder / "images.parquet") == expected
    folder = run_stages(tmp_path / "packed", tmp_path / "snacks", monkeypatch)
    members = pq.read_table(folder / "images.parquet")
    assert members.drop_columns("member") == expected.drop_columns("member")
    boxes = [
        (tmp_path / name / "data" / "snacks" / "tables" / "boxes.parquet").read_bytes()
        for name in ("drawn", "copied", "packed")
    ]
    assert boxes[0] == boxes[1] == boxes[2]


def test_files_with_a_header_only_have_no_boxes(tmp_path: Path) -> None:
    header = ANNOTATIONS["annotations-val.csv"].splitlines(keepends=True)[0]
    write_snacks(tmp_path, val=header)
    assert SnacksReader().read(tmp_path).split("val").boxes.num_rows == 0
    write_snacks(tmp_path, train=header, val=header, test=header)
    tables = SnacksReader().read(tmp_path)
    assert (tables.images.num_rows, tables.boxes.num_rows) == (5, 0)
