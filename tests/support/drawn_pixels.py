"""Plots read back as pixels."""

from pathlib import Path
from typing import Any

import matplotlib.colors
import numpy as np
from numpy.typing import NDArray
from PIL import Image


def pixels_of(path: Path) -> NDArray[np.float64]:
    """RGB of an image file, float64 [height, width, 3] in 0..1."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), float) / 255


def extent_in(pixels: NDArray[np.float64], color: Any) -> list[float]:
    """Left, top, right and bottom of the pixels near a color, as fractions of width and height."""
    rows, columns = np.nonzero(np.abs(pixels - matplotlib.colors.to_rgb(color)).max(axis=2) < 0.2)
    height, width = pixels.shape[:2]
    return [columns.min() / width, rows.min() / height, (columns.max() + 1) / width, (rows.max() + 1) / height]


def shows(pixels: NDArray[np.float64], color: Any) -> bool:
    """Whether any pixel is near a color."""
    return bool((np.abs(pixels - matplotlib.colors.to_rgb(color)).max(axis=2) < 0.1).any())
