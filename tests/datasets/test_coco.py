import io
import json
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from pipeline.archives.zip_archive import write_archive
from pipeline.core.errors import BoxlineError
from pipeline.datasets.coco.reader import CocoReader
from pipeline.datasets.coco.sample import CATEGORIES, CocoSampleWriter, SampleConfig
from tests.support.validation_scene import validated, violation_counts

SEED = 11


@pytest.fixture(scope="module")
def sample_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coco")
    CocoSampleWriter().write(folder, SampleConfig(seed=SEED, train_images=120, val_images=30))
    return folder


def instances(folder: Path, split: str) -> dict[str, Any]:
    with zipfile.ZipFile(folder / "annotations" / "annotations_trainval2017.zip") as archive:
        return json.loads(archive.read(f"annotations/instances_{split}2017.json"))


def test_sample_is_reproducible(sample_folder: Path, tmp_path: Path) -> None:
    CocoSampleWriter().write(tmp_path, SampleConfig(seed=SEED, train_images=120, val_images=30))
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.zip"))
    assert [str(path) for path in files] == [
        "annotations/annotations_trainval2017.zip",
        "zips/train2017.zip",
        "zips/val2017.zip",
    ]
    for path in files:
        assert (tmp_path / path).read_bytes() == (sample_folder / path).read_bytes()


def test_sample_has_the_properties_of_the_published_dataset(sample_folder: Path) -> None:
    content = instances(sample_folder, "train")
    boxes = content["annotations"]
    objects_per_image = {image["id"]: 0 for image in content["images"]}
    for box in boxes:
        objects_per_image[box["image_id"]] += not box["iscrowd"]
    assert set(objects_per_image.values()) == {0, 1, 2, 3, 4, 5, 6}
    assert any(box["iscrowd"] for box in boxes)
    assert {box["category_id"] for box in boxes} == set(CATEGORIES)
    ids = [image["id"] for image in content["images"]]
    assert ids != sorted(ids)
    assert len({(image["width"], image["height"]) for image in content["images"]}) > 100


def test_box_is_bounding_box_of_its_outline(sample_folder: Path) -> None:
    content = instances(sample_folder, "train")
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    for box in content["annotations"]:
        height, width = sizes[box["image_id"]]
        x, y, box_width, box_height = box["bbox"]
        assert 0 <= x < x + box_width <= width
        assert 0 <= y < y + box_height <= height
        if box["iscrowd"]:
            run_lengths = coco_mask.frPyObjects(box["segmentation"], height, width)
            assert coco_mask.toBbox(run_lengths).tolist() == box["bbox"]
            assert coco_mask.area(run_lengths) == box["area"]
        else:
            corners = np.array(box["segmentation"][0]).reshape(-1, 2)
            low, high = corners.min(axis=0), np.minimum(corners.max(axis=0) + 1, [width, height])
            # The pixels of the outline are painted, so the box ends one pixel after its last corner.
            assert [*low, *(high - low)] == box["bbox"]


def test_outlines_agree_with_boxes_and_areas(sample_folder: Path) -> None:
    """Rings too, whose hole is a cut in one polygon, as COCO's polygons have no holes."""
    counts = violation_counts(validated(CocoReader().read(sample_folder)))
    assert {"outline_malformed", "box_differs_from_outline"}.isdisjoint(counts)


