"""A small synthetic sample of COCO 2017, in the published archives and JSON format.

Scenes of six shapes on a textured background, one to six objects each; some images have a crowd region or no objects.
The sample has the properties of COCO that a reader must handle: image ids are not sorted, image and category ids have
gaps, sizes vary, and boxes touch the edges of their image.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.archives.zip_archive import write_archive
from pipeline.core.config import Config, PositiveInt, Seed
from pipeline.core.progress import ProgressBar
from pipeline.datasets.coco.source import ANNOTATION_ARCHIVE, IMAGE_ARCHIVES, annotation_member, image_member
from pipeline.datasets.interfaces import SampleWriter

# The ids have gaps, as in COCO, where 80 categories have ids up to 90.
CATEGORIES = {1: "circle", 2: "square", 4: "triangle", 7: "star", 8: "ring", 11: "cross"}
SUPERCATEGORIES = {"circle": "round", "ring": "round"}

EMPTY_PROBABILITY = 0.03
CROWD_PROBABILITY = 0.05
SIDE_PIXELS = (120, 241)
"""Range of an image's width and height; the upper limit is exclusive."""

OBJECT_FRACTION = (0.22, 0.5)
"""Range of an object's diameter, as a fraction of the shorter side of its image."""

MAX_PLACEMENT_ATTEMPTS = 30


class _Scene(NamedTuple):
    pixels: NDArray[np.uint8]  # [height, width, 3], BGR
    annotations: list[dict[str, Any]]  # COCO annotations without id and image_id


class SampleConfig(Config):
    """The `sample` section of COCO: the seed, and the number of images of each split."""

    seed: Seed
    train_images: PositiveInt
    val_images: PositiveInt


class CocoSampleWriter(SampleWriter[SampleConfig]):
    """Draws the scenes and writes COCO's three archives."""

    config_class = SampleConfig

    def write(self, folder: Path, config: SampleConfig) -> None:
        """Write the archives below `folder`."""
        num_images = {"train": config.train_images, "val": config.val_images}
        annotation_members = []
        first_box_id = 1
        for split_index, (split, count) in enumerate(num_images.items()):
            # Training images have odd ids and validation images even ones, so that the size of one split does not
            # change the images of the other.
            drawn = np.random.default_rng([config.seed, split_index]).choice(10 * count, count, replace=False)
            images, annotations, image_members = [], [], []
            with ProgressBar(f"drawing {split}", count, "image") as progress:
                for image_id in map(int, 2 * drawn + 1 + split_index):
                    # A generator per image: each scene depends on its id only, not on the scenes before it.
                    scene = _draw_scene(np.random.default_rng([config.seed, image_id]))
                    file_name = f"{image_id:012d}.jpg"
                    images.append(_image_entry(image_id, file_name, scene.pixels.shape))
                    annotations += [{**fields, "image_id": image_id} for fields in scene.annotations]
                    image_members.append((image_member(split, file_name), _jpeg(scene.pixels)))
                    progress.update()
            for box_id, fields in enumerate(annotations, first_box_id):
                fields["id"] = box_id
            first_box_id += len(annotations)
            write_archive(folder / IMAGE_ARCHIVES[split], image_members)
            annotation_members.append((annotation_member(split), _instances(images, annotations)))
        write_archive(folder / ANNOTATION_ARCHIVE, annotation_members)


def _draw_scene(random: np.random.Generator) -> _Scene:
    height, width = map(int, random.integers(*SIDE_PIXELS, size=2))
    pixels = _background(random, height, width)
    if random.random() < EMPTY_PROBABILITY:
        return _Scene(pixels, [])
    occupied = np.zeros((height, width), bool)
    annotations = []
    for _ in range(int(random.integers(1, 7))):
        category_id = int(random.choice(list(CATEGORIES)))
        polygons = _place_shape(random, CATEGORIES[category_id], occupied)
        if polygons is not None:
            mask = _mask(polygons, occupied.shape)
            _paint(random, pixels, mask)
            occupied |= mask
            annotations.append(_annotation(mask, category_id, [_outline(*polygons).ravel().tolist()]))
    if random.random() < CROWD_PROBABILITY:
        annotations += _draw_crowd(random, pixels, occupied)
    return _Scene(pixels, annotations)


