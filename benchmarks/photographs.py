"""Synthetic photographs, as large and as costly to decode as those of COCO."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

SIZES = [(640, 480), (640, 480), (480, 640)]
"""Widths and heights that images cycle through."""

DISTINCT = 100


@dataclass(frozen=True)
class Photograph:
    """A JPEG file; no two have the same bytes."""

    image_id: int
    content: bytes
    width: int
    height: int


def photographs(image_ids: Sequence[int]) -> Iterator[Photograph]:
    """One photograph per id. A hundred drawn ones repeat; the id is appended to the bytes, which decoders ignore."""
    drawn = [_photograph(number) for number in range(min(DISTINCT, len(image_ids)))]
    for number, image_id in enumerate(image_ids):
        content, width, height = drawn[number % len(drawn)]
        yield Photograph(image_id, content + image_id.to_bytes(8, "little"), width, height)


def _photograph(number: int) -> tuple[bytes, int, int]:
    """Draw clouds, ellipses and grain; the file has about 160 kB, the mean of COCO 2017."""
    random = np.random.default_rng(number)
    width, height = SIZES[number % len(SIZES)]
    pixels = cv2.resize(random.uniform(20, 235, (6, 8, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(30):
        center = tuple(map(int, random.integers(0, (width, height))))
        axes = tuple(map(int, random.integers(5, 120, 2)))
        cv2.ellipse(pixels, center, axes, random.uniform(0, 180), 0, 360, tuple(random.uniform(0, 255, 3)), -1)
    pixels += random.normal(0, 12, (height, width, 1)) + random.normal(0, 4, (height, width, 3))
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue(), width, height
