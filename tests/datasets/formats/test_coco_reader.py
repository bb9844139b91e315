"""COCO JSON of any layout, read from folders and archives."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archives.file_tree import FileTree
from pipeline.archives.zip_archive import write_archive
from pipeline.core import schema
from pipeline.core.errors import BoxlineError
from pipeline.datasets.annotations import Reading
from pipeline.datasets.coco.reader import CocoReader as PublishedCocoReader
from pipeline.datasets.coco.sample import CocoSampleWriter, SampleConfig
from pipeline.datasets.formats.coco_reader import CocoOptions, CocoReader
from tests.support.tiny_project import PROJECT
from tests.support.validation_scene import validated, violation_counts

REAL_DATA = PROJECT.parent / "shared" / "data"

CATEGORIES = [{"id": 1, "name": "cat", "supercategory": "pet"}, {"id": 2, "name": "dog", "supercategory": "pet"}]


def image(number: int, name: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": number, "file_name": name or f"{number}.jpg", "width": 64, "height": 48, **more}


def box(number: int, of_image: int, category: int = 1, **more: Any) -> dict[str, Any]:
    values = {"id": number, "image_id": of_image, "category_id": category, "bbox": [number, 2, 3.5, 4], "area": 14.0}
    return {**values, "iscrowd": 0, **more}


def coco(images: list[Any], annotations: list[Any], categories: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    """The content of a file, in COCO's order of keys."""
    listed = CATEGORIES if categories is None else categories
    return {
        "info": {"year": 2024},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": listed,
        **more,
    }


