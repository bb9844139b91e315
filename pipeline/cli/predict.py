"""boxline predict: inference on the user's own images."""

import logging
import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from pipeline.core.formatting import pluralize
from pipeline.inference.inputs import find_images
from pipeline.inference.predictions_file import PREDICTIONS, require_replaceable
from pipeline.systems.common.labels import Labels
from pipeline.systems.common.model_metadata import ModelMetadata, require_model_folder

logger = logging.getLogger(__name__)


def predict(
    model: Path,
    inputs: list[str],
    /,
    *,
    out: Path = Path("predictions"),
    score_threshold: Annotated[float, Parameter(validator=Number(gte=0, lte=1))] = 0.3,
    views: bool = False,
) -> int:
    """Find objects in your own images.

    Writes a copy of each image with boxes, class names and scores, and all boxes in predictions.json, in
    COCO's dataset format with scores.

    Args:
        model: folder of a trained model, such as data/coco_yolo/train.
        inputs: an image, a folder of images at any depth, a pattern such as 'photos/*.jpg', or an http(s) address.
        out: folder to write. Predictions of an earlier run are replaced, other files never.
        score_threshold: omit boxes with a lower score, from 0 to 1.
        views: also write the plots that only this system has, below views/.

    """
    require_model_folder(model)
    ModelMetadata.read(model)
    Labels.read(model)
    require_replaceable(out)
    names = find_images(inputs, out)
    # Imported after all checks of the arguments: TensorFlow takes seconds to start.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # hides notes about the CPU
    from pipeline.inference.predict_images import predict_images

    summary = predict_images(names, model, out, score_threshold, with_views=views)
    if not summary.boxes:
        logger.info(
            "No box has a score of %g or more; the highest is %.2g. A lower --score-threshold shows more.",
            score_threshold,
            summary.highest_score,
        )
    logger.info("Annotated images and %s are in %s.", PREDICTIONS, out)
    done = f"{pluralize(summary.images, 'image', 'images')} done"
    logger.info(f"{done}, {summary.failed} could not be read" if summary.failed else done)
    return 1 if summary.failed else 0
