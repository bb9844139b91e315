"""Logs the predictions for a few fixed images before a training and after each of its epochs."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import BoxlineError
from pipeline.geometry.boxes import Boxes, paired_iou, xywh_to_xyxy
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.inference.predictor import Predictor
from pipeline.training.progress_page import (
    DECIMALS,
    Box,
    Epoch,
    ImagePredictions,
    class_name,
    ground_truth_boxes,
    png_data_url,
    write_progress_page,
)
from pipeline.training.wandb_run import log_images

MAX_BOXES = 30
"""Predicted boxes that are kept per image and epoch, highest scores first."""


class _State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    epochs: list[Epoch]
    wandb_run_id: str | None


class BoxLogger(keras.callbacks.Callback):
    """Predicts a few images before the first epoch and after every epoch, and rewrites the progress page each time.

    Logs to Weights & Biases as well if it is used. Epochs are numbered from 1 over all phases; epoch 0 is the model
    before the training, without losses and metrics. Logging does not change a training: prediction neither draws random
    numbers nor updates weights.

    Args:
        model_inputs: the images, uint8 [N, size, size, 1 or 3].
        ground_truth: the objects of each image.
        predictor: predicts from pixels. The fitted model may be a part of its model, such as the head behind a frozen
            backbone.
        page: the HTML file.
        title: title of the page.
        run: a `wandb.Run`, or None.
        max_boxes: predicted boxes that are kept per image and epoch.

    Attributes:
        phase: name of the phase that the following epochs belong to; set it before each phase.

    """

    def __init__(
        self,
        model_inputs: NDArray[np.uint8],
        ground_truth: Sequence[LabeledBoxes],
        predictor: Predictor,
        page: Path,
        title: str,
        *,
        run: Any | None = None,
        max_boxes: int = MAX_BOXES,
    ) -> None:
        super().__init__()
        assert len(model_inputs) == len(ground_truth), "every image needs a list of boxes, if only an empty one"
        self.phase: str | None = None
        self._model_inputs, self._predictor, self._names = model_inputs, predictor, predictor.labels.names
        self._page, self._title = page, title
        self._run, self._max_boxes = run, max_boxes
        self._ground_truth_xyxy = [xywh_to_xyxy(boxes.boxes_rel_xywh) for boxes in ground_truth]
        self._ground_truth = [ground_truth_boxes(boxes) for boxes in ground_truth]
        self._images = [png_data_url(model_input) for model_input in model_inputs]
        self._epochs: list[Epoch] = []
        self._run_id: str | None = None

    def state(self) -> dict[str, Any]:
        """Everything logged so far, as values that JSON can hold."""
        run_id = self._run_id if self._run is None else self._run.id
        state: dict[str, Any] = msgspec.to_builtins(_State(self._epochs, run_id))
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a result of `state()`, and write its page.

        Raises:
            BoxlineError: if the state belongs to another number of images.

        """
        restored = msgspec.convert(state, _State)
        others = {len(epoch.predictions) for epoch in restored.epochs} - {len(self._model_inputs)}
        if others:
            raise BoxlineError(
                f"The checkpoint holds predictions for {others.pop()} logged images, expected "
                f"{len(self._model_inputs)}. Remove the checkpoint of this training to start from scratch."
            )
        self._epochs, self._run_id = list(restored.epochs), restored.wandb_run_id
        if self._epochs:
            self._write_page()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Predict and log before the first phase, unless the training resumes."""
        if not self._epochs:
            self._log(None, {})

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Predict and log, together with the epoch's losses and metrics."""
        self._log(self.phase, {name: float(value) for name, value in (logs or {}).items()})

    def _log(self, phase: str | None, values: dict[str, float]) -> None:
        boxes = self._predictor.predict_batch(self._model_inputs).boxes
        predictions = [
            logged_prediction(predicted, true_xyxy, self._max_boxes)
            for predicted, true_xyxy in zip(boxes, self._ground_truth_xyxy, strict=True)
        ]
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        number = len(self._epochs)
        self._epochs.append(Epoch(phase, finite, predictions))
        self._write_page()
        if self._run is not None:
            scalars = {**values, "epoch": number} | ({} if phase is None else {"phase": phase})
            log_images(self._run, number, scalars, self._model_inputs, self._box_sets(predictions))

    def _write_page(self) -> None:
        write_progress_page(self._page, self._title, self._images, self._names, self._ground_truth, self._epochs)

    def _box_sets(self, predictions: Sequence[ImagePredictions]) -> list[dict[str, Any]]:
        return [
            {"predictions": box_set(predicted.boxes, self._names), "ground_truth": box_set(true, self._names)}
            for predicted, true in zip(predictions, self._ground_truth, strict=True)
        ]


