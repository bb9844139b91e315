"""Every file of ../shared/data/broken is read, is quarantined with a reason, or fails with one message.

Each goes through the stages `tables`, `inspect` and `validate` as a part of a download that is otherwise in order.
"""

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from PIL import Image
from ruamel.yaml import YAML

from pipeline.archives.zip_archive import write_archive
from pipeline.core.errors import BoxlineError
from tests.support.stages import run_stage
from tests.support.tiny_project import PROJECT

BROKEN = PROJECT.parent / "shared" / "data" / "broken"

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not BROKEN.is_dir(), reason="no files to read: ../shared/data is not there"),
]


@dataclass(frozen=True)
class Kept:
    """The number of accepted images and boxes of the split, and the rejected rows: table, id and reason.

    Without any box, `validate` fails.
    """

    images: int
    boxes: int
    rejected: tuple[tuple[str, int, str], ...] = ()


ANNOTATIONS = "data/coco/download/annotations/annotations_trainval2017.zip"
MEMBER = f"{ANNOTATIONS}: member annotations/instances_val2017.json"
IMAGES = "data/coco/download/zips/val2017.zip"
CORRECT = "Correct the file, or download the archive again."
SNACKS = "data/snacks/download/snacks.zip: member annotations-train.csv"
DIGITS = "data/digits/download/MNIST/training_data.csv"
HEADER = "expected a header with image_id, x_min, x_max, y_min, y_max, class_name, folder."


def not_instances(reason: str) -> str:
    return f"{MEMBER} is not a COCO instances file: {reason}. {CORRECT}"


def no_archive(reason: str) -> str:
    return f"{IMAGES} is not a readable zip archive ({reason}). Delete it and download it again."


OTHER, OTHER_ID = "other.png", 999_999
"""The only image of the other split, which is valid."""

FIRST_IMAGE, FIRST_BOX = 403385, 1131709


def all_rejected(reason: str) -> tuple[tuple[str, int, str], ...]:
    images = (FIRST_IMAGE, 331352, 165518)
    boxes = (FIRST_BOX, 1096418, 1982048, 1096069, 209396, 148103)
    return (*(("images", i, reason) for i in images), *(("boxes", b, "image_quarantined") for b in boxes))


ALL = Kept(3, 6)
BOXES_OF_FIRST_IMAGE = (("boxes", FIRST_BOX, "image_quarantined"), ("boxes", 1096418, "image_quarantined"))
MISSING = Kept(2, 4, (("images", FIRST_IMAGE, "image_file_missing"), *BOXES_OF_FIRST_IMAGE))

COCO = {
    "instances_valid.json": ALL,
    "truncated.json": not_instances("Input data was truncated"),
    "empty_file.json": not_instances("Input data was truncated"),
    "html_error_page.json": not_instances(
        "JSON is malformed: invalid character (byte 0), received '<!DOCTYPE html>\\n<htm'"
    ),
    "top_level_list.json": not_instances("Expected `object`, got `array`"),
    "missing_categories.json": ALL,  # those of the other split
    "bbox_three_numbers.json": Kept(3, 5, (("boxes", FIRST_BOX, "box_not_finite"),)),
    "bbox_strings.json": ALL,
    "bbox_negative_width.json": Kept(3, 5, (("boxes", FIRST_BOX, "box_size_not_positive"),)),
    "bbox_zero_height.json": Kept(3, 5, (("boxes", FIRST_BOX, "box_size_not_positive"),)),
    "bbox_outside_image.json": Kept(3, 5, (("boxes", FIRST_BOX, "box_outside_image"),)),
    "bbox_partly_outside.json": Kept(3, 5, (("boxes", FIRST_BOX, "box_outside_image"),)),
    "bbox_nan.json": Kept(3, 5, (("boxes", FIRST_BOX, "box_not_finite"),)),
    "bbox_infinity.json": Kept(3, 5, (("boxes", FIRST_BOX, "box_not_finite"),)),
    "unknown_image_id.json": Kept(3, 5, (("boxes", FIRST_BOX, "box_image_unknown"),)),
    "unknown_category_id.json": Kept(3, 5, (("boxes", FIRST_BOX, "box_category_unknown"),)),
    "duplicate_annotation_ids.json": Kept(3, 4, (("boxes", FIRST_BOX, "box_id_duplicated"),) * 2),
    "duplicate_image_ids.json": Kept(
        2, 4, (("images", FIRST_IMAGE, "image_id_duplicated"),) * 2 + BOXES_OF_FIRST_IMAGE
    ),
    "wrong_image_size.json": Kept(0, 0, all_rejected("image_size_differs")),
    "missing_image_file.json": MISSING,
    "path_traversal_file_name.json": MISSING,
}

