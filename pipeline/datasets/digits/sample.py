"""A small synthetic sample of the digits, in the published archives and CSV files without header.

Each image has one 28 x 28 patch: a glyph of a font that Matplotlib ships, under a random affine transform.
"""

from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pipeline.archives.zip_archive import write_archive
from pipeline.core.config import Config, PositiveInt, Seed
from pipeline.core.progress import ProgressBar
from pipeline.datasets.digits.source import IMAGE_ARCHIVES, LABEL_FILES, image_member
from pipeline.datasets.interfaces import SampleWriter

IMAGE_PIXELS = 100
PATCH_PIXELS = 28
CANVAS_PIXELS = 4 * PATCH_PIXELS
"""Glyphs are drawn at this size and scaled down, which smooths their edges."""

FONTS = ["DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSerif", "DejaVuSansMono", "cmr10", "STIXGeneral"]
FILE_NAMES = {"train": "converted_training{}.png", "test": "converted_testing{}.png"}


class SampleConfig(Config):
    """The `sample` section of the digits: the seed, and the number of images of each split."""

    seed: Seed
    train_images: PositiveInt
    test_images: PositiveInt


class DigitsSampleWriter(SampleWriter[SampleConfig]):
    """Draws the digits and writes two archives and two CSV files."""

    config_class = SampleConfig

    def write(self, folder: Path, config: SampleConfig) -> None:
        """Write the files below `folder`."""
        fonts = [_font(name) for name in FONTS]
        num_images = {"train": config.train_images, "test": config.test_images}
        for split_index, (split, count) in enumerate(num_images.items()):
            rows, members = [], []
            with ProgressBar(f"drawing {split}", count, "image") as progress:
                for number in range(1, count + 1):
                    random = np.random.default_rng([config.seed, split_index, number])
                    digit = int(random.integers(10))
                    x, y = map(int, random.integers(0, IMAGE_PIXELS - PATCH_PIXELS, 2))
                    pixels = np.zeros((IMAGE_PIXELS, IMAGE_PIXELS), np.uint8)
                    patch = _draw_digit(random, digit, fonts[random.integers(len(fonts))])
                    pixels[y : y + PATCH_PIXELS, x : x + PATCH_PIXELS] = patch
                    file_name = FILE_NAMES[split].format(number)
                    members.append((image_member(split, file_name), bytes(cv2.imencode(".png", pixels)[1])))
                    rows.append(_row(file_name, digit, x, y))
                    progress.update()
            write_archive(folder / IMAGE_ARCHIVES[split], members)
            (folder / LABEL_FILES[split]).write_text("".join(rows), encoding="utf-8")


def _font(name: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf", round(0.95 * CANVAS_PIXELS))


def _draw_digit(random: np.random.Generator, digit: int, font: ImageFont.FreeTypeFont) -> NDArray[np.uint8]:
    """The glyph, white on black, rotated, sheared and scaled, with a random stroke width; uint8 [28, 28]."""
    canvas = Image.new("L", (CANVAS_PIXELS, CANVAS_PIXELS))
    middle = CANVAS_PIXELS / 2
    ImageDraw.Draw(canvas).text(
        (middle, middle), str(digit), fill=255, font=font, anchor="mm", stroke_width=int(random.integers(0, 4))
    )
    angle, shear = random.uniform(-0.25, 0.25), random.uniform(-0.3, 0.3)
    scale_x, scale_y = random.uniform(0.8, 1.15, 2)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = rotation @ np.array([[scale_x, shear], [0, scale_y]])
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