def _background(random: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """Clouds of two colors with noise, so that no single threshold separates the objects."""
    clouds = cv2.resize(random.random((5, 5)), (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    dark, light = np.sort(random.uniform(20, 235, (2, 3)), axis=0)
    noise = random.normal(0, 8, (height, width, 1))
    return np.asarray(np.clip(dark + clouds * (light - dark) + noise, 0, 255), np.uint8)


def _place_shape(random: np.random.Generator, name: str, occupied: NDArray[np.bool_]) -> list[NDArray[np.int32]] | None:
    """Polygons of the shape at a free position, the outline first and then its holes; None if no attempt found one."""
    height, width = occupied.shape
    for _ in range(MAX_PLACEMENT_ATTEMPTS):
        radius = random.uniform(*OBJECT_FRACTION) * min(height, width) / 2
        center = random.uniform([radius, radius], [width - radius, height - radius])
        unit_polygons = _unit_polygons(name, angle=random.uniform(0, 0.6))
        polygons = [np.rint(center + radius * points).astype(np.int32) for points in unit_polygons]
        if not (_mask(polygons, occupied.shape) & occupied).any():
            return polygons
    return None


def _unit_polygons(name: str, angle: float) -> list[NDArray[np.float64]]:
    """Corners [N, 2] in the unit circle, rotated by `angle` radians: the outline, then its holes."""
    if name == "circle":
        return [_star_polygon(np.ones(32), angle)]
    if name == "ring":
        return [_star_polygon(np.ones(32), angle), _star_polygon(np.full(32, 0.55), angle)]
    if name == "square":
        return [_star_polygon(np.ones(4), angle)]
    if name == "triangle":
        return [_star_polygon(np.ones(3), angle)]
    if name == "star":
        return [_star_polygon(np.tile([1.0, 0.42], 5), angle)]
    arm = 0.3
    cross = [(-arm, -1), (arm, -1), (arm, -arm), (1, -arm), (1, arm), (arm, arm)]
    half = np.array(cross) / np.hypot(1, arm)
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return [np.concatenate([half, -half]) @ rotation]


def _star_polygon(radii: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """Points [N, 2] at these distances from the center, at equal angles; the first at `angle`."""
    angles = angle + np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
    return radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _outline(outer: NDArray[np.int32], hole: NDArray[np.int32] | None = None) -> NDArray[np.int32]:
    """One polygon [N, 2]. COCO's polygons have no holes, so a cut of no width leads to the hole and back."""
    return outer if hole is None else np.concatenate([outer, outer[:1], hole[:1], hole[::-1]])


def _mask(polygons: list[NDArray[np.int32]], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    # One call fills by the even-odd rule, so that the inner polygon of a ring is its hole.
    return cv2.fillPoly(np.zeros(shape, np.uint8), polygons, 1).astype(bool)


def _paint(random: np.random.Generator, pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> None:
    """Fill the mask with one color and noise. In one channel at least, it differs from the background by 60 levels."""
    background = pixels[mask].mean(axis=0)
    colors = random.uniform(0, 255, (16, 3))
    color = colors[np.argmax(np.abs(colors - background).max(axis=1) >= 60)]
    pixels[mask] = np.clip(color + random.normal(0, 6, (int(mask.sum()), 1)), 0, 255)


def _draw_crowd(
    random: np.random.Generator, pixels: NDArray[np.uint8], occupied: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """A dozen small circles under one annotation with `iscrowd` and a run-length mask, as COCO annotates groups."""
    height, width = occupied.shape
    mask = np.zeros(occupied.shape, bool)
    corner = random.uniform([0, 0], [width * 0.6, height * 0.6])
    for _ in range(12):
        center = corner + random.uniform([4, 4], [width * 0.4 - 4, height * 0.4 - 4])
        polygon = np.rint(center + 3 * _star_polygon(np.ones(12), 0)).astype(np.int32)
        dot = _mask([polygon], occupied.shape) & ~occupied
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


def _instances(images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> bytes:
    content = {
        "info": {"description": "Boxline sample: drawn shapes in the format of COCO 2017", "version": "1.0"},
        "licenses": [{"id": 1, "name": "Apache License 2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"}],
        "images": images,
        "annotations": annotations,
        "categories": [
            {"supercategory": SUPERCATEGORIES.get(name, "angular"), "id": category_id, "name": name}
            for category_id, name in CATEGORIES.items()
        ],
    }
    return json.dumps(content).encode()


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    return bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])[1])