OK = Kept(1, 1)
UNDECODABLE = Kept(0, 0, (("images", 1, "image_not_decodable"), ("boxes", 1, "image_quarantined")))
PHOTOGRAPHS = {
    "valid.jpg": OK,
    "truncated.jpg": UNDECODABLE,
    "header_only.jpg": UNDECODABLE,
    "really_png.jpg": OK,
    "really_html.jpg": UNDECODABLE,
    "zero_bytes.jpg": UNDECODABLE,
    "cmyk.jpg": OK,
    "grayscale.jpg": OK,
    "exif_rotated.jpg": OK,
    "gray16.png": OK,
    "rgba.png": OK,
    "one_pixel.png": OK,
    "decompression_bomb.png": UNDECODABLE,
    **{f"../coco/val2017/{name}.jpg": OK for name in ("000000403385", "000000331352", "000000165518")},
}

ARCHIVES = {
    "valid.zip": ALL,
    "truncated.zip": no_archive("File is not a zip file"),
    "bad_crc.zip": Kept(
        2,
        4,
        (
            ("images", 331352, "image_file_missing"),
            ("boxes", 1982048, "image_quarantined"),
            ("boxes", 1096069, "image_quarantined"),
        ),
    ),
    "really_html.zip": no_archive("File is not a zip file"),
    "zero_bytes.zip": no_archive("File is not a zip file"),
    "no_members.zip": Kept(0, 0, all_rejected("image_file_missing")),
    # No row names the hostile member, which is not read.
    "path_traversal.zip": Kept(
        1,
        2,
        (
            *(("images", i, "image_file_missing") for i in (331352, 165518)),
            *(("boxes", b, "image_quarantined") for b in (1982048, 1096069, 209396, 148103)),
        ),
    ),
    "absolute_path.zip": Kept(0, 0, all_rejected("image_file_missing")),
    "symlink_member.zip": Kept(0, 0, all_rejected("image_file_missing")),
    "zip_bomb.zip": Kept(0, 0, all_rejected("image_file_missing")),
}

FRACTION = "expected a fraction of the image."
SNACK_ROWS = {
    "valid.csv": Kept(105, 125),
    "utf8_bom.csv": Kept(105, 125),
    "missing_columns.csv": f"{SNACKS}, line 1: missing column y_min, y_max; "
    f"received image_id, x_min, x_max, class_name, folder, {HEADER}",
    "non_numeric_coordinate.csv": f"{SNACKS}, line 4, column x_min: received 'left', {FRACTION}",
    "empty_coordinate.csv": f"{SNACKS}, line 4, column y_max: received '', {FRACTION}",
    "nan_coordinate.csv": f"{SNACKS}, line 4, column y_max: received 'nan', {FRACTION}",
    "x_min_greater_than_x_max.csv": Kept(105, 124, (("boxes", 3, "box_size_not_positive"),)),
    "coordinate_above_one.csv": Kept(105, 124, (("boxes", 3, "box_outside_image"),)),
    "unknown_image.csv": Kept(105, 124, (("images", 42, "image_file_missing"), ("boxes", 3, "image_quarantined"))),
    "path_traversal_folder.csv": f"{SNACKS}, line 4, column folder: received '../../etc', expected a folder of images "
    "below train (apple, banana, broccoli, cake, carrot, doughnut, hot dog, orange, pizza, sandwich).",
    "short_row.csv": f"{SNACKS}, line 4: received 4 fields (d09b93603ee1939c,0.032268,0.303514,0.334477), "
    "expected 7: image_id, x_min, x_max, y_min, y_max, class_name, folder.",
    "latin1_label.csv": rf"{SNACKS}, line 4, column class_name: received the bytes b'cr\xeape', which are not UTF-8. "
    "Save the file as UTF-8.",
    "header_only.csv": Kept(0, 0),  # a split without boxes, and the training split needs some
    "empty.csv": f"{SNACKS}, line 1: missing column image_id, x_min, x_max, y_min, y_max, class_name, folder; "
    f"received no header, {HEADER}",
}
DIGIT_ROWS = {
    "mnist_valid.csv": Kept(6, 6),
    "mnist_missing_field.csv": f"{DIGITS}, line 3: received 5 fields (converted_training3.png,5,0.49,0.56,0.77), "
    "expected 6: file name, label, xmin, ymin, xmax, ymax.",
    "mnist_non_numeric.csv": f"{DIGITS}, line 3, column xmin: received 'abc', {FRACTION}",
    "mnist_xmin_greater_than_xmax.csv": Kept(6, 5, (("boxes", 3, "box_size_not_positive"),)),
    "mnist_bad_label.csv": f"{DIGITS}, line 3, column label: received 'seven', expected a digit from 0 to 9.",
}

TABLE = [
    *(("coco", f"coco/{name}", expected) for name, expected in COCO.items()),
    *(("photograph", f"images/{name}", expected) for name, expected in PHOTOGRAPHS.items()),
    *(("archive", f"archives/{name}", expected) for name, expected in ARCHIVES.items()),
    *(("snacks", f"csv/{name}", expected) for name, expected in SNACK_ROWS.items()),
    *(("digits", f"csv/{name}", expected) for name, expected in DIGIT_ROWS.items()),
]


def lay_out_coco(path: Path, download: Path) -> None:
    valid = json.loads((BROKEN / "coco" / "instances_valid.json").read_text())
    write_instances(download, valid["categories"], path.read_bytes())
    photographs = sorted((BROKEN / "coco" / "val2017").iterdir())
    write_archive(download / "zips/val2017.zip", ((f"val2017/{p.name}", p.read_bytes()) for p in photographs))


