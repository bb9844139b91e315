"""What a model answers to a few fixed images, logged after every epoch."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import BoxlineError
from pipeline.geometry.boxes import Boxes, paired_iou, xywh_to_xyxy
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.systems.interfaces import Arrays, Decoded
from pipeline.training.progress_page import DECIMALS, Answer, Box, Epoch, name_of, png_address, true_boxes, write_page
from pipeline.training.wandb_run import log_pictures

MAX_BOXES = 30
"""Predicted boxes that are kept per image and epoch, best scores first."""


class _State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    epochs: list[Epoch]
    wandb_run_id: str | None


class BBoxLogger(keras.callbacks.Callback):
    """After every epoch: predicts, rewrites the page, and logs to a run of Weights & Biases where there is one.

    squares: the images, uint8 [N, size, size, 1 or 3].
    truth: their true boxes.
    decode: the model's outputs by name as boxes.
    names: the name of each label.
    page: the HTML file.
    model: pixels -> outputs by name. The one that is fitted may be a part of it: the head behind a frozen trunk.
    run: a run of Weights & Biases, or None.

    Epochs are numbered from 1 through all fits that the logger is handed to; `epochs_logged` counts them. `phase`, set
    between two fits, names what the following epochs belong to. Pictures do not change a training: predicting neither
    draws random numbers nor updates a weight.
    """

    def __init__(
        self,
        model_inputs: NDArray[np.uint8],
        truth: Sequence[LabeledBoxes],
        decode: Callable[[Arrays], Decoded],
        names: Sequence[str],
        page: Path,
        title: str,
        *,
        model: keras.Model,
        run: Any | None = None,
        max_boxes: int = MAX_BOXES,
    ) -> None:
        super().__init__()
        assert len(model_inputs) == len(truth), "every image has its true boxes, if only an empty list"
        self.phase: str | None = None
        self._squares, self._decode, self._names = model_inputs, decode, names
        self._page, self._title = page, title
        self._asked, self._run, self._max_boxes = model, run, max_boxes
        self._true_xyxy = [xywh_to_xyxy(labeled_boxes.boxes_rel_xywh) for labeled_boxes in truth]
        self._truth = [true_boxes(labeled_boxes) for labeled_boxes in truth]
        self._images = [png_address(model_input) for model_input in model_inputs]
        self._epochs: list[Epoch] = []
        self._run_id: str | None = None

    @property
    def epochs_logged(self) -> int:
        """How many epochs the page shows, those before a restart included."""
        return len(self._epochs)

    def state(self) -> dict[str, Any]:
        """What was logged so far, ready for JSON."""
        run_id = self._run_id if self._run is None else self._run.id
        state: dict[str, Any] = msgspec.to_builtins(_State(self._epochs, run_id))
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state()`, and write its page. Raises BoxlineError where it belongs to other images."""
        restored = msgspec.convert(state, _State)
        others = {len(epoch.answers) for epoch in restored.epochs} - {len(self._squares)}
        if others:
            raise BoxlineError(
                f"The boxes logged before the restart belong to {others.pop()} images, and now {len(self._squares)} "
                "are logged. Remove the training's checkpoint to start anew."
            )
        self._epochs, self._run_id = list(restored.epochs), restored.wandb_run_id
        if self._epochs:
            self._write_page()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keras calls this with the epoch's losses and metrics, those of the held-out images included."""
        outputs = self._asked.predict_on_batch(self._squares)
        found = self._decode({name: np.asarray(values) for name, values in outputs.items()})
        answers = [
            answer_of(labeled_boxes, true_xyxy, self._max_boxes)
            for labeled_boxes, true_xyxy in zip(found.by_image(len(self._squares)), self._true_xyxy, strict=True)
        ]
        values = {name: float(value) for name, value in (logs or {}).items()}
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._epochs.append(Epoch(self.phase, finite, answers))
        self._write_page()
        if self._run is not None:
            number = self.epochs_logged
            scalars = {**values, "epoch": number} | ({} if self.phase is None else {"phase": self.phase})
            log_pictures(self._run, number, scalars, self._squares, self._box_sets(answers))

    def _write_page(self) -> None:
        write_page(self._page, self._title, self._images, self._names, self._truth, self._epochs)

    def _box_sets(self, answers: Sequence[Answer]) -> list[dict[str, Any]]:
        return [
            {"predictions": box_set(answer.boxes, self._names), "ground_truth": box_set(true, self._names)}
            for answer, true in zip(answers, self._truth, strict=True)
        ]


def answer_of(predicted: LabeledBoxes, true_xyxy: Boxes, max_boxes: int) -> Answer:
    """The boxes of one image as they are shown, each with its best IoU with any true box, whatever the classes; 0 where
    there is none.

    A box reaching over the image's edge stays as it is. One that nothing can draw is left out and counted: with a
    number that is not finite, or without positive width and height.
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
        _best_iou(boxes_xyxy, true_xyxy).round(DECIMALS).tolist(),
        strict=True,
    )
    num_usable = int(usable.sum())
    return Answer(
        [Box(left, top, right, bottom, label, score, iou) for (left, top, right, bottom), label, score, iou in rows],
        beyond=num_usable - len(best),
        unusable=len(usable) - num_usable,
    )


def _best_iou(boxes_xyxy: Boxes, true_xyxy: Boxes) -> NDArray[np.float64]:
    pairs = np.repeat(boxes_xyxy, len(true_xyxy), axis=0), np.tile(true_xyxy, (len(boxes_xyxy), 1))
    return paired_iou(*pairs).reshape(len(boxes_xyxy), len(true_xyxy)).max(axis=1, initial=0)


def box_set(boxes: Sequence[Box], names: Sequence[str]) -> dict[str, Any]:
    """Boxes of one image as Weights & Biases takes them, in plain numbers: it refuses NumPy's."""
    return {
        "box_data": [_box_data(box, names) for box in boxes],
        "class_labels": {label: name_of(label, names) for label in range(len(names))},
    }


def _box_data(box: Box, names: Sequence[str]) -> dict[str, Any]:
    name = name_of(box.label, names)
    data: dict[str, Any] = {
        "position": {"minX": box.min_x, "maxX": box.max_x, "minY": box.min_y, "maxY": box.max_y},
        "class_id": box.label,
        "box_caption": name,
    }
    if box.score is not None and box.iou is not None:
        data["box_caption"] = f"{name} {box.score:.2f} · IoU {box.iou:.2f}"
        data["scores"] = {"score": box.score, "iou": box.iou}
    return data
