"""The page of a training: one HTML file with images, boxes and curves.

Sizes: an image is embedded once, as PNG; a predicted box takes about 50 bytes per epoch. With N images, E epochs and at
most B boxes per image the file stays below `N x (PNG x 4/3) + N x E x B x 70` bytes: 16 photographs of 448 px, 100
epochs and 30 boxes make about 10 MB.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.geometry.boxes import xywh_to_xyxy
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.html.page_template import data_url, write_html_page
from pipeline.plots.colors import class_color

TEMPLATE = Path(__file__).with_suffix(".html")

DECIMALS = 5
"""Of coordinates and scores: a hundredth of a pixel in an image of 1000 px."""


class Box(msgspec.Struct, frozen=True, array_like=True):
    """Edges as fractions of the image, 0 at its left and top. A true box has neither score nor IoU."""

    min_x: float
    min_y: float
    max_x: float
    max_y: float
    label: int
    score: float | None = None
    iou: float | None = None


class Answer(msgspec.Struct, frozen=True):
    """What a model found in one image.

    boxes: those that are shown, best score first.
    beyond: boxes with lower scores that are not kept.
    unusable: boxes that nothing can draw: a number that is not finite, or no positive width and height.
    """

    boxes: list[Box]
    beyond: int = 0
    unusable: int = 0


class Epoch(msgspec.Struct, frozen=True):
    """One epoch: the phase of the training that it belongs to, its losses and metrics, an answer per image.

    A loss that is not a finite number is None, because JSON has no word for it.
    """

    phase: str | None
    logs: dict[str, float | None]
    answers: list[Answer]


def png_data_url(model_input: NDArray[np.uint8]) -> str:
    """uint8 [size, size, 1 or 3] as a `data:` address, lossless."""
    buffer = io.BytesIO()
    Image.fromarray(model_input[..., 0] if model_input.shape[-1] == 1 else model_input).save(
        buffer, "PNG", optimize=True
    )
    return data_url(buffer.getvalue(), "png")


def true_boxes(labeled_boxes: LabeledBoxes) -> list[Box]:
    """The true boxes of one image."""
    edges = xywh_to_xyxy(labeled_boxes.boxes_rel_xywh).round(DECIMALS).tolist()
    return [
        Box(left, top, right, bottom, label)
        for (left, top, right, bottom), label in zip(edges, labeled_boxes.labels.tolist(), strict=True)
    ]


def name_of(label: int, names: Sequence[str]) -> str:
    """The class's name, or the label where the dataset has no name for it."""
    return names[label] or f"label {label}"


def write_page(
    path: Path,
    title: str,
    images: Sequence[str],
    names: Sequence[str],
    truth: Sequence[Sequence[Box]],
    epochs: Sequence[Epoch],
) -> None:
    """Write the page, whole or not at all. `images` are `data:` addresses; the same arguments give the same bytes."""
    labels = {box.label for boxes in truth for box in boxes}
    labels |= {box.label for epoch in epochs for answer in epoch.answers for box in answer.boxes}
    data = {
        "title": title,
        "classes": [_class(label, names) for label in sorted(labels)],
        "images": list(images),
        "truth": msgspec.to_builtins(truth),
        "epochs": msgspec.to_builtins(epochs),
    }
    write_html_page(path, TEMPLATE, title, data)


def _class(label: int, names: Sequence[str]) -> dict[str, Any]:
    color = class_color(label)
    red, green, blue = (part**2.2 for part in color)
    # Black or white, whichever has the higher contrast by the web's formula; the two meet at a luminance of 0.18.
    ink = "#000" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 else "#fff"
    shown = "#" + "".join(f"{round(part * 255):02x}" for part in color)
    return {"label": label, "name": name_of(label, names), "color": shown, "ink": ink}
