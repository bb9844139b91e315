"""A small drawn stand-in for COCO 2017, in the upstream's own archives and JSON.

Scenes of six shapes on textured ground, one to six objects each; now and then a crowd or an image without objects.
Image ids are not sorted, image and category ids have gaps, sizes are odd, boxes touch edges: what upstream shows a
reader, this does.
"""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.archives.zip_archive import write_archive
from pipeline.core.config import Config, NonNegativeInt, PositiveInt
from pipeline.core.progress import bar
from pipeline.datasets.coco.source import ANNOTATION_ARCHIVE, IMAGE_ARCHIVES, annotation_member, image_member

# Gaps in the ids, as in COCO, where 80 categories have ids up to 90.
CATEGORIES = {1: "circle", 2: "square", 4: "triangle", 7: "star", 8: "ring", 11: "cross"}
SUPERCATEGORIES = {"circle": "round", "ring": "round"}

EMPTY_SHARE = 0.03
CROWD_SHARE = 0.05
SIDE_PIXELS = (120, 241)
OBJECT_SHARE = (0.22, 0.5)
"""Smallest and largest object, as a share of the image's shorter side."""

Scene = tuple[NDArray[np.uint8], list[dict[str, Any]]]


class SampleConfig(Config):
    """Which scenes to draw, and how many."""

    seed: NonNegativeInt
    train_images: PositiveInt
    val_images: PositiveInt


def write_sample(folder: Path, sample: SampleConfig) -> None:
    """COCO's three archives below `folder`. The same section gives the same bytes."""
    counts = {"train": sample.train_images, "val": sample.val_images}
    annotations = []
    first_box_id = 1
    for number, (split, count) in enumerate(counts.items()):
        # Odd ids train, even ids validate: the size of one does not touch the images of the other.
        drawn = np.random.default_rng([sample.seed, number]).choice(10 * count, count, replace=False)
        images, boxes, members = [], [], []
        with bar(f"drawing {split}", count, "image") as progress:
            for image_id in map(int, 2 * drawn + 1 + number):
                # One generator per image: scene 7 stays scene 7, however many are drawn around it.
                pixels, objects = _draw_scene(np.random.default_rng([sample.seed, image_id]))
                file_name = f"{image_id:012d}.jpg"
                images.append(_image_entry(image_id, file_name, pixels.shape))
                boxes += [{**fields, "image_id": image_id} for fields in objects]
                members.append((image_member(split, file_name), _jpeg(pixels)))
                progress.update()
        for box_id, fields in enumerate(boxes, first_box_id):
            fields["id"] = box_id
        first_box_id += len(boxes)
        write_archive(folder / IMAGE_ARCHIVES[split], members)
        annotations.append((annotation_member(split), _instances(images, boxes)))
    write_archive(folder / ANNOTATION_ARCHIVE, annotations)


def _draw_scene(random: np.random.Generator) -> Scene:
    """Pixels uint8 [height, width, 3] in BGR, and COCO annotations without ids."""
    height, width = map(int, random.integers(*SIDE_PIXELS, size=2))
    pixels = _ground(random, height, width)
    if random.random() < EMPTY_SHARE:
        return pixels, []
    taken = np.zeros((height, width), bool)
    objects = []
    for _ in range(int(random.integers(1, 7))):
        category_id = int(random.choice(list(CATEGORIES)))
        outline = _place(random, CATEGORIES[category_id], taken)
        if outline is not None:
            mask = _mask(outline, taken.shape)
            _paint(random, pixels, mask)
            taken |= mask
            objects.append(_annotation(mask, category_id, [polygon.ravel().tolist() for polygon in outline[:1]]))
    if random.random() < CROWD_SHARE:
        objects += _crowd(random, pixels, taken)
    return pixels, objects


