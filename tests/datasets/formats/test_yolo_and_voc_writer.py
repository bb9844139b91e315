"""Tables that are written as YOLO or VOC and read again, and that other programs could read."""

import math
import string
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pipeline.archives.archive_folder import ArchiveFolder
from pipeline.archives.file_tree import FileTree
from pipeline.archives.zip_archive import write_archive
from pipeline.core.errors import BoxlineError
from pipeline.datasets.annotations import Tables, boxes_xywh_of, categories_table, images_table
from pipeline.datasets.formats.exported_images import require_complete
from pipeline.datasets.formats.registry import get_format
from pipeline.datasets.formats.voc_writer import write_voc
from pipeline.datasets.formats.yolo_writer import write_yolo
from tests.support.scenes import box, boxes_table, image, tables

WRITERS = {"yolo": write_yolo, "voc": write_voc}
SPLITS = ("train", "val", "test")


def archive_of(folder: Path, images: pa.Table) -> ArchiveFolder:
    """One archive with all images, each with the header of its size and no pixels."""
    sizes = zip(*(images[name].to_pylist() for name in ("member", "width", "height")), strict=True)
    write_archive(folder / "images.zip", [(name, f"P5 {w} {h} 255\n".encode()) for name, w, h in sizes])
    return ArchiveFolder(folder)


def photo_tables(rows: Sequence[tuple[str, str, tuple[int, int]]], boxes: Sequence[dict[str, Any]]) -> Tables:
    """Images of (split, file name, size), whose ids are their positions from 1."""
    names = [name for _, name, _ in rows]
    ids, members = range(1, len(rows) + 1), [f"{number}.pgm" for number in range(len(rows))]
    splits, sizes = [split for split, *_ in rows], [size for *_, size in rows]
    images = images_table(ids, splits, names, sizes, ["images.zip"] * len(rows), members)
    return Tables(
        images,
        boxes_table(images.to_pylist(), boxes),
        categories_table([2, 5, 9], ["cat", "dog", "a b: #ö"], ["", "", ""]),
    )


sides = st.integers(1, 12_000)  # larger images are refused when they are read
names_of_images = st.text(string.ascii_letters + "/\\. _-%ö\n", max_size=12)
photos = st.lists(
    st.tuples(st.sampled_from(SPLITS), names_of_images, st.tuples(sides, sides)),
    min_size=1,
    max_size=4,
)
coordinates = st.floats(-100, 20_000, allow_nan=False) | st.integers(0, 500).map(float)
drawn_boxes = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from([2, 5, 9]), st.tuples(*[coordinates] * 4), st.booleans()), max_size=6
)


@pytest.mark.parametrize("name", WRITERS)
@given(rows=photos, drawn=drawn_boxes)
@example(rows=[("val", "a/1.jpg", (3, 7)), ("val", "b/1.jpg", (9, 2))], drawn=[(2, 5, (0.1, 0.2, 1 / 3, 1.5), False)])
def test_written_tables_are_read_with_the_same_boxes(
    tmp_path_factory: pytest.TempPathFactory, name: str, rows: Any, drawn: Any
) -> None:
    """Except for ids, names of files, outlines and crowd regions; numbers differ by less than 1e-9 pixels."""
    folder = tmp_path_factory.mktemp("round_trip")
    boxes = [
        box(number, of_image, category, xywh, is_crowd=is_crowd)
        for number, (of_image, category, xywh, is_crowd) in enumerate(drawn, 1)
        if of_image <= len(rows)
    ]
    given_ = photo_tables(rows, boxes)
    require_complete(given_)
    splits = [split for split in SPLITS if split in given_.images["split"].to_pylist()]
    (folder / "out").mkdir()
    WRITERS[name](folder / "out", given_, splits, archive_of(folder / "download", given_.images))
    if not boxes:
        return
    reader = get_format(name)
    reading = reader.read(FileTree(folder / "out"), reader.options_class())
    assert reading.refused.to_pylist() == []
    assert rows_by_size(reading.tables) == rows_by_size(given_)


def rows_by_size(given_: Tables) -> list[Any]:
    """Per image its split, size and boxes, in an order that names and ids do not change."""
    class_names = dict(zip(*(given_.categories[name].to_pylist() for name in ("category_id", "name")), strict=True))
    boxes_xywh = boxes_xywh_of(given_.boxes)
    found = []
    for row in given_.images.to_pylist():
        boxes = [
            (class_names[one["category_id"]], *(Coordinate(value) for value in xywh))
            for one, xywh in zip(given_.boxes.to_pylist(), boxes_xywh.tolist(), strict=True)
            if (one["split"], one["image_id"]) == (row["split"], row["image_id"]) and not one["is_crowd"]
        ]
        found.append((row["split"], row["width"], row["height"], boxes))
    return sorted(
        found, key=lambda one: (*one[:3], len(one[3]), [float(value) for _, *xywh in one[3] for value in xywh])
    )


