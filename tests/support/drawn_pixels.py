"""Pictures read back."""

from pathlib import Path
from typing import Any

import matplotlib.colors
import numpy as np
from numpy.typing import NDArray
from PIL import Image


def pixels_of(path: Path) -> NDArray[np.float64]:
    """RGB [height, width, 3] in 0..1."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"), float) / 255


def extent_in(pixels: NDArray[np.float64], color: Any) -> list[float]:
    """Left, top, right, bottom of the pixels near that colour, as fractions of the pixels given."""
    rows, columns = np.nonzero(np.abs(pixels - matplotlib.colors.to_rgb(color)).max(axis=2) < 0.2)
    height, width = pixels.shape[:2]
    return [columns.min() / width, rows.min() / height, (columns.max() + 1) / width, (rows.max() + 1) / height]


def shows(pixels: NDArray[np.float64], color: Any) -> bool:
    """Whether any pixel is near that colour."""
    return bool((np.abs(pixels - matplotlib.colors.to_rgb(color)).max(axis=2) < 0.1).any())
