"""A small synthetic sample of the snacks, in the published archive and CSV format.

The 20 classes are the combinations of five shapes and four colors, so that neither shape nor color alone identifies a
class. Each image has a large object, which determines its folder, on gray clouds, and often smaller objects, each with
a row of its own. Some images have no rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.archives.zip_archive import write_archive
from pipeline.core.config import Config, PositiveInt, Seed
from pipeline.core.progress import ProgressBar
from pipeline.datasets.interfaces import SampleWriter
from pipeline.datasets.snacks.source import (
    ARCHIVE,
    CLASSES,
    COLUMNS,
    PREFIX,
    annotation_member,
    image_member,
)

SHAPES = ["circle", "ring", "square", "triangle", "star"]
COLORS_BGR = [(45, 40, 215), (40, 205, 220), (60, 180, 45), (215, 95, 40)]
SHORT_SIDE_PIXELS = 256
LONG_SIDE_PIXELS = (256, 385)
LARGE_FRACTION = (0.45, 0.8)
"""Range of the diameter of the object that determines the folder, as a fraction of the shorter side."""

SMALL_FRACTION = (0.15, 0.3)
"""The same of all other objects."""

SMALL_OBJECTS_PROBABILITIES = [0.65, 0.25, 0.1]
"""Probabilities of no, one and two small objects."""

UNANNOTATED_PROBABILITY = 0.04
MAX_PLACEMENT_ATTEMPTS = 30


class SampleConfig(Config):
    """The `sample` section of the snacks: the seed, and the number of images of each split."""

    seed: Seed
    train_images: PositiveInt
    val_images: PositiveInt
    test_images: PositiveInt


@dataclass(frozen=True)
class DrawnObject:
    """An object in an image.

    Attributes:
        class_index: index in CLASSES.
        box_xyxy: left, top, right and bottom in pixels, right and bottom exclusive.

    """

    class_index: int
    box_xyxy: tuple[int, int, int, int]


class SnacksSampleWriter(SampleWriter[SampleConfig]):
    """Draws the scenes and writes the archive."""

    config_class = SampleConfig

    def write(self, folder: Path, config: SampleConfig) -> None:
        """Write the archive below `folder`. Each scene depends on its number only, not on the scenes before it."""
        write_archive(folder / ARCHIVE, _members(config))


def draw_scene(random: np.random.Generator, class_index: int) -> tuple[NDArray[np.uint8], list[DrawnObject]]:
    """Draw one image.

    Args:
        random: the source of randomness.
        class_index: class of the large object, an index in CLASSES.

    Returns:
        The pixels, uint8 [height, width, 3] in BGR, and the objects in them, the large one first.

    """
    height, width = SHORT_SIDE_PIXELS, int(random.integers(*LONG_SIDE_PIXELS))
    if random.random() < 0.3:
        height, width = width, height
    pixels = _background(random, height, width)
    occupied = np.zeros((height, width), bool)
    objects = []
    for number in range(1 + int(random.choice(3, p=SMALL_OBJECTS_PROBABILITIES))):
        has_random_class = number > 0 and random.random() < 0.5
        index = int(random.integers(len(CLASSES))) if has_random_class else class_index
        diameter = SMALL_FRACTION if number else LARGE_FRACTION
        mask = _place_shape(random, SHAPES[index % len(SHAPES)], diameter, occupied)
        if mask is not None:
            color = COLORS_BGR[index // len(SHAPES)]
            pixels[mask] = np.clip(color + random.normal(0, 6, (int(mask.sum()), 1)), 0, 255)
            occupied |= mask
            objects.append(DrawnObject(index, _extent(mask)))
    return pixels, objects


def _members(config: SampleConfig) -> Iterator[tuple[str, bytes]]:
    """The images one by one, so that memory does not grow with their number; each split ends with its annotations."""
    num_images = {"train": config.train_images, "val": config.val_images, "test": config.test_images}
    for split_index, (split, count) in enumerate(num_images.items()):
        rows = [",".join(COLUMNS)]
        with ProgressBar(f"drawing {split}", count, "image") as progress:
            for index in range(count):
                random = np.random.default_rng([config.seed, split_index, index])
                image_id = f"{random.integers(2**63):016x}"
                class_index = index % len(CLASSES)
                # The first image always has rows, so that no split is without any.
                annotated = random.random() >= UNANNOTATED_PROBABILITY or index == 0
                pixels, objects = draw_scene(random, class_index)
                if annotated:
                    rows += [_row(image_id, drawn, pixels.shape, CLASSES[class_index]) for drawn in objects]
                jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
                yield image_member(PREFIX, split, CLASSES[class_index], image_id), bytes(jpeg)
                progress.update()
        yield annotation_member(PREFIX, split), "\n".join([*rows, ""]).encode()


def _row(image_id: str, drawn: DrawnObject, shape: tuple[int, ...], folder: str) -> str:
    """Image id, then x_min, x_max, y_min, y_max as fractions, then the class of the object and the folder of the image.

    >>> _row("0f", DrawnObject(1, (32, 64, 160, 256)), (256, 320, 3), "apple")
    '0f,0.1,0.5,0.25,1.0,banana,apple'
    """
    height, width, _ = shape
    left, top, right, bottom = drawn.box_xyxy
    fractions = [left / width, right / width, top / height, bottom / height]
    return ",".join([image_id, *map(repr, fractions), CLASSES[drawn.class_index], folder])


def _background(random: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """Clouds of one weak tint with noise: every gray level occurs, and no saturated color."""
    clouds = cv2.resize(random.random((5, 5)), (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    dark, light = np.sort(random.uniform(30, 225, 2))
    tint = random.uniform(-12, 12, 3)
    noise = random.normal(0, 8, (height, width, 1))
    return np.asarray(np.clip(dark + clouds * (light - dark) + tint + noise, 0, 255), np.uint8)


def _place_shape(
    random: np.random.Generator, shape: str, diameter_fraction: tuple[float, float], occupied: NDArray[np.bool_]
) -> NDArray[np.bool_] | None:
    """The pixels of the shape at a free position, bool [height, width]; None if no attempt found one."""
    height, width = occupied.shape
    for _ in range(MAX_PLACEMENT_ATTEMPTS):
        radius = random.uniform(*diameter_fraction) * min(height, width) / 2
        center = random.uniform([radius, radius], [width - radius, height - radius])
        angle = random.uniform(0, 2 * np.pi)
        polygons = [np.rint(center + radius * points).astype(np.int32) for points in _unit_polygons(shape, angle)]
        # One call fills by the even-odd rule, so that the inner polygon of a ring is its hole.
        mask = cv2.fillPoly(np.zeros(occupied.shape, np.uint8), polygons, 1).astype(bool)
        if not (mask & occupied).any():
            return mask
    return None


def _unit_polygons(shape: str, angle: float) -> list[NDArray[np.float64]]:
    """Corners [N, 2] in the unit circle, rotated by `angle` radians: the outline, then its holes."""
    radii = {
        "circle": [np.ones(32)],
        "ring": [np.ones(32), np.full(32, 0.55)],
        "square": [np.ones(4)],
        "triangle": [np.ones(3)],
        "star": [np.tile([1.0, 0.42], 5)],
    }
    return [_star_polygon(outline, angle) for outline in radii[shape]]


def _star_polygon(radii: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """Points [N, 2] at these distances from the center, at equal angles; the first at `angle`."""
    angles = angle + np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
    return radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _extent(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