def lay_out_photograph(path: Path, download: Path) -> None:
    """One image with one box, with the size in the header of the file if there is one."""
    try:
        with Image.open(path) as image:
            width, height = image.size
    except OSError:
        width, height = 640, 511
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, width, height], "area": 1, "iscrowd": 0}
    content = {
        "images": [{"id": 1, "file_name": path.name, "width": width, "height": height}],
        "annotations": [box],
        "categories": [{"id": 1, "name": "thing"}],
    }
    write_instances(download, content["categories"], json.dumps(content).encode())
    write_archive(download / "zips/val2017.zip", [(f"val2017/{path.name}", path.read_bytes())])


def lay_out_archive(path: Path, download: Path) -> None:
    lay_out_coco(BROKEN / "coco" / "instances_valid.json", download)
    (download / "zips/val2017.zip").write_bytes(path.read_bytes())


def write_instances(download: Path, categories: Any, val: bytes) -> None:
    image = {"id": OTHER_ID, "file_name": OTHER, "width": 100, "height": 50}
    box = {"id": 1, "image_id": OTHER_ID, "category_id": 1, "bbox": [20, 25, 28, 15], "area": 420, "iscrowd": 0}
    train = json.dumps({"images": [image], "annotations": [box], "categories": categories}).encode()
    members = [("annotations/instances_train2017.json", train), ("annotations/instances_val2017.json", val)]
    write_archive(download / "annotations/annotations_trainval2017.zip", members)
    write_archive(download / "zips/train2017.zip", [(f"train2017/{OTHER}", drawn())])


def drawn() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (100, 50)).save(buffer, "PNG")
    return buffer.getvalue()


def lay_out_snacks(path: Path, download: Path) -> None:
    root = BROKEN.parent / "snacks"
    files = {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*.*"))}
    write_archive(download / "snacks.zip", {**files, "annotations-train.csv": path.read_bytes()}.items())


def lay_out_digits(path: Path, download: Path) -> None:
    names = [f"MNIST_Converted_Training/converted_training{number}.png" for number in range(1, 7)]
    with zipfile.ZipFile(BROKEN.parent / "mnist" / "MNIST" / "MNIST_Converted_Training.zip") as archive:
        write_archive(download / "MNIST/MNIST_Converted_Training.zip", [(name, archive.read(name)) for name in names])
    write_archive(download / "MNIST/MNIST_Converted_Testing.zip", [(f"MNIST_Converted_Testing/{OTHER}", drawn())])
    (download / "MNIST/training_data.csv").write_bytes(path.read_bytes())
    (download / "MNIST/test_data.csv").write_text(f"{OTHER},4,0.2,0.5,0.48,0.81\n")


LAYOUTS = {
    "coco": ("coco", lay_out_coco),
    "photograph": ("coco", lay_out_photograph),
    "archive": ("coco", lay_out_archive),
    "snacks": ("snacks", lay_out_snacks),
    "digits": ("digits", lay_out_digits),
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    params = YAML(typ="safe", pure=True).load(PROJECT / "params.yaml")
    for dataset in params["datasets"].values():
        dataset["validate"]["max_quarantined_fraction"] = 1
    YAML().dump(params, tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("layout", "name", "expected"), TABLE, ids=[name for _, name, _ in TABLE])
def test_broken_file_fails_or_is_quarantined_as_expected(
    project: Path, layout: str, name: str, expected: Kept | str
) -> None:
    dataset, lay_out = LAYOUTS[layout]
    lay_out(BROKEN / name, project / "data" / dataset / "download")
    assert run_stages(Path("data", dataset)) == expected
    assert not list(Path("data").rglob("*.partial*"))


def run_stages(folder: Path) -> Kept | str:
    for stage in ("tables", "inspect"):
        try:
            run_stage(stage, folder.name)
        except BoxlineError as error:
            assert not (folder / stage).exists()
            return str(error)
    failure = ""
    try:
        run_stage("validate", folder.name)
    except BoxlineError as error:
        failure = str(error)
    tables = {path.stem: pq.read_table(path) for path in (folder / "validate").iterdir()}
    rejected = tuple((row["table"], row["row_id"], row["reason"]) for row in tables["quarantine"].to_pylist())
    if failure:
        assert failure.startswith(f"{folder.name} fails validation: no training boxes passed the checks. ")
        assert list(tables) == ["quarantine"]
        return Kept(0, 0, rejected)
    images = tables["images"].filter(pc.not_equal(tables["images"]["file_name"], OTHER))
    boxes = pc.is_in(tables["boxes"]["image_id"], value_set=images["image_id"].combine_chunks())
    return Kept(images.num_rows, pc.sum(boxes).as_py(), rejected)


def test_every_broken_file_is_tested() -> None:
    tested = {(BROKEN / name).resolve() for _, name, _ in TABLE}
    there = {path for path in BROKEN.resolve().rglob("*.*") if path.is_file() and path.name != "README.md"}
    assert there - tested == set()
    assert len(there) == 66
