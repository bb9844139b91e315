"""The readers of file formats: speed beside plain loops, and memory for a million images.

`python -m benchmarks.readers FORMAT IMAGES` writes a dataset of that many images, reads it in a process of its own, and
prints its seconds and its peak memory in MB.
"""

import io
import json
import os
import struct
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.processes import compare, run
from pipeline.archives.crc32c import crc32c
from pipeline.archives.file_tree import FileTree
from pipeline.archives.zip_archive import write_archive
from pipeline.datasets.formats.registry import get_format
from tests.support.tfrecord_files import Values, example

ROUNDS = 3
LOOSE_IMAGES = 20_000
MEMORY_IMAGES = 1_000_000
BOXES_PER_IMAGE = 2
WIDTH, HEIGHT = 640, 480
CLASSES = ("cat", "dog", "owl")
ANNOTATIONS, IMAGES = "annotations.zip", "images.zip"
"""The archives that the stage `download` makes of loose files."""

File = tuple[str, bytes]
BoxXyxy = tuple[int, str, int, int, int, int]
"""Class index, class, left, top, right and bottom edge in pixels."""


def readers_benchmark() -> dict[str, dict[str, float]]:
    """The results by their names in benchmarks/results/speed.json."""
    results = {}
    for name, comparisons in COMPARISONS.items():
        with tempfile.TemporaryDirectory() as temporary:
            write_loose_files(name, LOOSE_IMAGES, Path(temporary))
            for description, slow in comparisons.items():
                measured = compare("benchmarks.readers", slow, f"read_{name}", Path(temporary), ROUNDS)
                results[f"{name}, {LOOSE_IMAGES:,} loose files: {description} / tables"] = {
                    **measured,
                    "files_per_second": LOOSE_IMAGES / measured["fast_seconds"],
                }
    for name in (*DATASETS, TFRECORD):
        results[f"{name}, {MEMORY_IMAGES:,} images in archives: tables"] = measure(name, MEMORY_IMAGES)
    return results


