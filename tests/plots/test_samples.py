from pathlib import Path

import numpy as np
import pytest

from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.plots.colors import class_color
from pipeline.plots.image_grid import DOTS_PER_INCH, TILE_INCHES
from pipeline.plots.samples import save_samples
from tests.support.drawn_pixels import extent_in, pixels_of


@pytest.mark.parametrize("channels", [1, 3])
def test_nine_tiles_with_true_boxes_in_class_colours(tmp_path: Path, channels: int) -> None:
    model_inputs = np.full((9, 30, 30, channels), 40, np.uint8)
    truth = [LabeledBoxes(np.array([[0.2, 0.3, 0.5, 0.04 * i + 0.2]]), np.array([i])) for i in range(9)]
    save_samples(tmp_path / "samples.png", model_inputs, truth, [""] * 9)
    pixels = pixels_of(tmp_path / "samples.png")
    side = round(TILE_INCHES * DOTS_PER_INCH)
    assert pixels.shape == (3 * side, 3 * side, 3)
    for index in range(9):
        row, column = divmod(index, 3)
        shown = pixels[row * side : (row + 1) * side, column * side : (column + 1) * side]
        below_the_name = extent_in(shown, class_color(index))
        assert below_the_name[::2] == pytest.approx([0.2, 0.7], abs=0.02)
        assert below_the_name[3] == pytest.approx(0.5 + 0.04 * index, abs=0.02)