def test_objects_differ_from_background(sample_folder: Path) -> None:
    """The pixels at the middle of a square differ from those just outside its box."""
    content = instances(sample_folder, "train")
    names = {image["id"]: image["file_name"] for image in content["images"]}
    with zipfile.ZipFile(sample_folder / "zips" / "train2017.zip") as archive:
        differences = []
        for box in content["annotations"]:
            if box["category_id"] == 2:
                with Image.open(io.BytesIO(archive.read(f"train2017/{names[box['image_id']]}"))) as image:
                    pixels = np.asarray(image, float)
                x, y, width, height = map(int, box["bbox"])
                middle = pixels[y + height // 2 - 2 : y + height // 2 + 3, x + width // 2 - 2 : x + width // 2 + 3]
                corner = pixels[y : y + 2, x : x + 2]
                differences.append(np.abs(middle.mean((0, 1)) - corner.mean((0, 1))).max())
    assert np.median(differences) > 60


def test_tables_agree_with_json(sample_folder: Path) -> None:
    tables = CocoReader().read(sample_folder)
    content = {split: instances(sample_folder, split) for split in ("train", "val")}
    images = [(image, split) for split in content for image in content[split]["images"]]
    assert tables.images.num_rows == 150
    for row, (image, split) in zip(tables.images.to_pylist(), images, strict=True):
        assert row == {
            "image_id": image["id"],
            "split": split,
            "file_name": image["file_name"],
            "width": image["width"],
            "height": image["height"],
            "archive": f"zips/{split}2017.zip",
            "member": f"{split}2017/{image['file_name']}",
        }
    boxes = [box for split in content for box in content[split]["annotations"]]
    assert [json.loads(text) for text in tables.boxes["outline"].to_pylist()] == [box["segmentation"] for box in boxes]
    for row, box in zip(tables.boxes.to_pylist(), boxes, strict=True):
        assert [row[name] for name in ("x", "y", "width", "height")] == box["bbox"]
        assert (row["box_id"], row["image_id"], row["category_id"]) == (box["id"], box["image_id"], box["category_id"])
        assert (row["area"], row["is_crowd"]) == (box["area"], bool(box["iscrowd"]))
    assert tables.categories.to_pylist() == [
        {"category_id": 1, "class_index": 0, "name": "circle", "supercategory": "round"},
        {"category_id": 2, "class_index": 1, "name": "square", "supercategory": "angular"},
        {"category_id": 4, "class_index": 2, "name": "triangle", "supercategory": "angular"},
        {"category_id": 7, "class_index": 3, "name": "star", "supercategory": "angular"},
        {"category_id": 8, "class_index": 4, "name": "ring", "supercategory": "round"},
        {"category_id": 11, "class_index": 5, "name": "cross", "supercategory": "angular"},
    ]


def failure(folder: Path, change: Any) -> str:
    """The error message for a valid file after `change` was applied to its JSON text."""
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "area": 12.0, "iscrowd": 0}
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 10, "height": 10}],
        "annotations": [box],
        "categories": [{"id": 1, "name": "cat", "supercategory": "animal"}],
    }
    valid = json.dumps(content)
    members = [("annotations/instances_train2017.json", change(valid).encode())]
    write_archive(folder / "annotations" / "annotations_trainval2017.zip", members)
    with pytest.raises(BoxlineError) as raised:
        CocoReader().read(folder)
    return str(raised.value).replace(f"{folder}/", "")


START = "annotations/annotations_trainval2017.zip: member annotations/instances_train2017.json"
END = "Correct the file, or download the archive again."


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(lambda text: text[:90], "Input data was truncated", id="truncated"),
        pytest.param(lambda _: "", "Input data was truncated", id="empty"),
        pytest.param(
            lambda _: "<html>", "JSON is malformed: invalid character (byte 0), received '<html>'", id="a web page"
        ),
        pytest.param(lambda _: "[]", "Expected `object`, got `array`", id="a list"),
        pytest.param(
            lambda text: text.replace('"images"', '"photos"'),
            "Object missing required field `images`",
            id="no images",
        ),
        pytest.param(
            lambda text: text.replace('"id": 1, "name"', '"id": 0, "name"'),
            "categories[0].id: received 0, expected a whole number from 1 to 10000",
            id="category 0",
        ),
        pytest.param(
            lambda text: text.replace('"id": 1, "name"', '"id": "cat", "name"'),
            "categories[0].id: received 'cat', expected a whole number",
            id="category with a name for an id",
        ),
    ],
)
def test_invalid_instances_file_is_an_error(tmp_path: Path, change: Any, reason: str) -> None:
    assert failure(tmp_path, change) == f"{START} is not a COCO instances file: {reason}. {END}"


IMAGES = [{"id": 1, "file_name": "a.jpg", "width": 10, "height": 10}]


def write_splits(
    folder: Path,
    train: list[dict[str, Any]] | None,
    val: list[dict[str, Any]] | None,
    images: list[dict[str, Any]] = IMAGES,
    val_images: list[dict[str, Any]] | None = None,
    annotations: list[dict[str, Any]] | None = None,
) -> None:
    lists = {"train": (train, images), "val": (val, images if val_images is None else val_images)}
    members = [
        (
            f"annotations/instances_{split}2017.json",
            json.dumps({"images": images, "annotations": annotations, "categories": categories}).encode(),
        )
        for split, (categories, images) in lists.items()
    ]
    write_archive(folder / "annotations" / "annotations_trainval2017.zip", members)


def test_split_without_images_has_no_rows(tmp_path: Path) -> None:
    write_splits(tmp_path, [{"id": 1, "name": "cat"}], None, val_images=[])
    assert CocoReader().read(tmp_path).images["split"].to_pylist() == ["train"]


