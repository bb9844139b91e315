"""boxline predict: inference on the user's own images."""

import logging
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from pipeline.core.errors import BoxlineError
from pipeline.core.formatting import escape_control, format_table, pluralize
from pipeline.core.redaction import redact_url
from pipeline.inference.inputs import find_images
from pipeline.inference.predictions_file import PREDICTIONS, require_replaceable
from pipeline.pretrained.handles import require_preset_files
from pipeline.systems.common.labels import Labels
from pipeline.systems.common.model_metadata import ModelMetadata, require_model_folder

logger = logging.getLogger(__name__)

MAX_TABLE_ROWS = 50
"""Images in the table of counts; predictions.json has all."""

PRESET_MODULE = "coco_retinanet"
"""The system that runs published weights."""


def predict(
    model_and_images: list[str],
    /,
    *,
    pretrained: str | None = None,
    out: Path = Path("predictions"),
    score_threshold: Annotated[float, Parameter(validator=Number(gte=0, lte=1))] = 0.3,
    crops: bool = False,
    views: bool = False,
) -> int:
    """Find objects in your own images.

    Writes a copy of each image with boxes, class names and scores, and all boxes in predictions.json, in
    COCO's dataset format with scores and with counts per image. Prints the counts as a table.

    Args:
        model_and_images: folder of a trained model, such as data/coco_yolo/train, unless --pretrained is given;
            then images: each is a file, a folder of images at any depth, a pattern such as 'photos/*.jpg', or an
            http(s) address.
        pretrained: use published weights instead of a trained model: the name or handle of a RetinaNet of KerasHub,
            such as retinanet_resnet50_fpn_v2_coco, or a folder or http(s) address with such a preset.
        out: folder to write. Predictions of an earlier run are replaced, other files never.
        score_threshold: omit boxes with a lower score, from 0 to 1.
        crops: also write each box as an image of its own at full resolution, below crops/.
        views: also write the plots that only this system has, below views/.

    """
    if pretrained is not None:
        source, inputs, module = pretrained, model_and_images, PRESET_MODULE
        require_preset_files(source)
    else:
        source, *inputs = model_and_images
        require_model_folder(Path(source))
        module = ModelMetadata.read(Path(source)).module
        Labels.read(Path(source))
    if not inputs:
        raise BoxlineError(f"No image is given. Type: boxline predict {source} photo.jpg")
    require_replaceable(out)
    names = find_images(inputs, out)
    # Imported after all checks of the arguments: TensorFlow takes seconds to start.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # hides notes about the CPU
    from pipeline.inference.predict_images import predict_images, view_writer_of
    from pipeline.inference.predictor import Predictor

    write_views = view_writer_of(module) if views else None
    if pretrained is None:
        predictor = Predictor.load(Path(source))
    else:
        from pipeline.inference.preset_predictor import load_preset_predictor

        predictor = load_preset_predictor(pretrained)
    summary = predict_images(
        names, predictor, redact_url(source), out, score_threshold, write_views=write_views, with_crops=crops
    )
    sys.stdout.write("".join(f"{line}\n" for line in counts_table(summary.counts)))
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


def counts_table(counts: Sequence[tuple[str, dict[str, int]]]) -> list[str]:
    """The lines of a table with the boxes of each image, at most MAX_TABLE_ROWS, and of all images together.

    >>> for line in counts_table([("a.jpg", {"person": 2, "dog": 1}), ("b.jpg", {"dog": 2})]):
    ...     print(line)
    image           boxes  classes
    ------------  -------  ---------------
    a.jpg               3  person 2, dog 1
    b.jpg               2  dog 2
    all 2 images        5  dog 3, person 2
    """
    rows = [("image", "boxes", "classes")]
    rows += [_counts_row(escape_control(name), Counter(classes)) for name, classes in counts[:MAX_TABLE_ROWS]]
    if len(counts) > MAX_TABLE_ROWS:
        rows.append((f"{len(counts) - MAX_TABLE_ROWS} more in {PREDICTIONS}", "", ""))
    if len(counts) > 1:
        total: Counter[str] = Counter()
        for _, classes in counts:
            total.update(classes)
        rows.append(_counts_row(f"all {len(counts)} images", total))
    return format_table(rows, "<><", ruled=True)


def _counts_row(name: str, classes: Counter[str]) -> tuple[str, str, str]:
    listed = ", ".join(f"{escape_control(label)} {count}" for label, count in classes.most_common())
    return name, str(classes.total()), listed