class Coordinate(float):
    """Equal to a number that differs by less than 1e-9 pixels."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float) and abs(float(self) - float(other)) < 1e-9

    __hash__ = float.__hash__


SCENE = tables(
    [image(7, width=100, height=80), image(3, "train", width=100, height=80), image(9)],
    [
        box(4, 3, 5, (0, 0, 100, 80)),
        box(1, 7, 2, (10.5, 20, 30, 40.25)),
        box(9, 7, 2, (0, 0, 40, 27), is_crowd=True),
    ],
)


def test_yolo_is_written_as_ultralytics_has_it(tmp_path: Path) -> None:
    write_yolo(tmp_path, SCENE, ["train", "val"], None)
    files = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    data = YAML(typ="safe", pure=True).load(files.pop("data.yaml"))
    assert data == {"names": {0: "cat", 1: "dog"}, "train": "images/train", "val": "images/val"}
    assert files == {
        "labels/train/000000000003.txt": "1 0.5 0.5 1.0 1.0\n",
        "labels/val/000000000007.txt": f"0 {(10.5 + 15) / 100} {(20 + 20.125) / 80} 0.3 {40.25 / 80}\n",
        "labels/val/000000000009.txt": "",
    }


def test_voc_is_written_as_published(tmp_path: Path) -> None:
    write_voc(tmp_path, SCENE, ["train", "val"], None)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")) == [
        "Annotations/000000000003.xml",
        "Annotations/000000000007.xml",
        "Annotations/000000000009.xml",
        "ImageSets/Main/train.txt",
        "ImageSets/Main/val.txt",
    ]
    assert (tmp_path / "ImageSets/Main/val.txt").read_text() == "000000000007\n000000000009\n"
    root = ET.parse(tmp_path / "Annotations/000000000007.xml").getroot()
    assert [(element.tag, (element.text or "").strip()) for element in root.iter()] == [
        ("annotation", ""),
        *(("folder", "JPEGImages"), ("filename", "000000000007.jpg")),
        *(("size", ""), ("width", "100"), ("height", "80"), ("depth", "3")),
        ("segmented", "0"),
        *(("object", ""), ("name", "cat"), ("pose", "Unspecified"), ("truncated", "0"), ("difficult", "0")),
        *(("bndbox", ""), ("xmin", "10.5"), ("ymin", "20"), ("xmax", "40.5"), ("ymax", "60.25")),
    ]


@pytest.mark.parametrize("name", WRITERS)
def test_names_of_files_are_harmless_and_unique(tmp_path: Path, name: str) -> None:
    rows = [
        ("train", text, (4, 3)) for text in ("../../etc/passwd", "a/1.jpg", "b/1.jpg", "b/1.PNG", "x/..", "ö\n \\?.jpg")
    ]
    given_ = photo_tables(rows, [])
    out = tmp_path / "out"
    out.mkdir()
    WRITERS[name](out, given_, ["train"], archive_of(tmp_path / "download", given_.images))
    names = [path.name for path in (out / {"yolo": "images/train", "voc": "JPEGImages"}[name]).iterdir()]
    assert sorted(names) == ["1-2.pgm", "1-3.pgm", "1.pgm", "image.pgm", "passwd.pgm", "ö.pgm"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["download", "out"]


def test_class_that_xml_cannot_hold_is_an_error(tmp_path: Path) -> None:
    scene = Tables(SCENE.images, SCENE.boxes, categories_table([2, 5], ["cat\x01", "dog"], ["", ""]))
    with pytest.raises(BoxlineError) as raised:
        write_voc(tmp_path, scene, ["val"], None)
    assert str(raised.value) == r"the class 'cat\x01' has a control character, which XML cannot hold. Rename the class."


@pytest.mark.parametrize(
    ("images", "boxes", "message"),
    [
        ([image(1, width=0)], [], "row 1 of the images lacks width and height"),
        (
            [image(1)],
            [box(1, 1, 2, (1, 2, 3, 4)), box(2, 8, 2, (1, 2, 3, 4))],
            "row 2 of the boxes lacks an image_id of its split",
        ),
        ([image(1)], [box(1, 1, 3, (1, 2, 3, 4))], "row 1 of the boxes lacks the id of a category"),
        ([image(1)], [box(1, 1, 2, (1, math.nan, 3, 4))], "row 1 of the boxes lacks finite numbers"),
    ],
)
def test_tables_that_are_not_valid_are_an_error(images: Any, boxes: Any, message: str) -> None:
    with pytest.raises(BoxlineError) as raised:
        require_complete(tables(images, boxes))
    assert str(raised.value) == f"{message}. Export valid tables: data/DATASET/validate."