def logged_prediction(predicted: LabeledBoxes, true_xyxy: Boxes, max_boxes: int) -> ImagePredictions:
    """Select the predicted boxes of one image that are logged, and compare them with the ground truth.

    Boxes that extend beyond the image are kept as they are. Boxes that cannot be drawn are dropped and counted: those
    with a value that is not finite, or without positive width and height.

    Args:
        predicted: the predicted boxes.
        true_xyxy: the objects of the image, relative, float64 [N, 4].
        max_boxes: the boxes to keep, highest scores first.

    Returns:
        The boxes, each with its highest IoU with any object of any class (0 without objects), and the dropped ones.

    """
    assert predicted.scores is not None, "predictions have scores"
    sizes = predicted.boxes_rel_xywh[:, 2:]
    usable = np.isfinite(predicted.boxes_rel_xywh).all(axis=1) & np.isfinite(predicted.scores) & (sizes > 0).all(axis=1)
    best = np.argsort(-predicted.scores[usable], kind="stable")[:max_boxes]
    boxes_xyxy = xywh_to_xyxy(predicted.boxes_rel_xywh[usable][best])
    rows = zip(
        boxes_xyxy.round(DECIMALS).tolist(),
        predicted.labels[usable][best].tolist(),
        predicted.scores[usable][best].astype(np.float64).round(DECIMALS).tolist(),
        _max_iou(boxes_xyxy, true_xyxy).round(DECIMALS).tolist(),
        strict=True,
    )
    num_usable = int(usable.sum())
    return ImagePredictions(
        [Box(left, top, right, bottom, label, score, iou) for (left, top, right, bottom), label, score, iou in rows],
        omitted=num_usable - len(best),
        invalid=len(usable) - num_usable,
    )


def _max_iou(boxes_xyxy: Boxes, true_xyxy: Boxes) -> NDArray[np.float64]:
    """The highest IoU of each box with any true box, [N]; 0 without true boxes."""
    pairs = np.repeat(boxes_xyxy, len(true_xyxy), axis=0), np.tile(true_xyxy, (len(boxes_xyxy), 1))
    return paired_iou(*pairs).reshape(len(boxes_xyxy), len(true_xyxy)).max(axis=1, initial=0)


def box_set(boxes: Sequence[Box], names: Sequence[str]) -> dict[str, Any]:
    """The boxes of one image in wandb's format, without NumPy scalars, which wandb rejects."""
    return {
        "box_data": [_box_data(box, names) for box in boxes],
        "class_labels": {label: class_name(label, names) for label in range(len(names))},
    }


def _box_data(box: Box, names: Sequence[str]) -> dict[str, Any]:
    name = class_name(box.label, names)
    data: dict[str, Any] = {
        "position": {"minX": box.min_x, "maxX": box.max_x, "minY": box.min_y, "maxY": box.max_y},
        "class_id": box.label,
        "box_caption": name,
    }
    if box.score is not None and box.iou is not None:
        data["box_caption"] = f"{name} {box.score:.2f} · IoU {box.iou:.2f}"
        data["scores"] = {"score": box.score, "iou": box.iou}
    return data
