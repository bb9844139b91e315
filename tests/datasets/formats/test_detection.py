"""Each format is told from all others by its files."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline.archives.zip_archive import write_archive
from pipeline.datasets.formats.detection import detect_formats
from tests.support.dataset_folders import png, write_tree

PNG = png(30, 20)
BOX = [1, 2, 3, 4]
COCO = {
    "images": [{"id": 1, "file_name": "1.png", "width": 30, "height": 20}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": BOX}],
    "categories": [{"id": 1, "name": "cat"}],
}
CORNERS = "<xmin>1</xmin><ymin>2</ymin><xmax>4</xmax><ymax>6</ymax>"
SHAPE = {"label": "cat", "points": [[1, 2], [4, 6]], "shape_type": "rectangle"}
VALUE = {"x": 1, "y": 2, "width": 3, "height": 4, "rectanglelabels": ["cat"]}
TASK = {"id": 1, "data": {"image": "1.png"}, "annotations": [{"result": [{"type": "rectanglelabels", "value": VALUE}]}]}

FILES: dict[str, Mapping[str, str]] = {
    "yolo": {"data.yaml": "names: [cat]\ntrain: images/train\n", "labels/train/1.txt": "0 0.5 0.5 0.1 0.1\n"},
    "coco": {"annotations.json": json.dumps(COCO)},
    "voc": {
        "1.xml": f"<annotation><object><name>cat</name><bndbox>{CORNERS}</bndbox></object></annotation>",
    },
    "cvat": {
        "annotations.xml": '<annotations><image name="1.png"><box label="cat" xtl="1" ytl="2" xbr="4" ybr="6"/></image>'
        "</annotations>"
    },
    "labelme": {"1.json": json.dumps({"shapes": [SHAPE], "imagePath": "1.png"})},
    "label_studio": {"export.json": json.dumps([TASK])},
    "csv": {"labels.csv": "filename,class,xmin,ymin,xmax,ymax\n1.png,cat,1,2,4,6\n"},
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("is_archive", [False, True])
def test_files_fit_their_format_only(tmp_path: Path, name: str, is_archive: bool) -> None:
    files = {**FILES[name], "images/train/1.png": PNG, "README.md": "# Photographs\n"}
    if is_archive:
        members = {file: content.encode() if isinstance(content, str) else content for file, content in files.items()}
        write_archive(tmp_path / "some.zip", members.items())
        files = {}
    assert list(detect_formats(write_tree(tmp_path, files))) == [name]


def test_several_formats_are_named_from_the_most_specific(tmp_path: Path) -> None:
    files = {file: content for name in ("csv", "voc", "cvat", "coco") for file, content in FILES[name].items()}
    assert list(detect_formats(write_tree(tmp_path, files))) == ["coco", "voc", "cvat", "csv"]


def test_other_files_fit_no_format(tmp_path: Path) -> None:
    files = {"1.png": PNG, "a.xml": "<html/>", "b.json": '{"a": [1]}', "c.json": "[", "d.xml": b"\xff\xfe"}
    assert detect_formats(write_tree(tmp_path, files)) == {}