def measure(name: str, num_images: int) -> dict[str, float]:
    """Seconds and peak memory in MB of reading a generated dataset in a process of its own."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if name == TFRECORD:
            write_records(num_images, folder)
        else:
            write_packed(name, num_images, folder)
        return run("benchmarks.readers", f"read_{name}", folder)


def write_loose_files(name: str, num_images: int, folder: Path) -> None:
    """Write the dataset as a user has it."""
    for file, content in [*DATASETS[name](num_images), *((image_name(n), IMAGE) for n in range(num_images))]:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _image() -> bytes:
    """An image cut after its header, which is all that readers look at."""
    file = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT)).save(file, "JPEG")
    return file.getvalue()[:700]


IMAGE = _image()


def image_name(number: int) -> str:
    """As COCO, VOC and YOLO have it, after a folder that tells the split."""
    return f"images/train/{number:012d}.jpg"


def _boxes(num_images: int) -> Iterator[list[BoxXyxy]]:
    """Random boxes of each image."""
    random = np.random.default_rng(2017)
    for _ in range(num_images):
        low = random.integers(0, HEIGHT // 2, (BOXES_PER_IMAGE, 2))
        corners = np.hstack([low, low + random.integers(1, HEIGHT // 2, low.shape)]).tolist()
        indices = random.integers(0, len(CLASSES), BOXES_PER_IMAGE).tolist()
        yield [(index, CLASSES[index], *xyxy) for index, xyxy in zip(indices, corners, strict=True)]


def voc(num_images: int) -> Iterator[File]:
    """An XML file per image."""
    for number, boxes in enumerate(_boxes(num_images)):
        objects = "".join(
            f"<object><name>{name}</name><pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>"
            f"<bndbox><xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
            for _, name, left, top, right, bottom in boxes
        )
        text = (
            f"<annotation><folder>train</folder><filename>{number:012d}.jpg</filename>"
            f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>{objects}</annotation>"
        )
        yield f"Annotations/train/{number:012d}.xml", text.encode()


def yolo(num_images: int) -> Iterator[File]:
    """A text file per image, and data.yaml."""
    yield "data.yaml", f"train: images/train\nval: images/train\nnames: [{', '.join(CLASSES)}]\n".encode()
    for number, boxes in enumerate(_boxes(num_images)):
        lines = [
            f"{index} {(left + right) / 2 / WIDTH:.6f} {(top + bottom) / 2 / HEIGHT:.6f} "
            f"{(right - left) / WIDTH:.6f} {(bottom - top) / HEIGHT:.6f}\n"
            for index, _, left, top, right, bottom in boxes
        ]
        yield f"labels/train/{number:012d}.txt", "".join(lines).encode()


def coco(num_images: int) -> Iterator[File]:
    """One JSON file."""
    images, annotations = io.StringIO(), io.StringIO()
    for number, boxes in enumerate(_boxes(num_images), 1):
        name = f"{number - 1:012d}.jpg"
        images.write(f',{{"id": {number}, "file_name": "{name}", "height": {HEIGHT}, "width": {WIDTH}}}')
        for row, (index, _, left, top, right, bottom) in enumerate(boxes, BOXES_PER_IMAGE * (number - 1) + 1):
            annotations.write(
                f',{{"id": {row}, "image_id": {number}, "category_id": {index + 1}, "iscrowd": 0, '
                f'"bbox": [{left}, {top}, {right - left}, {bottom - top}], "segmentation": []}}'
            )
    categories = json.dumps([{"id": index, "name": name} for index, name in enumerate(CLASSES, 1)])
    text = f'{{"images": [{images.getvalue()[1:]}], "annotations": [{annotations.getvalue()[1:]}], '
    yield "annotations/instances_train.json", (text + f'"categories": {categories}}}').encode()


def csv(num_images: int) -> Iterator[File]:
    """One file with a line per box."""
    text = io.StringIO("filename,width,height,class,xmin,ymin,xmax,ymax\n")
    text.seek(0, os.SEEK_END)
    for number, boxes in enumerate(_boxes(num_images)):
        for _, name, *xyxy in boxes:
            text.write(f"{number:012d}.jpg,{WIDTH},{HEIGHT},{name},{','.join(map(str, xyxy))}\n")
    yield "train_labels.csv", text.getvalue().encode()


def labelme(num_images: int) -> Iterator[File]:
    """A JSON file per image, beside it."""
    for number, boxes in enumerate(_boxes(num_images)):
        shapes = [
            {"label": name, "points": [[left, top], [right, bottom]], "group_id": None, "shape_type": "rectangle"}
            for _, name, left, top, right, bottom in boxes
        ]
        size = {"imageHeight": HEIGHT, "imageWidth": WIDTH}
        content = {"version": "5.0.1", "flags": {}, "shapes": shapes, "imagePath": f"{number:012d}.jpg", **size}
        yield f"images/train/{number:012d}.json", json.dumps(content).encode()


def cvat(num_images: int) -> Iterator[File]:
    """One XML file."""
    text = io.StringIO("<annotations><version>1.1</version>")
    text.seek(0, os.SEEK_END)
    for number, boxes in enumerate(_boxes(num_images)):
        text.write(f'<image id="{number}" name="{number:012d}.jpg" width="{WIDTH}" height="{HEIGHT}">')
        for _, name, left, top, right, bottom in boxes:
            text.write(f'<box label="{name}" xtl="{left}" ytl="{top}" xbr="{right}" ybr="{bottom}" occluded="0"></box>')
        text.write("</image>")
    text.write("</annotations>")
    yield "annotations.xml", text.getvalue().encode()


def label_studio(num_images: int) -> Iterator[File]:
    """One JSON file with full tasks."""
    text = io.StringIO("[")
    text.seek(0, os.SEEK_END)
    for number, boxes in enumerate(_boxes(num_images), 1):
        results = []
        for _, name, left, top, right, bottom in boxes:
            percent = {"x": 100 * left / WIDTH, "y": 100 * top / HEIGHT}
            percent |= {"width": 100 * (right - left) / WIDTH, "height": 100 * (bottom - top) / HEIGHT}
            value = {**percent, "rotation": 0, "rectanglelabels": [name]}
            size = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
            results.append(
                {"type": "rectanglelabels", "from_name": "label", "to_name": "image", **size, "value": value}
            )
        data = {"image": f"/data/local-files/?d=images/train/{number - 1:012d}.jpg"}
        task = {"id": number, "annotations": [{"id": number, "result": results}], "data": data}
        text.write(("," if number > 1 else "") + json.dumps(task))
    text.write("]")
    yield "tasks.json", text.getvalue().encode()


def write_packed(name: str, num_images: int, folder: Path) -> None:
    """Write the dataset as the stage `download` stores it."""
    write_archive(folder / ANNOTATIONS, DATASETS[name](num_images))
    write_archive(folder / IMAGES, ((image_name(number), IMAGE) for number in range(num_images)))


def write_records(num_images: int, folder: Path) -> None:
    """Write one TFRecord file, which holds the images."""
    with (folder / "train.record").open("wb") as file:
        for number, boxes in enumerate(_boxes(num_images)):
            indices, names, *corners = zip(*boxes, strict=True)
            sides = (("xmin", WIDTH), ("ymin", HEIGHT), ("xmax", WIDTH), ("ymax", HEIGHT))
            features: dict[str, Values] = {
                "image/filename": [f"{number:012d}.jpg".encode()],
                "image/width": [WIDTH],
                "image/height": [HEIGHT],
                "image/encoded": [IMAGE],
                "image/object/class/text": [name.encode() for name in names],
                "image/object/class/label": [index + 1 for index in indices],
            }
            for (key, side), values in zip(sides, corners, strict=True):
                features[f"image/object/bbox/{key}"] = [value / side for value in values]
            content = example(features)
            length = struct.pack("<Q", len(content))
            file.write(length + _masked_crc(length) + content + _masked_crc(content))


def _masked_crc(content: bytes) -> bytes:
    crc = crc32c(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


DATASETS: dict[str, Callable[[int], Iterator[File]]] = {
    "voc": voc,
    "yolo": yolo,
    "coco": coco,
    "csv": csv,
    "labelme": labelme,
    "cvat": cvat,
    "label_studio": label_studio,
}
"""The formats whose annotations are files of their own."""

TFRECORD = "tfrecord"
COMPARISONS = {
    "voc": {"loop with xml.etree": "loop_over_voc", "reading the files alone": "read_voc_files"},
    "yolo": {"loop over lines": "loop_over_yolo", "reading the files alone": "read_yolo_files"},
}
"""Functions of this module that the readers are compared with, by what they do."""


def read_tables(name: str, folder: Path) -> None:
    """Read as the stage `tables` does, without writing."""
    reader = get_format(name)
    reading = reader.read(FileTree(folder), reader.options_class())
    num_images, num_boxes = reading.tables.images.num_rows, reading.tables.boxes.num_rows
    if num_boxes != num_images * BOXES_PER_IMAGE or reading.refused.num_rows:
        raise ValueError(f"received {num_boxes} boxes of {num_images} images, {reading.refused.num_rows} refused")


read_voc, read_yolo, read_coco, read_csv, read_labelme, read_cvat, read_label_studio, read_tfrecord = (
    partial(read_tables, name) for name in (*DATASETS, TFRECORD)
)


def loop_over_voc(folder: Path) -> None:
    """Collect the boxes of all files as scripts in use do."""
    rows = []
    for path in sorted((folder / "Annotations").rglob("*.xml")):
        root = ET.parse(path).getroot()
        for element in root.iter("object"):
            box = element.find("bndbox")
            assert box is not None
            corners = [float(box.findtext(key, "nan")) for key in ("xmin", "ymin", "xmax", "ymax")]
            rows.append((root.findtext("filename"), element.findtext("name"), *corners))


def loop_over_yolo(folder: Path) -> None:
    """Collect the boxes of all files as scripts in use do; the sizes of the images are not needed."""
    rows = []
    for path in sorted((folder / "labels").rglob("*.txt")):
        with path.open(encoding="utf-8") as file:
            for line in file:
                index, *numbers = line.split()
                rows.append((path.stem, int(index), *map(float, numbers)))


def read_voc_files(folder: Path) -> None:
    """Read the annotations and nothing else."""
    _read_files(folder / "Annotations")


def read_yolo_files(folder: Path) -> None:
    """Read the annotations and nothing else."""
    _read_files(folder / "labels")


def _read_files(folder: Path) -> None:
    for parent, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(f"{parent}/{name}", os.O_RDONLY)
            os.read(descriptor, 1 << 20)
            os.close(descriptor)


def main() -> None:
    """Measure one format."""
    name, num_images = sys.argv[1], int(sys.argv[2])
    measured = measure(name, num_images)
    print(f"{name}: {measured['seconds']:.1f} s, {measured['peak_megabytes']:.0f} MB for {num_images:,} images")


if __name__ == "__main__":
    main()
