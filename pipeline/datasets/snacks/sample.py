"""A small drawn stand-in for the snacks, in the upstream's own archive and CSV.

Five shapes in four colours make the 20 classes, so that neither shape nor colour tells them apart alone. One big
object, which gives the folder, on grey clouds; often smaller ones beside it, each with its own row, now and then no
rows at all.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.archives.zip_archive import write_archive
from pipeline.core.config import Config, NonNegativeInt, PositiveInt
from pipeline.core.progress import bar
from pipeline.datasets.snacks.source import (
    ARCHIVE,
    CLASSES,
    COLUMNS,
    PREFIXES,
    annotation_member,
    image_member,
)

PREFIX = PREFIXES[0]
SHAPES = ["circle", "ring", "square", "triangle", "star"]
COLORS_BGR = [(45, 40, 215), (40, 205, 220), (60, 180, 45), (215, 95, 40)]
SHORT_SIDE_PIXELS = 256
LONG_SIDE_PIXELS = (256, 385)
MAIN_SHARE = (0.45, 0.8)
"""Smallest and largest diameter of the object that gives the folder, as a share of the shorter side."""
OTHER_SHARE = (0.15, 0.3)
OTHERS_SHARES = [0.65, 0.25, 0.1]
"""Shares of images with no, one and two objects beside the big one."""
UNANNOTATED_SHARE = 0.04


class SampleConfig(Config):
    """Which scenes to draw, and how many."""

    seed: NonNegativeInt
    train_images: PositiveInt
    val_images: PositiveInt
    test_images: PositiveInt


@dataclass(frozen=True)
class Drawn:
    """An object: its index in CLASSES, and left, top, right, bottom in pixels."""

    class_index: int
    box_xyxy: tuple[int, int, int, int]


def write_sample(folder: Path, sample: SampleConfig) -> None:
    """The archive below `folder`. The same section gives the same bytes."""
    write_archive(folder / ARCHIVE, _members(sample))


def draw_scene(random: np.random.Generator, class_index: int) -> tuple[NDArray[np.uint8], list[Drawn]]:
    """Pixels uint8 [height, width, 3] in BGR and what was painted on them, the big object of that class first."""
    height, width = SHORT_SIDE_PIXELS, int(random.integers(*LONG_SIDE_PIXELS))
    if random.random() < 0.3:
        height, width = width, height
    pixels = _ground(random, height, width)
    taken = np.zeros((height, width), bool)
    objects = []
    for number in range(1 + int(random.choice(3, p=OTHERS_SHARES))):
        other_class = number > 0 and random.random() < 0.5
        index = int(random.integers(len(CLASSES))) if other_class else class_index
        mask = _place(random, SHAPES[index % len(SHAPES)], OTHER_SHARE if number else MAIN_SHARE, taken)
        if mask is not None:
            color = COLORS_BGR[index // len(SHAPES)]
            pixels[mask] = np.clip(color + random.normal(0, 6, (int(mask.sum()), 1)), 0, 255)
            taken |= mask
            objects.append(Drawn(index, _extent(mask)))
    return pixels, objects


def _members(sample: SampleConfig) -> Iterator[tuple[str, bytes]]:
    """Image by image, so that memory does not grow with their number; behind those of a split its annotations."""
    counts = {"train": sample.train_images, "val": sample.val_images, "test": sample.test_images}
    for number, (split, count) in enumerate(counts.items()):
        rows = [",".join(COLUMNS)]
        with bar(f"drawing {split}", count, "image") as progress:
            for index in range(count):
                # One generator per image: scene 7 stays scene 7, however many are drawn around it.
                random = np.random.default_rng([sample.seed, number, index])
                image_id = f"{random.integers(2**63):016x}"
                class_index = index % len(CLASSES)
                # The first image has rows, so that no split is without any.
                annotated = random.random() >= UNANNOTATED_SHARE or index == 0
                pixels, objects = draw_scene(random, class_index)
                if annotated:
                    rows += [_row(image_id, drawn, pixels.shape, CLASSES[class_index]) for drawn in objects]
                jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
                yield image_member(PREFIX, split, CLASSES[class_index], image_id), bytes(jpeg)
                progress.update()
        yield annotation_member(PREFIX, split), "\n".join([*rows, ""]).encode()


def _row(image_id: str, drawn: Drawn, shape: tuple[int, ...], folder: str) -> str:
    """Image, then x_min, x_max, y_min, y_max as fractions, then the object's class and the image's folder.

    >>> _row("0f", Drawn(1, (32, 64, 160, 256)), (256, 320, 3), "apple")
    '0f,0.1,0.5,0.25,1.0,banana,apple'
    """
    height, width, _ = shape
    left, top, right, bottom = drawn.box_xyxy
    fractions = [left / width, right / width, top / height, bottom / height]
    return ",".join([image_id, *map(repr, fractions), CLASSES[drawn.class_index], folder])


def _ground(random: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """Clouds in one weak tint with grain: every grey occurs, no strong colour does."""
    clouds = cv2.resize(random.random((5, 5)), (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    dark, light = np.sort(random.uniform(30, 225, 2))
    tint = random.uniform(-12, 12, 3)
    grain = random.normal(0, 8, (height, width, 1))
    return np.asarray(np.clip(dark + clouds * (light - dark) + tint + grain, 0, 255), np.uint8)


def _place(
    random: np.random.Generator, shape: str, share: tuple[float, float], taken: NDArray[np.bool_]
) -> NDArray[np.bool_] | None:
    """The shape's pixels at a free spot, bool [height, width]; None where thirty tries found none."""
    height, width = taken.shape
    for _ in range(30):
        radius = random.uniform(*share) * min(height, width) / 2
        center = random.uniform([radius, radius], [width - radius, height - radius])
        turn = random.uniform(0, 2 * np.pi)
        polygons = [np.rint(center + radius * points).astype(np.int32) for points in _unit_polygons(shape, turn)]
        # One call fills by the even-odd rule: the inner polygon of a ring is its hole.
        mask = cv2.fillPoly(np.zeros(taken.shape, np.uint8), polygons, 1).astype(bool)
        if not (mask & taken).any():
            return mask
    return None


def _unit_polygons(shape: str, turn: float) -> list[NDArray[np.float64]]:
    """Corners [N, 2] in the unit circle, turned by `turn` radians: the outline, then holes."""
    radii = {
        "circle": [np.ones(32)],
        "ring": [np.ones(32), np.full(32, 0.55)],
        "square": [np.ones(4)],
        "triangle": [np.ones(3)],
        "star": [np.tile([1.0, 0.42], 5)],
    }
    return [_ray_points(outline, turn) for outline in radii[shape]]


def _ray_points(radii: NDArray[np.float64], turn: float) -> NDArray[np.float64]:
    angles = turn + np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
    return radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _extent(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
