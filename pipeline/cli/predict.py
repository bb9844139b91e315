"""boxline predict: a trained model over images of one's own."""

import argparse
import logging
import os
from pathlib import Path

from pipeline.inference.coco_results import PREDICTIONS, require_replaceable
from pipeline.inference.inputs import find_images
from pipeline.systems.labels import Labels
from pipeline.systems.model_metadata import ModelMetadata, require_model_folder

logger = logging.getLogger(__name__)

HELP = "find objects in images of your own"
DESCRIPTION = (
    "Find objects in images of your own: a picture of each with boxes, class names and scores, and all boxes in COCO's "
    "style in predictions.json."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words that `predict` takes."""
    parser.add_argument("model", metavar="MODEL", type=Path, help="folder of a trained model: data/coco_yolo/train")
    parser.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="+",
        help="an image, a folder of images at any depth, a pattern such as 'photos/*.jpg', or an http(s) address",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("predictions"),
        help="folder to write; a former run's predictions in it are replaced, other files never (default: predictions)",
    )
    parser.add_argument(
        "--score-threshold",
        metavar="SCORE",
        type=_share,
        default=0.3,
        help="leave out boxes with a lower score, from 0 to 1 (default: 0.3)",
    )
    parser.add_argument(
        "--views", action="store_true", help="also draw the views that only this system has, below views/"
    )


def predict(model: Path, inputs: list[str], out: Path, score_threshold: float, views: bool) -> int:
    """Find objects in images of one's own; return the exit code."""
    require_model_folder(model)
    ModelMetadata.read(model)
    Labels.read(model)
    require_replaceable(out)
    names = find_images(inputs, out)
    # Only now, when nothing is left to complain about: TensorFlow takes seconds to start.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # no notes about the processor
    from pipeline.inference.predict_images import predict_images

    outcome = predict_images(names, model, out, score_threshold, with_views=views)
    if not outcome.boxes:
        logger.info(
            "No box has a score of %g or more; the highest is %.2g. A lower --score-threshold shows more.",
            score_threshold,
            outcome.highest_score,
        )
    logger.info("Pictures and %s are in %s.", PREDICTIONS, out)
    done = f"{outcome.done} image{'s' if outcome.done > 1 else ''} done"
    logger.info(f"{done}, {outcome.failed} could not be read" if outcome.failed else done)
    return 1 if outcome.failed else 0


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"received {text}, expected a number from 0 to 1")
    return value