def test_categories_are_compared_by_id_in_any_order(tmp_path: Path) -> None:
    """A split may leave out what it does not use, and supercategories are of no use here."""
    cat, dog = {"id": 5, "name": "cat", "supercategory": None}, {"id": 2, "name": "dog", "color": [1]}
    write_splits(tmp_path, [cat, dog, cat], [{"id": 7, "name": "owl"}, dog, {**cat, "supercategory": "pet"}])
    assert CocoReader().read(tmp_path).categories.to_pylist() == [
        {"category_id": 2, "class_index": 0, "name": "dog", "supercategory": ""},
        {"category_id": 5, "class_index": 1, "name": "cat", "supercategory": "pet"},
        {"category_id": 7, "class_index": 2, "name": "owl", "supercategory": ""},
    ]


def test_name_of_a_category_may_have_another_unicode_form_in_each_split(tmp_path: Path) -> None:
    """macOS decomposes letters, and the two names look the same."""
    name = "K\u00e4tzchen"
    write_splits(tmp_path, [{"id": 1, "name": name}], [{"id": 1, "name": unicodedata.normalize("NFD", name)}])
    assert CocoReader().read(tmp_path).categories["name"].to_pylist() == [name]


def test_ids_may_start_again_in_each_split(tmp_path: Path) -> None:
    annotations = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}]
    write_splits(tmp_path, [{"id": 1, "name": "cat"}], [{"id": 1, "name": "cat"}], annotations=annotations)
    tables = CocoReader().read(tmp_path)
    keys = [{"split": split, "image_id": 1} for split in ("train", "val")]
    assert tables.images.select(["split", "image_id"]).to_pylist() == keys
    assert tables.boxes.select(["split", "image_id"]).to_pylist() == keys
    assert {"box_id_duplicated", "image_id_duplicated"}.isdisjoint(violation_counts(validated(tables)))


def test_size_that_is_not_stated_is_that_of_the_file(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (30, 20)).save(buffer, "JPEG")
    for split in ("train", "val"):
        write_archive(tmp_path / "zips" / f"{split}2017.zip", [(f"{split}2017/a.jpg", buffer.getvalue())])
    images = [
        {"id": 1, "file_name": "a.jpg", "width": None, "height": None},
        {"id": 2, "file_name": "lost.jpg"},
        {"id": 3, "file_name": "a.jpg", "width": 31.0, "height": 20},
    ]
    write_splits(tmp_path, [{"id": 1, "name": "cat"}], None, images=images, val_images=[])
    tables = CocoReader().read(tmp_path)
    assert tables.images["width"].to_pylist() == [30, 0, 31]
    assert tables.images["height"].to_pylist() == [20, 0, 20]


def test_unreadable_values_are_logged_with_their_place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    annotations = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3]}, {"image_id": "x"}]
    write_splits(tmp_path, [{"id": 1, "name": "cat"}], None, val_images=[], annotations=annotations)
    CocoReader().read(tmp_path)
    assert caplog.messages[0].replace(f"{tmp_path}/", "") == (
        f"{START}: 5 values cannot be read. The stage `validate` moves the rows to quarantine. The first: "
        "annotations[0].bbox: received [1, 2, 3], expected four numbers."
    )


@pytest.mark.parametrize(
    ("train", "val", "expected"),
    [
        pytest.param(
            [{"id": 1, "name": "cat"}],
            [{"id": 1, "name": "dog"}],
            "annotations/annotations_trainval2017.zip: category id 1 has the name 'cat' in "
            "annotations/instances_train2017.json (categories[0]) and 'dog' in annotations/instances_val2017.json "
            "(categories[0]). Give it one name, or the classes different ids.",
            id="another name in each split",
        ),
        pytest.param(
            [{"id": 3, "name": "cat"}, {"id": 3, "name": "dog"}],
            [{"id": 3, "name": "cat"}, {"id": 3, "name": "dog"}],
            "annotations/annotations_trainval2017.zip: category id 3 has the name 'cat' in "
            "annotations/instances_train2017.json (categories[0]) and 'dog' in annotations/instances_train2017.json "
            "(categories[1]). Give it one name, or the classes different ids.",
            id="two names in one split",
        ),
        pytest.param(
            None,
            [],
            "annotations/annotations_trainval2017.zip: no split lists any categories. Correct the files, or download "
            "the archive again.",
            id="no categories",
        ),
    ],
)
def test_ambiguous_categories_are_an_error(
    tmp_path: Path, train: list[dict[str, Any]] | None, val: list[dict[str, Any]], expected: str
) -> None:
    write_splits(tmp_path, train, val)
    with pytest.raises(BoxlineError) as raised:
        CocoReader().read(tmp_path)
    assert str(raised.value).replace(f"{tmp_path}/", "") == expected


def test_missing_split_is_an_error(tmp_path: Path) -> None:
    assert failure(tmp_path, lambda text: text) == (
        "annotations/annotations_trainval2017.zip: member annotations/instances_val2017.json not found; "
        "the nearest name is 'annotations/instances_train2017.json'."
    )
