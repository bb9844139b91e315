"""Annotations of the size of COCO 2017, written as the publisher writes them: 118,287 images, 860,001 outlined boxes.

What is in them is drawn at random; how much of it there is, and how it is written, is what costs time.
"""

import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.coco.source import ANNOTATION_ARCHIVE, annotation_member

IMAGES = 118_287
BOXES = 860_001
POLYGONS = 4_096
POINTS = (4, 39)
"""Corners of an outline, so that the file becomes as long as the real one, 0.4 GB."""

CATEGORY_IDS = [*range(1, 12), *range(13, 26), 27, 28, *range(31, 45), *range(46, 66), 67, 70, *range(72, 83)]
CATEGORY_IDS += range(84, 91)

IMAGE = (
    '{"license": 3,"file_name": "%012d.jpg","coco_url": "http://images.cocodataset.org/train2017/%012d.jpg",'
    '"height": %d,"width": %d,"date_captured": "2013-11-14 11:18:45","flickr_url": '
    '"http://farm9.staticflickr.com/8186/8119368305_4e622c8349_z.jpg","id": %d}'
)
BOX = (
    '{"segmentation": [[%s]],"area": %.4f,"iscrowd": 0,"image_id": %d,'
    '"bbox": [%.2f,%.2f,%.2f,%.2f],"category_id": %d,"id": %d}'
)


def write_annotations(download: Path, images: int = IMAGES, boxes: int = BOXES) -> int:
    """The archive of annotations below `download`; returns the bytes of the training split unpacked."""
    random = np.random.default_rng(2017)
    path = download / ANNOTATION_ARCHIVE
    path.parent.mkdir(parents=True, exist_ok=True)
    train = _instances(random, images, boxes)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(annotation_member("train"), train)
        archive.writestr(annotation_member("val"), _instances(random, 50, 0))
    return len(train)


def _instances(random: np.random.Generator, images: int, boxes: int) -> bytes:
    text = io.StringIO()
    ids = random.permutation(5 * images)[:images] + 1
    sizes = np.where(random.random((images, 1)) < 0.7, [[480, 640]], [[640, 480]])
    text.write(
        '{"info": {"description": "as large as COCO 2017"},"licenses": [{"id": 3,"name": "a licence"}],"images": ['
    )
    text.write(",".join([IMAGE % (i, i, h, w, i) for i, (h, w) in zip(ids.tolist(), sizes.tolist(), strict=True)]))
    text.write('],"annotations": [')
    polygons = [_polygon(random) for _ in range(POLYGONS)]
    owners = random.integers(0, images, boxes) if boxes else np.empty(0, int)
    corners = random.random((boxes, 4)) * np.tile(sizes[owners][:, ::-1] / 2, 2)
    rows = zip(
        random.integers(0, POLYGONS, boxes).tolist(),
        (corners[:, 2] * corners[:, 3] * 0.6).tolist(),
        ids[owners].tolist(),
        corners.round(2).tolist(),
        random.choice(CATEGORY_IDS, boxes).tolist(),
        (random.permutation(boxes) + 1).tolist(),
        strict=True,
    )
    text.write(",".join([BOX % (polygons[p], area, image, *xywh, c, i) for p, area, image, xywh, c, i in rows]))
    text.write('],"categories": [')
    text.write(",".join([f'{{"supercategory": "thing","id": {i},"name": "kind {i}"}}' for i in CATEGORY_IDS]))
    text.write("]}")
    return text.getvalue().encode()


def _polygon(random: np.random.Generator) -> str:
    points: NDArray[np.float64] = random.random(2 * int(random.integers(*POINTS))) * 480
    return ",".join([f"{value:.2f}" for value in points])