def write(folder: Path, files: Mapping[str, Any]) -> Path:
    """Write files: a dictionary or list as JSON, bytes as they are, and None as an image that nobody opens."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            content if isinstance(content, bytes) else b"" if content is None else json.dumps(content).encode()
        )
    return folder


def read(folder: Path, classes: tuple[str, ...] = ()) -> Reading:
    return CocoReader().read(FileTree(folder), CocoOptions(), classes)


def images_of(reading: Reading) -> list[tuple[str, int, str]]:
    return [(row["split"], row["image_id"], row["file_name"]) for row in reading.tables.images.to_pylist()]


def boxes_of(reading: Reading) -> list[tuple[str, int, int, int]]:
    rows = reading.tables.boxes.to_pylist()
    return [(row["split"], row["box_id"], row["image_id"], row["category_id"]) for row in rows]


def refused_of(reading: Reading) -> list[tuple[str, str, int, str]]:
    return [(row["file"], row["element"], row["number"], row["reason"]) for row in reading.refused.to_pylist()]


def passed_over_of(reading: Reading) -> dict[str, tuple[int, str]]:
    return {row["kind"]: (row["count"], row["examples"]) for row in reading.passed_over.to_pylist()}


ONE = coco([image(1)], [box(1, 1)])
TWO = coco([image(1), image(2)], [box(1, 1), box(2, 2, 2)])


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param(
            {
                "train/_annotations.coco.json": TWO,
                "train/1.jpg": None,
                "train/2.jpg": None,
                "valid/_annotations.coco.json": ONE,
                "valid/1.jpg": None,
            },
            [("train", 1, "train/1.jpg"), ("train", 2, "train/2.jpg"), ("val", 1, "valid/1.jpg")],
            id="Roboflow: a file beside the images of each split, whose names and ids start again",
        ),
        pytest.param(
            {"annotations/instances_default.json": TWO, "images/1.jpg": None, "images/2.jpg": None},
            [("", 1, "images/1.jpg"), ("", 2, "images/2.jpg")],
            id="CVAT",
        ),
        pytest.param(
            {"annotations.json": TWO, "images/1.jpg": None, "images/sub/2.jpg": None},
            [("", 1, "images/1.jpg"), ("", 2, "images/sub/2.jpg")],
            id="a file above the images",
        ),
        pytest.param(
            {
                "a/annotations/instances_train2017.json": ONE,
                "a/annotations/instances_val2017.json": ONE,
                "a/zips/train2017/1.jpg": None,
                "a/zips/val2017/1.jpg": None,
            },
            [("train", 1, "a/zips/train2017/1.jpg"), ("val", 1, "a/zips/val2017/1.jpg")],
            id="COCO's own",
        ),
        pytest.param(
            {
                "labels.json": coco([image(1, "train/1.jpg"), image(2, "test/1.jpg"), image(3, "3.jpg")], []),
                "train/1.jpg": None,
                "test/1.jpg": None,
                "3.jpg": None,
            },
            [("train", 1, "train/1.jpg"), ("test", 2, "test/1.jpg"), ("", 3, "3.jpg")],
            id="one file for the folders of all splits",
        ),
        pytest.param(
            {
                "labels.json": coco(
                    [
                        image(1, "C:\\data\\images\\1.jpg"),
                        image(2, "./images//2.JPG"),
                        image(3, "images/%C3%A4%203.jpg"),
                    ],
                    [],
                ),
                "images/1.jpg": None,
                "images/2.jpg": None,
                "images/\u00e4 3.jpg": None,
            },
            [("", 1, "images/1.jpg"), ("", 2, "images/2.jpg"), ("", 3, "images/\u00e4 3.jpg")],
            id="names from other machines",
        ),
        pytest.param(
            {"train.json": ONE, "val/1.jpg": None},
            [("train", 1, "1.jpg")],
            id="an image of another split is not taken",
        ),
        pytest.param(
            {"labels.json": ONE, "a/1.jpg": None, "b/1.jpg": None},
            [("", 1, "1.jpg")],
            id="several images fit equally well",
        ),
        pytest.param(
            {"labels.json": coco([image(1, "../../1.jpg"), image(2, "/etc/passwd")], []), "photo.jpg": None},
            [("", 1, "../../1.jpg"), ("", 2, "etc/passwd")],
            id="names outside of the dataset",
        ),
    ],
)
@pytest.mark.parametrize("is_archive", [False, True])
def test_images_are_found_and_assigned_to_splits(
    tmp_path: Path, files: dict[str, Any], expected: list[tuple[str, int, str]], is_archive: bool
) -> None:
    root = write(tmp_path / "files", files)
    if is_archive:
        members = [(path.relative_to(root).as_posix(), path.read_bytes()) for path in root.rglob("*") if path.is_file()]
        root = tmp_path / "photos.zip"
        write_archive(root, members)
    reading = read(root)
    assert images_of(reading) == expected
    assert refused_of(reading) == []
    archive = "photos.zip" if is_archive else ""
    assert reading.tables.images["archive"].to_pylist() == [archive] * len(expected)
    assert reading.tables.images["member"].to_pylist() == [name for _, _, name in expected]


def test_rows_have_values_and_places(tmp_path: Path) -> None:
    outline = [[1.5, 2, 3, 4, 5, 6]]
    content = coco([image(5)], [box(3, 5, segmentation=outline), box(9, 5, 2, iscrowd=1, area=None)])
    reading = read(write(tmp_path, {"test/labels.json": content, "test/5.jpg": None}))
    first, second = reading.tables.boxes.to_pylist()
    assert json.loads(first.pop("outline")) == outline
    xywh = {"x": 3.0, "y": 2.0, "width": 3.5, "height": 4.0}
    assert first == {
        "box_id": 3,
        "split": "test",
        "image_id": 5,
        "category_id": 1,
        **xywh,
        "area": 14.0,
        "is_crowd": False,
    }
    assert (second["outline"], second["is_crowd"], second["area"]) == (None, True, 14.0)
    place = {"file": "test/labels.json"}
    assert reading.image_locations.to_pylist() == [{**place, "element": "image", "number": 1}]
    assert reading.box_locations.to_pylist() == [{**place, "element": "annotation", "number": n} for n in (1, 2)]
    assert reading.tables.categories.to_pylist() == [
        {"category_id": 1, "class_index": 0, "name": "cat", "supercategory": "pet"},
        {"category_id": 2, "class_index": 1, "name": "dog", "supercategory": "pet"},
    ]


def test_size_that_is_not_stated_is_that_of_the_file(tmp_path: Path) -> None:
    portable_gray = b"P5 30 20 255\n" + bytes(600)
    content = coco([image(1, "a.pgm", width=None), image(2, "lost.pgm", height=None)], [])
    reading = read(write(tmp_path, {"labels.json": content, "a.pgm": portable_gray}))
    sizes = [(row["width"], row["height"]) for row in reading.tables.images.to_pylist()]
    assert sizes == [(30, 20), (0, 0)]


def test_ids_from_zero_are_increased_by_one_in_all_files(tmp_path: Path) -> None:
    categories = [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]
    train = coco([image(0), image(1)], [box(0, 0, 0), box(1, 1, 1)], categories)
    val = coco([image(3)], [box(7, 3, 1)], categories)
    reading = read(write(tmp_path, {"train.json": train, "val.json": val}))
    assert images_of(reading) == [("train", 1, "0.jpg"), ("train", 2, "1.jpg"), ("val", 4, "3.jpg")]
    assert boxes_of(reading) == [("train", 1, 1, 1), ("train", 2, 2, 2), ("val", 8, 4, 2)]
    assert reading.tables.categories["category_id"].to_pylist() == [1, 2]


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        pytest.param(("a.json", "b.json"), ("", ""), id="without splits"),
        pytest.param(("train/a.json", "train/b.json"), ("train", "train"), id="two files of one split"),
        pytest.param(("train.json", "a.json"), ("train", ""), id="one without a split, which may become train"),
    ],
)
def test_clashing_ids_are_numbered_anew(tmp_path: Path, names: tuple[str, str], splits: tuple[str, str]) -> None:
    """Each box stays with its image and class."""
    first = coco([image(1, "a1.jpg"), image(5, "a5.jpg")], [box(1, 5, 2), box(4, 1)])
    second = coco([image(5, "b5.jpg"), image(1, "b1.jpg")], [box(4, 1), box(1, 5, 2), box(9, 5)])
    reading = read(write(tmp_path, dict(zip(names, (first, second), strict=True))))
    assert images_of(reading) == [
        (splits[0], 1, "a1.jpg"),
        (splits[0], 2, "a5.jpg"),
        (splits[1], 4, "b5.jpg"),
        (splits[1], 3, "b1.jpg"),
    ]
    assert boxes_of(reading) == [
        (splits[0], 1, 2, 2),
        (splits[0], 2, 1, 1),
        (splits[1], 4, 3, 1),
        (splits[1], 3, 4, 2),
        (splits[1], 5, 4, 1),
    ]


def test_id_that_a_file_has_twice_stays_one(tmp_path: Path) -> None:
    """The stage `validate` reports both boxes, also if clashes with another file have them renumbered."""
    first, second = coco([image(1, "a.jpg")], [box(1, 1), box(1, 1, 2)]), coco([image(1, "b.jpg")], [box(1, 1)])
    reading = read(write(tmp_path, {"train_a.json": first, "train_b.json": second}))
    assert boxes_of(reading) == [("train", 1, 1, 1), ("train", 1, 1, 2), ("train", 2, 2, 1)]
    assert violation_counts(validated(reading.tables))["box_id_duplicated"] == 2


def test_boxes_of_an_image_in_several_files_of_a_split_are_joined(tmp_path: Path) -> None:
    files = {"train/cats.json": ONE, "train/dogs.json": coco([image(7, "1.jpg")], [box(1, 7, 2)]), "train/1.jpg": None}
    reading = read(write(tmp_path, files))
    assert images_of(reading) == [("train", 1, "train/1.jpg")]
    assert boxes_of(reading) == [("train", 1, 1, 1), ("train", 2, 1, 2)]
    assert passed_over_of(reading) == {
        "images listed again, whose boxes are added to those of the first": (1, "'train/1.jpg'")
    }


def test_image_in_two_splits_is_of_the_first(tmp_path: Path) -> None:
    files = {"train.json": TWO, "val.json": TWO, "all.json": TWO, "images/1.jpg": None, "images/2.jpg": None}
    reading = read(write(tmp_path, files))
    assert images_of(reading) == [("train", 1, "images/1.jpg"), ("train", 2, "images/2.jpg")]
    assert reading.tables.boxes.num_rows == 2
    assert refused_of(reading) == [
        (
            "val.json",
            "image",
            number,
            f"file_name: received '{number}.jpg', which is in the split train already (train.json, image {number})",
        )
        for number in (1, 2)
    ]
    assert reading.refused["split"].to_pylist() == ["val", "val"]
    assert reading.refused["file_name"].to_pylist() == ["images/1.jpg", "images/2.jpg"]
    assert passed_over_of(reading) == {
        "boxes of images that are listed in another split": (4, "'all.json', 'val.json'"),
        "images listed again without a split": (2, "'images/1.jpg', 'images/2.jpg'"),
    }


def names_of(reading: Reading) -> list[tuple[int, str, str]]:
    rows = reading.tables.categories.to_pylist()
    return [(row["category_id"], row["name"], row["supercategory"]) for row in rows]


def test_class_that_only_groups_others_is_left_out(tmp_path: Path) -> None:
    categories = [
        {"id": 0, "name": "cells", "supercategory": "none"},
        {"id": 1, "name": "red", "supercategory": "cells"},
        {"id": 2, "name": "cells", "supercategory": "cells"},
    ]
    content = coco([image(1)], [box(1, 1, 2)], categories)
    reading = read(write(tmp_path, {"labels.json": content}))
    assert names_of(reading) == [(1, "red", "cells"), (2, "cells", "cells")]
    assert passed_over_of(reading) == {"classes without boxes that only group others": (1, "'cells'")}
    used = read(write(tmp_path, {"labels.json": coco([image(1)], [box(1, 1, 0)], categories)}))
    assert [name for _, name, _ in names_of(used)] == ["cells", "red"]


@pytest.mark.parametrize(
    ("other", "expected", "of_box"),
    [
        pytest.param([{"id": 2, "name": "dog"}], [(1, "cat"), (2, "dog")], 2, id="a part of the classes"),
        pytest.param([], [(1, "cat"), (2, "dog")], 2, id="no classes"),
        pytest.param(
            [{"id": 2, "name": "cat"}, {"id": 1, "name": "dog"}], [(1, "cat"), (2, "dog")], 1, id="other order"
        ),
        pytest.param([{"id": 2, "name": "owl"}], [(1, "cat"), (2, "dog"), (3, "owl")], 3, id="an id with another name"),
        pytest.param([{"id": 2, "name": "cat"}], [(1, "cat"), (2, "dog")], 1, id="a name with another id"),
        pytest.param(
            [{"id": 2, "name": "cat"}, {"id": 99_999, "name": "x"}], [(1, "cat"), (2, "dog"), (3, "x")], 1, id="large"
        ),
    ],
)
def test_classes_of_splits_are_one_by_their_names(
    tmp_path: Path, other: list[Any], expected: list[tuple[int, str]], of_box: int
) -> None:
    files = {"train.json": ONE, "val.json": coco([image(1)], [box(1, 1, 2)], other)}
    reading = read(write(tmp_path, files))
    assert [(number, name) for number, name, _ in names_of(reading)] == expected
    assert boxes_of(reading) == [("train", 1, 1, 1), ("val", 1, 1, of_box)]


def test_classes_to_keep_are_numbered_in_their_order(tmp_path: Path) -> None:
    content = coco([image(1)], [box(1, 1, 1), box(2, 1, 2), box(3, 1, 2)])
    reading = read(write(tmp_path, {"labels.json": content}), ("owl", "cat"))
    assert names_of(reading) == [(1, "owl", ""), (2, "cat", "pet")]
    assert boxes_of(reading) == [("", 1, 1, 2)]
    assert passed_over_of(reading) == {"boxes of classes that are not listed": (2, "'dog'")}


def test_entries_that_cannot_be_read_are_refused_with_their_places(tmp_path: Path) -> None:
    images = [image(1), {"id": "x"}, image(2, file_name=None), image(3, "a.jpg"), image(3, "b.jpg"), image(1)]
    categories = [*CATEGORIES, {"id": 4, "name": "owl"}, {"id": 4, "name": "bat"}, {"id": None, "name": "elk"}]
    boxes = [
        box(1, 1),
        box(2, 1, bbox=[1, 2, 3], category_id="cat"),
        box(3, 2),
        box(4, 3),
        box(5, 99),
        box(6, 1, 4),
        box(7, 1, 50),
        box(8, 0),
    ]
    reading = read(write(tmp_path, {"val.json": coco(images, boxes, categories)}))
    an_id = "a whole number from -4611686018427387904 to 4611686018427387904"
    assert refused_of(reading) == [
        ("val.json", "category", 3, "id: received 4, which has several names in this file: 'bat', 'owl'"),
        ("val.json", "category", 4, "id: received 4, which has several names in this file: 'bat', 'owl'"),
        ("val.json", "category", 5, "id: received null or nothing, expected a whole number"),
        (
            "val.json",
            "image",
            2,
            f"id: received 'x', expected {an_id}; file_name: received null or nothing, expected text",
        ),
        ("val.json", "image", 3, "file_name: received null or nothing, expected text"),
        ("val.json", "image", 4, "id: received 3, which several images have"),
        ("val.json", "image", 5, "id: received 3, which several images have"),
        (
            "val.json",
            "annotation",
            2,
            "category_id: received 'cat', expected a whole number from -2147483647 to 2147483647; "
            "bbox: received [1, 2, 3], expected four numbers",
        ),
        ("val.json", "annotation", 3, "image_id: received 2, which is an image that is refused"),
        ("val.json", "annotation", 4, "image_id: received 3, which is an image that is refused"),
        ("val.json", "annotation", 5, "image_id: received 99, expected the id of an image in this file"),
        ("val.json", "annotation", 6, "category_id: received 4, expected the id of a category with one name"),
        ("val.json", "annotation", 7, "category_id: received 50, expected the id of a category with one name"),
        ("val.json", "annotation", 8, "image_id: received 0, expected the id of an image in this file"),
    ]
    assert boxes_of(reading) == [("val", 1, 1, 1)]
    assert reading.box_locations["number"].to_pylist() == [1]
    assert images_of(reading) == [("val", 1, "1.jpg")]


CAPTIONS = coco([image(1)], [{"id": 1, "image_id": 1, "caption": "a cat"}])
PANOPTIC = coco([image(1)], [{"image_id": 1, "file_name": "1.png", "segments_info": [{"id": 1, "bbox": [1, 2, 3, 4]}]}])


def test_only_boxes_are_read_of_files_about_the_same_images(tmp_path: Path) -> None:
    reading = read(
        write(
            tmp_path,
            {
                "annotations/instances_val2017.json": ONE,
                "annotations/person_keypoints_val2017.json": TWO,
                "annotations/stuff_val2017.json": TWO,
                "annotations/captions_train2017.json": CAPTIONS,
                "annotations/panoptic_train2017.json": PANOPTIC,
                "annotations/image_info_test2017.json": {"images": [image(9)], "categories": CATEGORIES},
                "results.json": [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}],
                "shapes.json": {"shapes": [], "imagePath": "1.jpg"},
                "val2017/1.jpg": None,
                "val2017/2.jpg": None,
                "README": b"about",
            },
        )
    )
    assert images_of(reading) == [("val", 1, "val2017/1.jpg")]
    assert reading.tables.boxes.num_rows == 1
    assert refused_of(reading) == []
    assert passed_over_of(reading) == {
        "JSON files in another format": (2, "'results.json', 'shapes.json'"),
        "JSON files with other annotations of the same images": (
            2,
            "'annotations/person_keypoints_val2017.json', 'annotations/stuff_val2017.json'",
        ),
        "JSON files without boxes": (
            3,
            "'annotations/captions_train2017.json', 'annotations/image_info_test2017.json', "
            "'annotations/panoptic_train2017.json'",
        ),
        "images that no annotation file lists": (1, "'val2017/2.jpg'"),
        "other files": (1, "'README'"),
    }


def test_damaged_files_are_refused_alone(tmp_path: Path) -> None:
    text = json.dumps(ONE).encode()
    latin = text.replace(b'"cat"', b'"k\xe4tzchen"')
    files = {
        "train.json": ONE,
        "cut.json": text[:-40],
        "latin.json": latin,
        "utf16.json": json.dumps(ONE).encode("utf-16"),
        "page.json": b"<html>",
    }
    reading = read(write(tmp_path, files))
    not_coco = "received a file that is not COCO's format"
    assert refused_of(reading) == [
        ("page.json", "file", 0, "received a file that is not JSON, expected COCO's format in UTF-8"),
        ("utf16.json", "file", 0, "received a file that is not JSON, expected COCO's format in UTF-8"),
        ("cut.json", "file", 0, f"{not_coco} (Input data was truncated)"),
        (
            "latin.json",
            "file",
            0,
            f"{not_coco} ('utf-8' codec can't decode byte 0xe4 in position {latin.index(0xE4)}: "
            "invalid continuation byte)",
        ),
    ]
    assert images_of(reading) == [("train", 1, "1.jpg")]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        pytest.param({}, 'there is no JSON file with "images" and "annotations" that have a "bbox"', id="nothing"),
        pytest.param(
            {"labels.json": json.dumps(ONE).encode()[:-9]},
            'there is no JSON file with "images" and "annotations" that have a "bbox". labels.json: received a file '
            "that is not COCO's format (Input data was truncated)",
            id="damaged",
        ),
        pytest.param({"a.json": coco([image(1)], [], [])}, "no file lists any categories: a.json", id="no classes"),
    ],
)
def test_nothing_to_read_is_an_error(tmp_path: Path, files: dict[str, Any], message: str) -> None:
    with pytest.raises(BoxlineError) as raised:
        read(write(tmp_path, files))
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("files", "evidence"),
    [
        (
            {"train/_annotations.coco.json": ONE},
            "JSON with COCO's images and annotations in train/_annotations.coco.json",
        ),
        ({"a.json": dict(reversed(ONE.items()))}, "JSON with COCO's images and annotations in a.json"),
        (
            {**{f"{n:03d}.json": {"shapes": []} for n in range(100)}, "z/train.json": ONE, "z/val.json": ONE},
            "JSON with COCO's images and annotations in z/train.json, z/val.json",
        ),
        ({"results.json": [{"image_id": 1, "bbox": [1, 2, 3, 4]}]}, None),
        ({"1.json": {"shapes": [], "imagePath": "1.jpg", "imageData": "images"}}, None),
        ({"package.json": {"images": ["a.png"]}, "broken.json": b"\xff{"}, None),
        ({"1.jpg": None}, None),
    ],
)
def test_format_is_detected_by_the_beginning_of_files(
    tmp_path: Path, files: dict[str, Any], evidence: str | None
) -> None:
    detection = CocoReader().detect(FileTree(write(tmp_path, files)))
    assert (detection and detection.evidence) == evidence


def test_sample_is_read_as_by_the_reader_of_the_published_dataset(tmp_path: Path) -> None:
    CocoSampleWriter().write(tmp_path, SampleConfig(seed=3, train_images=12, val_images=4))
    assert_read_as_published(tmp_path)


def assert_read_as_published(folder: Path) -> None:
    """All columns but the names of files, which are paths in the folder here."""
    published, reading = PublishedCocoReader().read(folder), read(folder)
    assert reading.tables.boxes.equals(published.boxes)
    assert reading.tables.categories.equals(published.categories)
    same = [name for name in schema.IMAGES.names if name != "file_name"]
    assert reading.tables.images.select(same).equals(published.images.select(same))
    ends = pc.binary_join_element_wise("zips", published.images["member"], "/")
    assert reading.tables.images["file_name"].equals(ends.cast(pa.string()))
    assert reading.refused.num_rows == reading.passed_over.num_rows == 0


real_data = pytest.mark.skipif(not REAL_DATA.is_dir(), reason="no real images: ../shared/data is not there")


@pytest.mark.real_data
@real_data
def test_real_coco_is_read_as_by_the_reader_of_the_published_dataset() -> None:
    assert_read_as_published(REAL_DATA / "coco")


@pytest.mark.real_data
@real_data
def test_real_export_of_roboflow() -> None:
    reading = read(REAL_DATA / "real" / "rbc_coco")
    tables = reading.tables
    assert (tables.images.num_rows, tables.boxes.num_rows) == (230, 5417)
    assert tables.images["split"].to_pylist() == ["train"] * 210 + ["val"] * 20
    assert names_of(reading) == [(1, "rbc", "RBC-WBC"), (2, "wbc", "RBC-WBC")]
    assert reading.refused.num_rows == 0
    assert passed_over_of(reading) == {
        "classes without boxes that only group others": (1, "'RBC-WBC'"),
        "other files": (2, "'LICENSE', 'SOURCE.txt'"),
    }
    assert all(name in FileTree(REAL_DATA / "real" / "rbc_coco") for name in tables.images["file_name"].to_pylist())


numbers = st.none() | st.integers(-2, 4) | st.floats() | st.sampled_from([2**63, 10**400, "1", "x", True])
odd_images = st.fixed_dictionaries(
    {},
    optional={
        "id": numbers,
        "file_name": st.sampled_from(["1.jpg", "2.jpg", "a/1.jpg", "", None, 7]),
        "width": numbers,
    },
)
odd_boxes = st.fixed_dictionaries(
    {"bbox": st.lists(numbers, min_size=3, max_size=5) | numbers},
    optional={"id": numbers, "image_id": numbers, "category_id": numbers, "iscrowd": numbers, "area": numbers},
)
odd_categories = st.fixed_dictionaries(
    {}, optional={"id": numbers, "name": st.sampled_from(["cat", "dog", "", None]), "supercategory": st.just("cat")}
)
whole_images = st.builds(image, st.integers(0, 3), st.sampled_from(["1.jpg", "2.jpg", "3.jpg"]))
whole_boxes = st.builds(box, st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
whole_categories = st.builds(
    lambda n, name: {"id": n, "name": name}, st.integers(0, 3), st.sampled_from(["cat", "dog"])
)
contents = st.builds(
    coco,
    st.lists(whole_images | odd_images, max_size=4),
    st.lists(whole_boxes | odd_boxes, max_size=5),
    st.lists(whole_categories | odd_categories, max_size=4),
)
names_of_files = st.sampled_from(["train.json", "val.json", "train/b.json", "labels.json", "x/labels.json"])


@given(st.dictionaries(names_of_files, contents, min_size=1), st.sampled_from([(), ("dog",)]))
def test_every_entry_is_a_row_refused_or_passed_over(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, Any], classes: tuple[str, ...]
) -> None:
    folder = write(tmp_path_factory.mktemp("any"), {**files, "images/1.jpg": None})
    try:
        reading = read(folder, classes)
    except BoxlineError:
        return
    kinds = {kind: count for kind, (count, _) in passed_over_of(reading).items()}
    unread = {"JSON files without boxes", "JSON files in another format"} & set(kinds)
    refused = reading.refused["element"].to_pylist()
    if not unread and "file" not in refused:
        num_images = sum(len(content["images"]) for content in files.values())
        again = [
            kinds.get(kind, 0)
            for kind in (
                "images listed again, whose boxes are added to those of the first",
                "images listed again without a split",
            )
        ]
        assert num_images == reading.tables.images.num_rows + refused.count("image") + sum(again)
        num_boxes = sum(len(content["annotations"]) for content in files.values())
        left = [
            kinds.get(kind, 0)
            for kind in ("boxes of images that are listed in another split", "boxes of classes that are not listed")
        ]
        assert num_boxes == reading.tables.boxes.num_rows + refused.count("annotation") + sum(left)
    assert reading.image_locations.num_rows == reading.tables.images.num_rows
    assert reading.box_locations.num_rows == reading.tables.boxes.num_rows
    names = reading.tables.images["file_name"].to_pylist()
    keys = [(row["split"], row["image_id"]) for row in reading.tables.images.to_pylist()]
    assert len(set(keys)) == len(names)
    validated(reading.tables)


@given(st.data())
def test_damaged_bytes_give_rows_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    text = bytearray(json.dumps(TWO).encode())
    for position in data.draw(st.lists(st.integers(0, len(text) - 1), max_size=4)):
        text[position] = data.draw(st.sampled_from(b'{}[],:"0e- \\\xff'))
    end = data.draw(st.integers(0, len(text)))
    folder = write(tmp_path_factory.mktemp("damaged"), {"train.json": bytes(text[:end])})
    with contextlib.suppress(BoxlineError):
        validated(read(folder).tables)


def test_file_without_an_image_that_can_be_read_is_an_error(tmp_path: Path) -> None:
    content = coco([image(1) | {"id": "im1"}, image(2) | {"id": "im2"}], [box(1, 1) | {"image_id": "im1"}])
    with pytest.raises(BoxlineError) as caught:
        read(write(tmp_path, {"labels.json": content, "1.jpg": None}))
    assert str(caught.value) == (
        "no image can be read of those that labels.json lists. labels.json: id: received 'im1', expected a whole "
        "number from -4611686018427387904 to 4611686018427387904"
    )
