"""Synthetic annotations of the size and format of COCO 2017: 860,001 outlined training boxes with random values."""

import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.coco.source import ANNOTATION_ARCHIVE, annotation_member

IMAGES = {"train": 118_287, "val": 5_000}
BOXES = {"train": 860_001, "val": 36_781}
POLYGONS = 4_096
POINTS = (4, 39)
"""Range of corners per outline, so that the file is as long as the real one, 0.4 GB."""

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


def write_annotations(download: Path) -> int:
    """Write the annotation archive below `download`; return the uncompressed bytes of both splits."""
    random = np.random.default_rng(2017)
    path = download / ANNOTATION_ARCHIVE
    path.parent.mkdir(parents=True, exist_ok=True)
    image_ids = random.permutation(5 * sum(IMAGES.values())) + 1
    box_ids = random.permutation(sum(BOXES.values())) + 1
    size_bytes = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for split in IMAGES:
            ids, image_ids = np.split(image_ids, [IMAGES[split]])
            of_boxes, box_ids = np.split(box_ids, [BOXES[split]])
            content = _instances(random, ids, of_boxes)
            archive.writestr(annotation_member(split), content)
            size_bytes += len(content)
    return size_bytes


def _instances(random: np.random.Generator, ids: NDArray[np.int64], box_ids: NDArray[np.int64]) -> bytes:
    text = io.StringIO()
    images, boxes = len(ids), len(box_ids)
    sizes = np.where(random.random((images, 1)) < 0.7, [[480, 640]], [[640, 480]])
    text.write(
        '{"info": {"description": "as large as COCO 2017"},"licenses": [{"id": 3,"name": "a license"}],"images": ['
    )
    text.write(",".join([IMAGE % (i, i, h, w, i) for i, (h, w) in zip(ids.tolist(), sizes.tolist(), strict=True)]))
    text.write('],"annotations": [')
    polygons = [_polygon(random) for _ in range(POLYGONS)]
    owners = random.integers(0, images, boxes)
    boxes_xywh = 1 + random.random((boxes, 4)) * (np.tile(sizes[owners][:, ::-1] / 2, 2) - 1)
    rows = zip(
        random.integers(0, POLYGONS, boxes).tolist(),
        (boxes_xywh[:, 2] * boxes_xywh[:, 3] * 0.6).tolist(),
        ids[owners].tolist(),
        boxes_xywh.round(2).tolist(),
        random.choice(CATEGORY_IDS, boxes).tolist(),
        box_ids.tolist(),
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