def _ground(random: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """Clouds of two colours with grain, so that no object is found by one threshold."""
    clouds = cv2.resize(random.random((5, 5)), (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    dark, light = np.sort(random.uniform(20, 235, (2, 3)), axis=0)
    grain = random.normal(0, 8, (height, width, 1))
    return np.asarray(np.clip(dark + clouds * (light - dark) + grain, 0, 255), np.uint8)


def _place(random: np.random.Generator, name: str, taken: NDArray[np.bool_]) -> list[NDArray[np.int32]] | None:
    """The shape's polygons at a free spot, the outline first and then its holes; None where thirty tries found none."""
    height, width = taken.shape
    for _ in range(30):
        radius = random.uniform(*OBJECT_SHARE) * min(height, width) / 2
        center = random.uniform([radius, radius], [width - radius, height - radius])
        unit_polygons = _unit_polygons(name, turn=random.uniform(0, 0.6))
        polygons = [np.rint(center + radius * points).astype(np.int32) for points in unit_polygons]
        if not (_mask(polygons, taken.shape) & taken).any():
            return polygons
    return None


def _unit_polygons(name: str, turn: float) -> list[NDArray[np.float64]]:
    """Corners [N, 2] in the unit circle, turned by `turn` radians: the outline, then holes."""
    if name == "circle":
        return [_ray_points(np.ones(32), turn)]
    if name == "ring":
        return [_ray_points(np.ones(32), turn), _ray_points(np.full(32, 0.55), turn)]
    if name == "square":
        return [_ray_points(np.ones(4), turn)]
    if name == "triangle":
        return [_ray_points(np.ones(3), turn)]
    if name == "star":
        return [_ray_points(np.tile([1.0, 0.42], 5), turn)]
    arm = 0.3
    cross = [(-arm, -1), (arm, -1), (arm, -arm), (1, -arm), (1, arm), (arm, arm)]
    half = np.array(cross) / np.hypot(1, arm)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return [np.concatenate([half, -half]) @ rotation]


def _ray_points(radii: NDArray[np.float64], turn: float) -> NDArray[np.float64]:
    angles = turn + np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
    return radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _mask(polygons: list[NDArray[np.int32]], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    # One call fills by the even-odd rule: the inner polygon of a ring is its hole.
    return cv2.fillPoly(np.zeros(shape, np.uint8), polygons, 1).astype(bool)


def _paint(random: np.random.Generator, pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> None:
    """One colour with grain, at least 60 grey levels away from the ground in some channel."""
    ground = pixels[mask].mean(axis=0)
    colors = random.uniform(0, 255, (16, 3))
    color = colors[np.argmax(np.abs(colors - ground).max(axis=1) >= 60)]
    pixels[mask] = np.clip(color + random.normal(0, 6, (int(mask.sum()), 1)), 0, 255)


def _crowd(random: np.random.Generator, pixels: NDArray[np.uint8], taken: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """A dozen small circles under one annotation with `iscrowd` and a run-length mask, as COCO marks groups."""
    height, width = taken.shape
    mask = np.zeros(taken.shape, bool)
    corner = random.uniform([0, 0], [width * 0.6, height * 0.6])
    for _ in range(12):
        center = corner + random.uniform([4, 4], [width * 0.4 - 4, height * 0.4 - 4])
        dot = _mask([np.rint(center + 3 * _ray_points(np.ones(12), 0)).astype(np.int32)], taken.shape) & ~taken
        if dot.any():
            _paint(random, pixels, dot)
        mask |= dot
    if not mask.any():
        return []
    return [{**_annotation(mask, 1, {"counts": _run_lengths(mask), "size": [height, width]}), "iscrowd": 1}]


def _annotation(mask: NDArray[np.bool_], category_id: int, segmentation: object) -> dict[str, Any]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x, y = int(columns[0]), int(rows[0])
    return {
        "segmentation": segmentation,
        "area": float(mask.sum()),
        "iscrowd": 0,
        "bbox": [float(x), float(y), float(columns[-1] + 1 - x), float(rows[-1] + 1 - y)],
        "category_id": category_id,
    }


def _run_lengths(mask: NDArray[np.bool_]) -> list[int]:
    """COCO's uncompressed run lengths: column by column, background first.

    >>> _run_lengths(np.array([[True, False], [True, True]]))
    [0, 2, 1, 1]
    """
    flat = np.concatenate([[False], mask.ravel(order="F")])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return [int(length) for length in np.diff([0, *changes, mask.size])]


def _image_entry(image_id: int, file_name: str, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"license": 1, "file_name": file_name, "height": shape[0], "width": shape[1], "id": image_id}


def _instances(images: list[dict[str, Any]], boxes: list[dict[str, Any]]) -> bytes:
    content = {
        "info": {"description": "Boxline sample: drawn shapes in the format of COCO 2017", "version": "1.0"},
        "licenses": [{"id": 1, "name": "Apache License 2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"}],
        "images": images,
        "annotations": boxes,
        "categories": [
            {"supercategory": SUPERCATEGORIES.get(name, "angular"), "id": category_id, "name": name}
            for category_id, name in CATEGORIES.items()
        ],
    }
    return json.dumps(content).encode()


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    return bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])[1])
