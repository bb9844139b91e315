"""Images with boxes, class names and scores, and grids of them.

Figures are built without pyplot, so figures share no state and need no display.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from pipeline.core.atomic_files import atomic_write
from pipeline.geometry.boxes import Boxes
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.plots.colors import class_color
from pipeline.plots.text import drawable, title_of

GROUND_TRUTH_COLOR = "white"
SAMPLE_COLUMNS = 3
DETECTION_COLUMNS = 4
TILE_INCHES = 2.4
CAPTION_INCHES = 0.2
TITLE_POINTS = 7
GAP_INCHES = 0.04
DOTS_PER_INCH = 110
MAX_FIGURE_PIXELS = 40_000_000
POINTS_PER_INCH = 72

BLACK_TEXT_LUMINANCE = 0.4
"""Luminance of a background above which black letters are easier to read than white ones."""

Color = tuple[float, float, float]


@dataclass(frozen=True)
class PredictedImages:
    """Images with their ground truth and predictions, one record each per image.

    Attributes:
        pixels: uint8 [height, width, 1 or 3] of each image; sizes may differ.
        titles: what is written above each image, such as its file name.
        ground_truth: boxes relative to the image.
        predictions: boxes relative to the image, with scores.
        names: the name of each label.

    """

    pixels: Sequence[NDArray[np.uint8]]
    titles: Sequence[str]
    ground_truth: Sequence[LabeledBoxes]
    predictions: Sequence[LabeledBoxes]
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.pixels)

    def first(self, count: int) -> "PredictedImages":
        """At most `count` of the images, from the first on."""
        return PredictedImages(
            self.pixels[:count], self.titles[:count], self.ground_truth[:count], self.predictions[:count], self.names
        )

    @property
    def largest_side(self) -> int:
        """The longest side of any image in pixels; 0 without images."""
        return max((side for pixels in self.pixels for side in pixels.shape[:2]), default=0)


def save_samples(
    path: Path, model_inputs: NDArray[np.uint8], ground_truth: Sequence[LabeledBoxes], names: Sequence[str]
) -> None:
    """Plot three images per row with their boxes and class names in class colors.

    Args:
        path: the file to write.
        model_inputs: uint8 [N, size, size, 1 or 3].
        ground_truth: boxes relative to the model input, one record per image.
        names: the name of each label.

    """
    figure, axes = tiles(len(model_inputs), columns=min(SAMPLE_COLUMNS, len(model_inputs)))
    for ax, model_input, boxes in zip(axes, model_inputs, ground_truth, strict=True):
        show_image(ax, model_input)
        draw_labeled_boxes(ax, boxes, names)
    save(figure, path)


def save_detections(path: Path, images: PredictedImages) -> None:
    """Plot four images per row: ground truth in white dashes, predictions above it in class colors, titles above."""
    columns = min(DETECTION_COLUMNS, len(images))
    figure, axes = tiles(len(images), columns, CAPTION_INCHES, tile_pixels=images.largest_side)
    for ax, pixels, title, true, predicted in zip(
        axes, images.pixels, images.titles, images.ground_truth, images.predictions, strict=True
    ):
        show_image_in_tile(ax, pixels)
        draw_ground_truth(ax, true)
        draw_labeled_boxes(ax, predicted, images.names)
        ax.set_title(title_of(title), fontsize=TITLE_POINTS, pad=2.5, parse_math=False)
    save(figure, path)


def shrink(pixels: NDArray[np.uint8], max_side: int) -> NDArray[np.uint8]:
    """Reduce uint8 [height, width, channels] until its longer side has at most `max_side` pixels."""
    height, width = pixels.shape[:2]
    longest = max(height, width)
    if longest <= max_side:
        return pixels
    size = max(1, round(width * max_side / longest)), max(1, round(height * max_side / longest))
    shrunk = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, np.uint8).reshape(size[1], size[0], -1)


def tiles(
    count: int, columns: int, caption_inches: float = 0.0, header_inches: float = 0.0, tile_pixels: int = 0
) -> tuple[Figure, list[Any]]:
    """Make a figure of square axes.

    Args:
        count: number of axes.
        columns: axes per row.
        caption_inches: height of the space for a title above each axes.
        header_inches: height of the space above all axes.
        tile_pixels: what an axes should have at least, so that it shows every pixel of an image of that size. Figures
            of very many axes have fewer.

    Returns:
        The figure and its axes, row by row.

    """
    rows = -(-count // columns)
    row_inches = TILE_INCHES + caption_inches
    width, height = columns * TILE_INCHES, rows * row_inches + header_inches
    side = TILE_INCHES - GAP_INCHES
    dots_per_inch = min(max(DOTS_PER_INCH, tile_pixels / side), (MAX_FIGURE_PIXELS / (width * height)) ** 0.5)
    figure = Figure((width, height), dpi=dots_per_inch)
    axes = []
    for index in range(count):
        row, column = divmod(index, columns)
        left, bottom = column * TILE_INCHES + GAP_INCHES / 2, (rows - 1 - row) * row_inches + GAP_INCHES / 2
        ax = figure.add_axes((left / width, bottom / height, side / width, side / height))
        ax.axis("off")
        axes.append(ax)
    return figure, axes


def show_image(ax: Any, pixels: NDArray[np.uint8]) -> None:
    """Draw uint8 [height, width, 1 or 3] with its corners at (0, 0) and (1, 1), the coordinates of relative boxes."""
    shown = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    ax.imshow(shown, cmap="gray", vmin=0, vmax=255, extent=(0, 1, 1, 0), interpolation="nearest", aspect="auto")
    ax.set(xlim=(0, 1), ylim=(1, 0))


def show_image_in_tile(ax: Any, pixels: NDArray[np.uint8]) -> None:
    """Draw an image of any shape as large as its square axes allow, and cut the axes to the shape of the image."""
    ax.set_box_aspect(pixels.shape[0] / pixels.shape[1])
    ax.apply_aspect()
    show_image(ax, pixels)


def draw_boxes(ax: Any, boxes_rel_xywh: Boxes, color: str, line_points: float = 1.6, line_style: str = "-") -> None:
    """Draw boxes in one color, without names."""
    for x, y, width, height in boxes_rel_xywh:
        ax.add_patch(
            Rectangle((x, y), width, height, fill=False, edgecolor=color, linewidth=line_points, linestyle=line_style)
        )


def draw_ground_truth(ax: Any, ground_truth: LabeledBoxes) -> None:
    """Draw boxes with thin white dashes, without names."""
    draw_boxes(ax, ground_truth.boxes_rel_xywh, GROUND_TRUTH_COLOR, line_points=1, line_style="--")


def draw_labeled_boxes(
    ax: Any, labeled_boxes: LabeledBoxes, names: Sequence[str], font_points: float = 6, line_points: float = 1.6
) -> None:
    """Draw boxes in the color of their class, each with its name and, for predictions, its score.

    Boxes get their names in the order of their scores, or of their areas without scores, largest first. A name that
    finds no free place is omitted; its box is drawn.
    """
    boxes = labeled_boxes.boxes_rel_xywh
    colors = [class_color(int(label)) for label in labeled_boxes.labels]
    texts = [drawable(names[int(label)]) for label in labeled_boxes.labels]
    if labeled_boxes.scores is not None:
        texts = [f"{text} {score:.2f}" for text, score in zip(texts, labeled_boxes.scores, strict=True)]
    for (x, y, width, height), color in zip(boxes, colors, strict=True):
        ax.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=color, linewidth=line_points))
    importance = labeled_boxes.scores if labeled_boxes.scores is not None else np.abs(boxes[:, 2] * boxes[:, 3])
    taken = np.empty((0, 4))
    for index in np.argsort(-importance, kind="stable"):
        place = _free_place(boxes[index], _label_size(ax, texts[index], font_points), taken)
        if place is not None:
            taken = np.append(taken, [place], axis=0)
            _write_label(ax, place, texts[index], colors[index], font_points)


def save(figure: Figure, path: Path) -> None:
    """Write a PNG, or a JPEG if the path ends in .jpg."""
    quality = {"quality": 92, "subsampling": 0} if path.suffix == ".jpg" else None
    with atomic_write(path) as partial:
        figure.savefig(partial, pil_kwargs=quality)


def _label_size(ax: Any, text: str, font_points: float) -> tuple[float, float]:
    """Width and height of a text with a thin margin, as fractions of the axes."""
    font = get_font(findfont(FontProperties()))
    font.set_size(font_points, ax.figure.dpi)
    font.set_text(text)
    font_pixels = font_points * ax.figure.dpi / POINTS_PER_INCH
    width_pixels = font.get_width_height()[0] / 64 + 0.5 * font_pixels  # FreeType's unit is 1/64
    figure_width, figure_height = ax.figure.get_size_inches() * ax.figure.dpi
    axes_box = ax.get_position()
    return width_pixels / (figure_width * axes_box.width), 1.5 * font_pixels / (figure_height * axes_box.height)


def _free_place(
    box_rel_xywh: NDArray[np.float64], size: tuple[float, float], taken: Boxes
) -> tuple[float, float, float, float] | None:
    """The first place for a label (left, top, right, bottom) at a box that overlaps none of `taken`, xyxy [N, 4]."""
    for left, top in _candidate_places(box_rel_xywh, size):
        right, bottom = left + size[0], top + size[1]
        apart = (taken[:, 0] >= right) | (taken[:, 2] <= left) | (taken[:, 1] >= bottom) | (taken[:, 3] <= top)
        if apart.all():
            return left, top, right, bottom
    return None


def _candidate_places(box_rel_xywh: NDArray[np.float64], size: tuple[float, float]) -> Iterator[tuple[float, float]]:
    """Left and top of a label at a box, best first: above it, inside at its top, below it, inside at its bottom."""
    (x, y, box_width, box_height), (width, height) = box_rel_xywh, size
    for left in (x, x + box_width - width):
        for top in (y - height, y, y + box_height, y + box_height - height):
            if 0 <= top <= 1 - height:
                yield min(max(left, 0), max(1 - width, 0)), top
    yield min(max(x, 0), max(1 - width, 0)), min(max(y, 0), 1 - height)


def _write_label(
    ax: Any, place: tuple[float, float, float, float], text: str, color: Color, font_points: float
) -> None:
    left, top, right, bottom = place
    ax.add_patch(Rectangle((left, top), right - left, bottom - top, facecolor=color, edgecolor="none", alpha=0.85))
    ax.text(
        (left + right) / 2,
        (top + bottom) / 2,
        text,
        color="black" if _luminance(color) > BLACK_TEXT_LUMINANCE else "white",
        fontsize=font_points,
        ha="center",
        va="center_baseline",
        clip_on=True,
        parse_math=False,  # a class name may contain dollar signs
    )


def _luminance(color: Color) -> float:
    """Perceived brightness, 0..1."""
    red, green, blue = color
    return 0.299 * red + 0.587 * green + 0.114 * blue
