"""The progress page of a training: one HTML file with images, boxes and curves.

Size: an image is embedded once, as PNG, and a predicted box takes about 50 bytes per epoch. With N images, E epochs and
at most B boxes per image the file stays below `N x (PNG x 4/3) + N x E x B x 70` bytes: 16 photographs of 448 px, 100
epochs and 30 boxes take about 10 MB.
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
"""Decimals of coordinates and scores: a hundredth of a pixel in an image of 1000 px."""


class Box(msgspec.Struct, frozen=True, array_like=True):
    """A box. Edges are relative to the image; a ground truth box has neither score nor IoU."""

    min_x: float
    min_y: float
    max_x: float
    max_y: float
    label: int
    score: float | None = None
    iou: float | None = None


class ImagePredictions(msgspec.Struct, frozen=True):
    """The predictions for one image.

    Attributes:
        boxes: the logged boxes, highest score first.
        omitted: number of boxes with lower scores that are not logged.
        invalid: number of boxes that cannot be drawn: a value is not finite, or width or height is not positive.

    """

    boxes: list[Box]
    omitted: int = 0
    invalid: int = 0


class Epoch(msgspec.Struct, frozen=True):
    """One epoch, or the model before the first one.

    Attributes:
        phase: name of the training phase that the epoch belongs to; None before the training.
        logs: losses and metrics by name; None if a value is not finite, which JSON cannot express.
        predictions: the predictions for each image.

    """

    phase: str | None
    logs: dict[str, float | None]
    predictions: list[ImagePredictions]


def png_data_url(model_input: NDArray[np.uint8]) -> str:
    """An image, uint8 [size, size, 1 or 3], as a `data:` URL, lossless."""
    buffer = io.BytesIO()
    Image.fromarray(model_input[..., 0] if model_input.shape[-1] == 1 else model_input).save(
        buffer, "PNG", optimize=True
    )
    return data_url(buffer.getvalue(), "png")


def ground_truth_boxes(labeled_boxes: LabeledBoxes) -> list[Box]:
    """The ground truth of one image as the page shows it."""
    boxes_rel_xyxy = xywh_to_xyxy(labeled_boxes.boxes_rel_xywh).round(DECIMALS).tolist()
    return [
        Box(min_x, min_y, max_x, max_y, label)
        for (min_x, min_y, max_x, max_y), label in zip(boxes_rel_xyxy, labeled_boxes.labels.tolist(), strict=True)
    ]


def class_name(label: int, names: Sequence[str]) -> str:
    """The name of the class, or the label if the dataset has no name for it."""
    return names[label] or f"label {label}"


def write_progress_page(
    path: Path,
    title: str,
    image_urls: Sequence[str],
    names: Sequence[str],
    ground_truth: Sequence[Sequence[Box]],
    epochs: Sequence[Epoch],
) -> None:
    """Write the page atomically. The same arguments give the same bytes.

    Args:
        path: the HTML file.
        title: title of the page.
        image_urls: `data:` URLs of the images.
        names: class names by label; empty for labels without a name.
        ground_truth: the ground truth boxes of each image.
        epochs: epoch 0, which is the model before the training, and the epochs so far.

    """
    labels = {box.label for boxes in ground_truth for box in boxes}
    labels |= {box.label for epoch in epochs for image in epoch.predictions for box in image.boxes}
    data = {
        "title": title,
        "classes": [_class_style(label, names) for label in sorted(labels)],
        "images": list(image_urls),
        "ground_truth": msgspec.to_builtins(ground_truth),
        "epochs": msgspec.to_builtins(epochs),
    }
    write_html_page(path, TEMPLATE, title, data)


def _class_style(label: int, names: Sequence[str]) -> dict[str, Any]:
    color = class_color(label)
    red, green, blue = (channel**2.2 for channel in color)
    # Black or white text, whichever has the higher contrast by the WCAG formula; they are equal at a luminance of 0.18.
    text_color = "#000" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 else "#fff"
    hex_color = "#" + "".join(f"{round(channel * 255):02x}" for channel in color)
    return {"label": label, "name": class_name(label, names), "color": hex_color, "text_color": text_color}
