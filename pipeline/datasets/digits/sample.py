"""A small drawn stand-in for the digits, in the upstream's own archives and headerless CSV.

Glyphs of the fonts that Matplotlib ships, varied by random transforms, pasted as 28 x 28 patches.
"""

from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pipeline.archives.zip_archive import write_archive
from pipeline.core.config import Config, NonNegativeInt, PositiveInt
from pipeline.core.progress import bar
from pipeline.datasets.digits.source import IMAGE_ARCHIVES, LABEL_FILES, image_member

IMAGE_PIXELS = 100
PATCH_PIXELS = 28
DRAWN_PIXELS = 4 * PATCH_PIXELS
FONTS = ["DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSerif", "DejaVuSansMono", "cmr10", "STIXGeneral"]
FILE_NAMES = {"train": "converted_training{}.png", "test": "converted_testing{}.png"}


class SampleConfig(Config):
    """Which digits to draw, and how many."""

    seed: NonNegativeInt
    train_images: PositiveInt
    test_images: PositiveInt


def write_sample(folder: Path, sample: SampleConfig) -> None:
    """Two archives and two CSV files below `folder`. The same section gives the same bytes."""
    fonts = [_font(name) for name in FONTS]
    for number, (split, count) in enumerate({"train": sample.train_images, "test": sample.test_images}.items()):
        rows, members = [], []
        with bar(f"drawing {split}", count, "image") as progress:
            for index in range(1, count + 1):
                random = np.random.default_rng([sample.seed, number, index])
                digit = int(random.integers(10))
                x, y = map(int, random.integers(0, IMAGE_PIXELS - PATCH_PIXELS, 2))
                pixels = np.zeros((IMAGE_PIXELS, IMAGE_PIXELS), np.uint8)
                patch = _draw_digit(random, digit, fonts[random.integers(len(fonts))])
                pixels[y : y + PATCH_PIXELS, x : x + PATCH_PIXELS] = patch
                file_name = FILE_NAMES[split].format(index)
                members.append((image_member(split, file_name), bytes(cv2.imencode(".png", pixels)[1])))
                rows.append(_row(file_name, digit, x, y))
                progress.update()
        write_archive(folder / IMAGE_ARCHIVES[split], members)
        (folder / LABEL_FILES[split]).write_text("".join(rows), encoding="utf-8")


def _font(name: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf", round(0.95 * DRAWN_PIXELS))


def _draw_digit(random: np.random.Generator, digit: int, font: ImageFont.FreeTypeFont) -> NDArray[np.uint8]:
    """uint8 [28, 28]: the glyph turned, slanted, stretched, thinned or thickened, white on black."""
    canvas = Image.new("L", (DRAWN_PIXELS, DRAWN_PIXELS))
    middle = DRAWN_PIXELS / 2
    ImageDraw.BatchGenerator(canvas).text(
        (middle, middle), str(digit), fill=255, font=font, anchor="mm", stroke_width=int(random.integers(0, 4))
    )
    turn, slant = random.uniform(-0.25, 0.25), random.uniform(-0.3, 0.3)
    stretch_x, stretch_y = random.uniform(0.8, 1.15, 2)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = rotation @ np.array([[stretch_x, slant], [0, stretch_y]])
    shift = middle - matrix @ [middle, middle]
    warped = cv2.warpAffine(np.asarray(canvas), np.column_stack([matrix, shift]), canvas.size)
    return cv2.resize(warped, (PATCH_PIXELS, PATCH_PIXELS), interpolation=cv2.INTER_AREA)


def _row(file_name: str, digit: int, x: int, y: int) -> str:
    r"""File name, label, then xmin, ymin, xmax, ymax as fractions of the image.

    >>> _row("converted_training1.png", 4, 20, 53)
    'converted_training1.png,4,0.2,0.53,0.48,0.81\n'
    """
    corners = [x, y, x + PATCH_PIXELS, y + PATCH_PIXELS]
    return ",".join([file_name, str(digit), *(repr(corner / IMAGE_PIXELS) for corner in corners)]) + "\n"
