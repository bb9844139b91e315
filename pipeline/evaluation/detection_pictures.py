"""Pictures of detectors."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.drawing.detection import save_predictions
from pipeline.geometry.marks import Marks
from pipeline.systems.verbs import Arrays, Codec


def write_task_pictures(
    folder: Path,
    squares: NDArray[np.uint8],
    _outputs: Arrays,
    truth: Sequence[Marks],
    predictions: Sequence[Marks],
    _codec: Codec,
    names: Sequence[str],
) -> None:
    """`predictions.png`: every image, predictions in the colours of their classes over the true boxes."""
    save_predictions(folder / "predictions.png", squares, truth, predictions, names)
